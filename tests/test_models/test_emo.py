import copy

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from emo_mm.models import EMO
from emo_mm.models.emo import ARCHS
from tests.helpers import TINY


def test_is_in_the_root_registry():
    model = MODELS.build(dict(type='EMO', arch='1m'))
    assert isinstance(model, EMO)


@pytest.mark.parametrize('arch', ARCHS)
def test_output_shapes(arch):
    model = EMO(arch, out_indices=(0, 1, 2, 3, 4)).eval()
    with torch.no_grad():
        outs = model(torch.rand(2, 3, 64, 96))
    assert isinstance(outs, tuple)
    for out, width, stride in zip(outs, model.feature_widths,
                                  (2, 4, 8, 16, 32)):
        assert out.shape == (2, width, 64 // stride, 96 // stride)


@pytest.mark.parametrize('height, width', [(1, 1), (31, 33), (20, 500),
                                           (225, 97)])
def test_any_input_size(height, width):
    with torch.no_grad():
        out, = EMO(TINY, window_size=5).eval()(torch.rand(1, 3, height, width))
    assert out.shape == (1, 16, -(-height // 32), -(-width // 32))


def test_in_channels():
    out, = EMO(TINY, in_channels=1)(torch.rand(2, 1, 32, 32))
    assert out.shape == (2, 16, 1, 1)


def test_stages_after_the_last_output_are_not_built():
    assert len(EMO(TINY, out_indices=(1, 2)).stages) == 3
    outs = EMO(TINY, out_indices=2)(torch.rand(2, 3, 32, 32))
    assert [out.shape[1] for out in outs] == [8]


def test_drop_path_grows_linearly_from_zero():
    model = EMO(TINY, drop_path_rate=0.3)
    rates = [
        block.drop_path.drop_prob for stage in model.stages[1:]
        for block in stage
    ]
    torch.testing.assert_close(rates, torch.linspace(0, 0.3, 7).tolist())
    published = EMO('1m').stages[4][-1].drop_path.drop_prob
    assert published == pytest.approx(0.04036)


def test_drop_path_drops_in_training_only():
    model = EMO(TINY, drop_path_rate=0.9)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.
    x = torch.rand(4, 3, 64, 64)
    torch.manual_seed(0)
    assert not torch.equal(model(x)[0], model(x)[0])
    model.eval()
    assert torch.equal(model(x)[0], model(x)[0])


@pytest.mark.parametrize('frozen_stages', [-1, 0, 2])
def test_frozen_stages(frozen_stages):
    model = EMO(TINY, frozen_stages=frozen_stages)
    before = copy.deepcopy(model.state_dict())
    model.train()
    model(torch.rand(2, 3, 32, 32))[0].sum().backward()
    torch.optim.SGD([p for p in model.parameters() if p.grad is not None],
                    0.1).step()
    for key, value in model.state_dict().items():
        if key.endswith('num_batches_tracked'):
            continue
        frozen = int(key.split('.')[1]) <= frozen_stages
        if frozen:
            assert torch.equal(value, before[key]), key
    moved = [
        not torch.equal(value, before[key])
        for key, value in model.state_dict().items() if
        key.endswith('running_mean') and int(key.split('.')[1]) > frozen_stages
    ]
    assert all(moved)


def test_norm_eval_keeps_statistics():
    model = EMO(TINY, norm_eval=True).train()
    before = copy.deepcopy(model.stages[0][0].bn.running_mean)
    model(torch.rand(2, 3, 32, 32))
    assert torch.equal(model.stages[0][0].bn.running_mean, before)
    assert model.training and not model.stages[0][0].bn.training


@pytest.mark.parametrize('norm_cfg, layer', [
    (None, nn.BatchNorm2d),
    (dict(type='BN', momentum=0.03), nn.BatchNorm2d),
    (dict(type='SyncBN', requires_grad=False), nn.SyncBatchNorm),
])
def test_norm_cfg(norm_cfg, layer):
    model = EMO(TINY, norm_cfg=norm_cfg)
    norms = [
        m for m in model.modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm)
    ]
    assert norms and all(type(norm) is layer for norm in norms)
    assert all(norm.eps == 1e-6 for norm in norms)
    if norm_cfg and 'momentum' in norm_cfg:
        assert norms[0].momentum == 0.03
    if norm_cfg and 'requires_grad' in norm_cfg:
        assert not norms[0].weight.requires_grad


def test_with_cp_trains_alike():
    torch.manual_seed(0)
    plain = EMO(TINY, drop_path_rate=0.)
    recomputed = EMO(TINY, drop_path_rate=0., with_cp=True)
    recomputed.load_state_dict(plain.state_dict())
    x = torch.rand(2, 3, 64, 64)
    for model in (plain, recomputed):
        model(x)[0].square().mean().backward()
    for (name, a), b in zip(plain.named_parameters(), recomputed.parameters()):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    for (name, a), b in zip(plain.named_buffers(), recomputed.buffers()):
        torch.testing.assert_close(a, b, msg=name)


@pytest.mark.parametrize('kwargs, message', [
    (dict(arch='7m'), r"arch='7m'.*1m, 2m, 5m"),
    (dict(arch={
        **TINY, 'depths': (1, 2, 2)
    }), r"'depths'.*list of 4"),
    (dict(arch={
        **TINY, 'widths': (8, 8, 18, 16)
    }), r'stage 3.*18.*8'),
    (dict(arch={
        **TINY, 'exp_ratios': (2, 2, 2, -1)
    }), 'positive number'),
    (dict(arch={
        **TINY, 'norms': ('BN', 'BN', 'LN', 'GN')
    }), "'norms'.*LN"),
    (dict(arch={
        **TINY, 'width': 3
    }), r"unknown keys \['width'\]"),
    (dict(arch=dict(depths=(1, 1, 1, 1))), 'lacks.*widths'),
    (dict(arch={
        **TINY, 'kernel_sizes': (3, 3, 4, 5)
    }), 'positive odd int'),
    (dict(arch={
        **TINY, 'exp_ratios': (2, .1, 2, 2)
    }), 'stage 2.*0.1.*larger'),
    (dict(out_indices=(3.0, )), 'out_indices'),
    (dict(in_channels='3'), "in_channels='3'"),
    (dict(drop_path_rate='a'), "drop_path_rate='a'"),
    (dict(window_size=0), 'window_size=0'),
    (dict(window_size=2.5), 'window_size=2.5'),
    (dict(out_indices=(3, 5)), r'out_indices=\(3, 5\)'),
    (dict(out_indices=()), 'out_indices'),
    (dict(frozen_stages=5), 'frozen_stages=5'),
    (dict(drop_path_rate=1.), 'drop_path_rate=1.0'),
    (dict(norm_cfg=dict(type='GN')), "norm_cfg.*'GN'.*BN"),
    (dict(in_channels=0), 'in_channels=0'),
])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        EMO(**kwargs)


def test_arch_of_another_type():
    with pytest.raises(TypeError, match='arch must be a str or a dict.*5'):
        EMO(5)


@pytest.mark.parametrize(
    'kwargs',
    [dict(norm_eval=True), dict(frozen_stages=1)])
def test_frozen_without_weights_warns(kwargs):
    with pytest.warns(UserWarning, match='starts without weights.*init_cfg'):
        EMO(TINY, **kwargs).init_weights()


def test_init_cfg_other_than_pretrained():
    model = EMO(TINY, init_cfg=dict(type='Constant', layer='Linear', val=3.))
    model.init_weights()
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert linear and all((m.weight == 3).all() for m in linear)
