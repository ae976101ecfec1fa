"""From a name to a network: peers of the paper, configs, libraries."""
import pytest
import torch

from emo_mm.analysis import networks
from emo_mm.analysis.costs import count_cost, count_params
from emo_mm.analysis.networks import Published, find_network
from emo_mm.analysis.peers import PEERS, accuracies

QUICK = {
    'timm:mobilevit_xxs', 'mmpretrain:edgenext-xxsmall_3rdparty_in1k',
    'timm:pvt_v2_b0'
}
SOURCES = [
    pytest.param(
        peer,
        source,
        id=f'{peer.name}-{source}',
        marks=() if source in QUICK else pytest.mark.all_configs)
    for peer in PEERS for source in peer.sources
]
MOBILE = 600  # MFLOPs, of peers that are quick to count
COSTS = [
    pytest.param(
        peer,
        id=peer.name,
        marks=() if peer.flops < MOBILE else pytest.mark.all_configs)
    for peer in PEERS if peer.sources and peer.flops
]


def build(source):
    library = source.partition(':')[0]
    pytest.importorskip(library)
    return find_network(source).build()


@pytest.mark.parametrize('peer, source', SOURCES)
def test_params_are_the_printed_ones(peer, source):
    params = count_params(build(source))
    if peer.params is not None and not peer.note:
        assert params / 1e6 == pytest.approx(peer.params, rel=0.03)


@pytest.mark.parametrize('peer', COSTS)
def test_flops_are_about_the_printed_ones(peer):
    """Other counters see attention, pooling and norms otherwise."""
    model = build(peer.sources[0]).eval()
    cost = count_cost(model, (torch.rand(1, 3, peer.size, peer.size), ))
    candidates = (cost.flops, cost.flops_without_attention_products)
    assert min(abs(flops / 1e6 / peer.flops - 1)
               for flops in candidates) < 0.08


def test_a_note_where_the_printed_number_is_not_that_of_the_network():
    peer, = (peer for peer in PEERS if peer.note)
    assert peer.name == 'MobileNetV2-1.40'
    assert count_params(build(peer.sources[0])) / 1e6 == pytest.approx(
        6.11, abs=0.005)
    assert find_network(peer.name).note == (
        "MobileNetV2-1.40: 6.9 M is its paper's number; the released network "
        "has 6.06 M (tf.keras.applications), timm's 6.11 M")


def test_a_peer_without_its_library_is_listed(monkeypatch):
    monkeypatch.setattr(networks, '_is_installed', lambda library: False)
    network = find_network('PVTv2-B0')
    assert network.build is None
    assert network.note == 'not built: timm is not installed'
    assert find_network('EdgeNeXt-S').note == (
        'not built: timm or mmpretrain is not installed')
    with pytest.raises(ValueError, match='pip install timm'):
        find_network('timm:pvt_v2_b0')


def test_a_source_that_is_installed_is_taken(monkeypatch):
    monkeypatch.setattr(networks, '_is_installed', lambda name: name != 'timm')
    assert find_network('EdgeNeXt-S').source == (
        'mmpretrain:edgenext-small_3rdparty_in1k')


@pytest.mark.parametrize('name, source, shape', [
    ('mobilevit-xs', 'timm:mobilevit_xs', (256, 256)),
    ('edgenext_x_small', 'timm:edgenext_x_small', (256, 256)),
    ('timm:tf_efficientnetv2_b0', 'timm:tf_efficientnetv2_b0', (192, 192)),
])
def test_names_of_timm(name, source, shape):
    pytest.importorskip('timm')
    network = find_network(name)
    assert (network.source, network.shape) == (source, shape)


@pytest.mark.parametrize(
    'name', ['resnet18_8xb32_in1k', 'mmpretrain:levit-128s_3rdparty_in1k'])
def test_names_of_mmpretrain(name):
    pytest.importorskip('mmpretrain')
    network = find_network(name)
    assert network.source == f'mmpretrain:{name.rpartition(":")[2]}'
    assert network.shape == (224, 224)


def test_unknown_names():
    with pytest.raises(ValueError, match="model='emo_9m' is no peer"):
        find_network('emo_9m')
    pytest.importorskip('timm')
    with pytest.raises(ValueError, match='timm has no .* Similar: edgenext'):
        find_network('timm:edgenext_xxx_small')


def test_published_numbers_of_configs():
    pytest.importorskip('mmdet')
    network = find_network('ssdlite_mobilevit_xxs')
    assert network.published == Published(1.7e6, 0.9e9, 19.9, 'box AP')
    assert 'cvnets' in network.note
    pytest.importorskip('mmpretrain')
    network = find_network('emo_5m_parallel')
    assert network.published == Published(5.1e6, 964e6, 78.1, 'Top 1 Accuracy')
    network = find_network('emo_5m_attn_1234')
    assert network.published == Published(None, 992e6)
    network = find_network('emo_5m_mnetv3')
    assert network.published == Published(5108848, 902583776)
    assert 'diverged (NaN)' in network.note


def test_families_of_the_plot():
    families = accuracies()
    assert families['EMO'][0] == ('1M', pytest.approx(260.84,
                                                      abs=0.005), 71.498)
    assert [size for size, *_ in families['EMO']
            ] == ['1M', '2M', '5M', '6M', '10M', '20M']
    assert families['EdgeNeXt'] == [('XXS', 261, 71.2), ('XS', 538, 75.0),
                                    ('S', 965, 78.8)]
    assert 'RepViT' not in families  # without printed numbers
