import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from emo_mm.apis import find_config
from emo_mm.inference import compile as compiling
from emo_mm.inference import fast, make_exportable, make_reference
from emo_mm.models import EMO
from emo_mm.models.studies.ablations import EMOWithBlock
from tests.helpers import TINY, flatten


def randomise_norms(model):
    """As after a training: none has factor 1, term 0, mean 0, variance 1."""
    for module in model.modules():
        if isinstance(module, (_BatchNorm, nn.LayerNorm)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -1, 1)
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def assert_same_outputs(model, deployed, x):
    with torch.no_grad():
        for a, b in zip(flatten(deployed(x)), flatten(model(x))):
            assert a.shape == b.shape
            assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.mark.parametrize(
    'arch, norms_left',
    [
        (TINY, 0),
        ({
            **TINY, 'norms': ('LN', ) * 4
        }, 0),
        ({
            **TINY, 'norms': ('BN', ) * 4
        }, 2),  # zeros are padded after it, before attention
    ])
@pytest.mark.parametrize('size', [(64, 64), (97, 150)])
def test_backbone_computes_the_same(arch, norms_left, size):
    model = randomise_norms(
        EMO(arch, window_size=3, out_indices=(0, 1, 2, 3, 4)))
    deployed = copy.deepcopy(model)
    deployed.switch_to_deploy()
    assert_same_outputs(model, deployed, torch.randn(2, 3, *size))
    norms = [m for m in deployed.modules() if isinstance(m, _BatchNorm)]
    assert len(norms) == norms_left


@pytest.mark.parametrize('block', [
    'iRMBWithoutConv', 'MetaFormerBlock', 'iRMBAttentionAfterExpansion',
    'iRMBConvFirst', 'iRMBParallel'
])
@pytest.mark.parametrize('norm', ['LN', 'BN'])
def test_other_blocks_compute_the_same(block, norm):
    arch = dict(TINY, norms=(norm, ) * 4)
    model = randomise_norms(EMOWithBlock(arch, block=block, window_size=3))
    deployed = copy.deepcopy(model)
    deployed.switch_to_deploy()
    assert_same_outputs(model, deployed, torch.randn(2, 3, 97, 150))


def test_groups_of_samples_compute_the_same(monkeypatch):
    model = randomise_norms(EMO(TINY, out_indices=(0, 4)))
    deployed = copy.deepcopy(model)
    deployed.switch_to_deploy()
    # The stem's map takes 24 * 32 * 32 * 4 bytes of a sample.
    monkeypatch.setattr(fast, 'GROUP_BYTES', 2 * 24 * 32 * 32 * 4)
    sizes = []
    deployed.stages[0][0].register_forward_pre_hook(
        lambda _, inputs: sizes.append(len(inputs[0])))
    x = torch.randn(5, 3, 64, 64)
    assert_same_outputs(model, deployed, x)
    assert sizes == [2, 2, 1]


def test_compiled_groups_of_images_compute_the_same(monkeypatch):
    model = randomise_norms(EMO(TINY, out_indices=(0, 4)))
    width = model.stages[1][0].expand.out_channels
    # Of the backend 'eager', which runs without a compiler.
    compiler = torch.compile
    monkeypatch.setattr(torch, 'compile',
                        lambda model, **_: compiler(model, backend='eager'))
    monkeypatch.setattr(compiling, 'has_cpp_compiler', lambda: True)
    monkeypatch.setattr(compiling, 'COMPILED_GROUP_BYTES',
                        2 * width * 32 * 32 * 4)
    sizes = []
    switched = copy.deepcopy(model)
    switched.register_forward_pre_hook(
        lambda _, inputs: sizes.append(len(inputs[0])))
    compiled = compiling.compile_deployed(switched)
    assert_same_outputs(model, compiled, torch.randn(5, 3, 64, 64))
    assert sizes == [2, 2, 2]


@pytest.mark.skipif(
    not compiling.has_cpp_compiler(), reason='needs a C++ compiler')
def test_compiled_code_computes_the_same_and_holds_the_weights():
    torch.compiler.reset()
    model = randomise_norms(EMO(TINY))
    switched = copy.deepcopy(model)
    compiled = compiling.compile_deployed(switched)
    # Stage 3 has one window, and then some that are padded.
    images = [torch.randn(2, 3, *size) for size in ((112, 112), (128, 96))]
    for x in images:
        assert_same_outputs(model, compiled, x)
    for module in switched.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            module.weight.zero_()
    for x in images:
        assert_same_outputs(model, compiled, x)


