"""Peers of the paper, and networks measured side by side."""
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from emo_mm.analysis import compare as module
from emo_mm.analysis.compare import (Published, accuracies, compare,
                                     find_candidate)
from emo_mm.analysis.flops import count_cost
from emo_mm.analysis.peers import PEERS

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/compare.py'
SOURCES = [
    pytest.param(peer, source, id=f'{peer.name}-{source}') for peer in PEERS
    for source in peer.sources
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
    return find_candidate(source).build()


@pytest.mark.parametrize('peer, source', SOURCES)
def test_params_are_the_printed_ones(peer, source):
    params = sum(p.numel() for p in build(source).parameters())
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
    pytest.importorskip('timm')
    params = sum(p.numel() for p in build(peer.sources[0]).parameters())
    assert peer.name == 'MobileNetV2-1.40'
    assert params / 1e6 == pytest.approx(6.11, abs=0.005)


def test_peers_that_no_library_provides_are_listed():
    absent = {peer.name for peer in PEERS if not peer.sources}
    assert {'MobileNetV3-L-0.50', 'MobileNetV3-L-1.25'} < absent
    candidate = find_candidate('mobilenetv3-l-0.50')
    row, = compare([candidate])
    assert row['params'] is None and row['images_per_second'] is None
    assert row['published']['params'] == 2.6e6
    assert row['published']['result'] == 68.8
    assert row['note'] == ('not built: neither mmpretrain nor timm provides '
                           'it')


def test_a_peer_without_its_library_is_listed(monkeypatch):
    monkeypatch.setattr(module, '_is_installed', lambda library: False)
    candidate = find_candidate('PVTv2-B0')
    assert candidate.build is None
    assert candidate.note == 'not built: timm is not installed'
    with pytest.raises(ValueError, match='pip install timm'):
        find_candidate('timm:pvt_v2_b0')


def test_a_source_that_is_installed_is_taken(monkeypatch):
    monkeypatch.setattr(module, '_is_installed', lambda name: name != 'timm')
    assert find_candidate('EdgeNeXt-S').source == (
        'mmpretrain:edgenext-small_3rdparty_in1k')


@pytest.mark.parametrize('name, source, shape', [
    ('mobilevit-xs', 'timm:mobilevit_xs', (256, 256)),
    ('edgenext_x_small', 'timm:edgenext_x_small', (256, 256)),
    ('timm:tf_efficientnetv2_b0', 'timm:tf_efficientnetv2_b0', (192, 192)),
])
def test_names_of_timm(name, source, shape):
    pytest.importorskip('timm')
    candidate = find_candidate(name)
    assert (candidate.source, candidate.shape) == (source, shape)


@pytest.mark.parametrize(
    'name', ['resnet18_8xb32_in1k', 'mmpretrain:levit-128s_3rdparty_in1k'])
def test_names_of_mmpretrain(name):
    pytest.importorskip('mmpretrain')
    candidate = find_candidate(name)
    assert candidate.source == f'mmpretrain:{name.rpartition(":")[2]}'
    assert candidate.shape == (224, 224)


def test_unknown_names():
    with pytest.raises(ValueError, match="model='emo_9m' is no peer"):
        find_candidate('emo_9m')
    pytest.importorskip('timm')
    with pytest.raises(ValueError, match='timm has no .* Similar: edgenext'):
        find_candidate('timm:edgenext_xxx_small')


def test_measured_beside_published():
    pytest.importorskip('mmpretrain')
    names = ('emo_1m', 'mobilevit-xxsmall_3rdparty_in1k')
    candidates = [find_candidate(name) for name in names]
    ours, theirs = compare(candidates, batch_size=2, repeats=2, min_time=0)
    assert ours['params'] == ours['published']['params'] == 1361168
    assert ours['flops'] / 1e6 == pytest.approx(260.84, abs=0.3)
    assert ours['published']['result'] == 71.498
    assert theirs['params'] == pytest.approx(1.3e6, rel=0.03)
    for row in (ours, theirs):
        assert 0 < row['quartiles'][0] <= row['images_per_second']
        assert row['images_per_second'] <= row['quartiles'][1]
        if row['peak_memory'] is not None:  # a map of 112 x 112 x 16 at least
            assert row['peak_memory'] > 2 * 112 * 112 * 16 * 4


def test_published_numbers_of_configs():
    pytest.importorskip('mmdet')
    candidate = find_candidate('ssdlite_mobilevit_xxs')
    assert candidate.published == Published(1.7e6, 0.9e9, 19.9, 'box AP')
    assert 'cvnets' in candidate.note
    pytest.importorskip('mmpretrain')
    candidate = find_candidate('emo_5m_parallel')
    assert candidate.published == Published(5.1e6, 964e6, 78.1,
                                            'Top 1 Accuracy')
    candidate = find_candidate('emo_5m_attn_1234')
    assert candidate.published == Published(None, 992e6)
    candidate = find_candidate('emo_5m_mnetv3')
    assert candidate.published == Published(5108848, 902583776)
    assert 'diverged (NaN)' in candidate.note


def test_families_of_the_plot():
    families = accuracies()
    flops = pytest.approx(260.84, abs=0.005)
    assert families['EMO'][0] == ('1M', flops, 71.498)
    assert [size for size, *_ in families['EMO']
            ] == ['1M', '2M', '5M', '6M', '10M', '20M']
    assert families['EdgeNeXt'] == [('XXS', 261, 71.2), ('XS', 538, 75.0),
                                    ('S', 965, 78.8)]
    assert 'RepViT' not in families  # without printed numbers


def run(*args):
    return subprocess.run([sys.executable, TOOL, *map(str, args)],
                          capture_output=True,
                          text=True)


def test_table_and_plot(tmp_path):
    pytest.importorskip('mmpretrain')
    plot = tmp_path / 'plot.png'
    result = run('emo_1m', 'MobileNetV3-L-0.50', '--batch-size', 1,
                 '--repeats', 1, '--shape', 64, 64, '--plot', plot)
    header, _, ours, peer, note = result.stdout.splitlines()
    assert header.split('|')[1].strip() == 'model'
    assert [cell.strip() for cell in ours.split('|')[1:5]
            ] == ['emo_1m', '64x64', '1.361', '1.361']
    assert [cell.strip() for cell in peer.split('|')[1:5]
            ] == ['MobileNetV3-L-0.50 [1]', '64x64', '', '2.6']
    assert note == '[1] not built: neither mmpretrain nor timm provides it'
    assert plot.read_bytes().startswith(b'\x89PNG')


def test_list_builds_nothing():
    rows = json.loads(run('--list', '--json').stdout)
    assert [row['model'] for row in rows] == [peer.name for peer in PEERS]
    assert all(row['params'] is None for row in rows)


@pytest.mark.parametrize('args, message', [
    (('--batch-size', 0), '--batch-size=0 must be at least 1'),
    (('--repeats', 0), '--repeats=0 must be at least 1'),
    (('--shape', 0, 5), '--shape=[0, 5] must be at least 1 1'),
])
def test_bad_arguments(args, message):
    result = run('emo_1m', *args)
    assert result.returncode != 0
    assert message in result.stderr


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match="device='tpu' is not to be had"):
        compare([], device='tpu')


def test_a_network_of_one_size():
    pytest.importorskip('timm')
    candidate = find_candidate('timm:deit_tiny_patch16_224')
    with pytest.raises(ValueError, match='_224.* does not run on 256x256: '):
        compare([replace(candidate, shape=(256, 256))])
