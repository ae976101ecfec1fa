"""Networks of timm as backbones."""
import sys

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from emo_mm.models import TimmFeatures

timm = pytest.importorskip('timm')


def make(**settings):
    return TimmFeatures('mobilenetv2_035', (3, 4), **settings)


def norms(model):
    return [m for m in model.modules() if isinstance(m, _BatchNorm)]


def test_maps_are_those_of_timm():
    torch.manual_seed(0)
    model = make().eval()
    torch.manual_seed(0)
    network = timm.create_model(
        'mobilenetv2_035', features_only=True, out_indices=(3, 4)).eval()
    x = torch.rand(1, 3, 64, 64)
    maps = model(x)
    assert [tuple(out.shape[2:]) for out in maps] == [(4, 4), (2, 2)]
    for ours, theirs in zip(maps, network(x)):
        torch.testing.assert_close(ours, theirs)


def test_settings_reach_timm():
    maps = make(output_stride=16)(torch.rand(1, 3, 64, 64))
    assert [tuple(out.shape[2:]) for out in maps] == [(4, 4), (4, 4)]


@pytest.mark.parametrize('norm_eval', [True, False])
def test_norm_eval(norm_eval):
    model = make(norm_eval=norm_eval).train()
    assert all(norm.training != norm_eval for norm in norms(model))
    assert model.training


def test_synchronised_norms_keep_their_activations():
    plain, model = make().eval(), make(sync_bn=True).eval()
    assert all(isinstance(n, torch.nn.SyncBatchNorm) for n in norms(model))
    model.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 64, 64)
    for ours, theirs in zip(model(x), plain(x)):
        torch.testing.assert_close(ours, theirs)


def test_weights_are_fetched_when_training_starts(monkeypatch):
    source, model = make().network, make()
    asked = []

    def create_model(name, **settings):
        asked.append((name, settings['pretrained']))
        return source

    monkeypatch.setattr(timm, 'create_model', create_model)
    model.init_weights()
    for key, value in model.network.state_dict().items():
        torch.testing.assert_close(value, source.state_dict()[key])
    assert asked == [('mobilenetv2_035', True)]


def test_from_scratch_nothing_is_fetched(monkeypatch):
    model = make(pretrained=False)
    monkeypatch.delattr(timm, 'create_model')
    model.init_weights()


def test_weights_that_cannot_be_had(monkeypatch):
    model = make()

    def fail(*_, **__):
        raise OSError('no connection')

    monkeypatch.setattr(timm, 'create_model', fail)
    with pytest.raises(
            FileNotFoundError, match="'mobilenetv2_035': no connection") as e:
        model.init_weights()
    assert 'model.backbone.pretrained=False' in str(e.value)


def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(ImportError, match='pip install timm'):
        make()