def test_more_sizes_than_codes_run_deployed(monkeypatch):
    torch.compiler.reset()
    compiler = torch.compile
    monkeypatch.setattr(
        torch, 'compile', lambda model, dynamic, **_: compiler(
            model, dynamic=dynamic, backend='eager'))
    monkeypatch.setattr(compiling, 'has_cpp_compiler', lambda: True)
    monkeypatch.setattr(torch._dynamo.config, 'recompile_limit', 2)
    model = randomise_norms(EMO(TINY))
    compiled = compiling.compile_deployed(copy.deepcopy(model))
    for width in (32, 64, 96, 128):
        assert_same_outputs(model, compiled, torch.randn(2, 3, 64, width))


def test_without_a_compiler_the_model_runs_deployed(monkeypatch):
    monkeypatch.setattr(compiling.shutil, 'which', lambda name: None)
    model = EMO(TINY)
    with pytest.warns(UserWarning, match=r'needs a C\+\+ compiler'):
        assert compiling.compile_deployed(model) is model
    assert isinstance(model.stages[0], fast.FastStage)


@pytest.mark.parametrize('library, config', [
    ('mmpretrain', 'emo_1m'),
    ('mmdet', 'ssdlite_emo_1m'),
    ('mmseg', 'deeplabv3_emo_1m'),
])
def test_whole_models_compute_the_same(library, config):
    pytest.importorskip(library)
    cfg = Config.fromfile(find_config(config))
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.arch = TINY
    cfg.model.backbone.init_cfg = None
    for head in ('bbox_head', 'decode_head', 'auxiliary_head', 'head'):
        if head in cfg.model:
            cfg.model[head].pop('init_cfg', None)
    fit_widths(cfg.model)
    model = randomise_norms(MODELS.build(cfg.model))
    deployed = fast.switch_to_deploy(copy.deepcopy(model))
    assert_same_outputs(model, deployed, torch.randn(1, 3, 128, 128))
    assert not any(isinstance(m, _BatchNorm) for m in deployed.modules())
    assert not any(p.requires_grad for p in deployed.parameters())


def fit_widths(model):
    """Make the necks and heads of a config take what TINY gives."""
    if 'neck' in model and model.neck.type == 'SSDNeck':
        model.neck.in_channels = (16, 16)
        model.neck.out_channels = (16, 16, *model.neck.out_channels[2:])
        model.bbox_head.in_channels = model.neck.out_channels
    elif 'neck' in model:
        model.neck.in_channels = 16
        model.head.in_channels = 16
    else:
        model.decode_head.in_channels = 16
        model.auxiliary_head.in_channels = 16


def test_a_convolution_shared_by_two_norms_is_folded_for_each():
    mmcv = pytest.importorskip('mmcv.cnn')
    model = nn.ModuleList(
        mmcv.ConvModule(4, 4, 3, norm_cfg=dict(type='BN')) for _ in range(2))
    model[1].conv = model[0].conv
    randomise_norms(model)
    deployed = fast.switch_to_deploy(copy.deepcopy(model))
    for i in range(2):
        assert_same_outputs(model[i], deployed[i], torch.randn(1, 4, 6, 6))


def test_deployed_weights_load_and_trained_ones_are_refused():
    model = randomise_norms(EMO(TINY))
    trained = copy.deepcopy(model.state_dict())
    model.switch_to_deploy()
    model.switch_to_deploy()  # a second time changes nothing
    other = EMO(TINY)
    other.switch_to_deploy()
    other.load_state_dict(model.state_dict())
    assert_same_outputs(model, other, torch.randn(1, 3, 64, 64))
    with pytest.raises(ValueError, match='Load weights first'):
        other.load_state_dict(trained, strict=False)


def test_deployed_stays_in_eval_mode():
    model = nn.Sequential(EMO(TINY), nn.Identity())
    fast.switch_to_deploy(model)
    model.train()  # as exporters do with what surrounds it
    assert not any(m.training for m in model[0].stages.modules()
                   if m is not model[0].stages)


def test_reference_rendering_is_channels_first_throughout():
    model = EMO(TINY, window_size=3, out_indices=(0, 1, 2, 3, 4)).eval()
    reference = make_reference(copy.deepcopy(model))
    assert reference.state_dict().keys() == model.state_dict().keys()
    x = torch.randn(2, 3, 97, 150)
    assert_same_outputs(model, reference, x)
    with torch.no_grad():
        assert all(out.is_contiguous() for out in reference(x))


def test_a_form_is_made_once():
    model = randomise_norms(EMO(TINY, window_size=3))
    x = torch.randn(1, 3, 97, 150)
    for make in (make_exportable, fast.switch_to_deploy):
        made = make(copy.deepcopy(model))
        again = make(made)
        assert_same_outputs(model, again, x)
