"""Published settings of SSDLite."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from tests.helpers import ROOT

pytest.importorskip('mmdet')
CONFIGS = ROOT / 'configs' / 'mmdet'


def load(arch):
    return Config.fromfile(CONFIGS / f'ssdlite_emo_{arch}.py')


def build(cfg):
    from mmdet.registry import MODELS
    init_default_scope('mmdet')
    return MODELS.build(cfg.model)


@pytest.mark.parametrize('arch, window_size', [('1m', 7), ('2m', 7),
                                               ('5m', 10)])
def test_backbone_settings(arch, window_size):
    backbone = load(arch).model.backbone
    assert backbone.type == 'EMO' and backbone.arch == arch
    assert backbone.window_size == window_size
    assert tuple(backbone.out_indices) == (3, 4)
    assert backbone.norm_eval and backbone.get('frozen_stages', -1) == -1
    assert backbone.init_cfg == dict(
        type='Pretrained', checkpoint=f'emo://{arch}')


def test_only_the_backbone_synchronises_batch_norm():
    model = build(load('1m'))
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            synchronised = isinstance(module, torch.nn.SyncBatchNorm)
            assert synchronised == name.startswith('backbone.'), name
            if not synchronised:
                assert (module.eps, module.momentum) == (1e-3, 0.03)


def test_optimizer_settings():
    from mmengine.optim import build_optim_wrapper
    cfg = load('5m')
    model = build(cfg)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    assert isinstance(optimizer, torch.optim.AdamW)
    decays = {
        id(group['params'][0]): group['weight_decay']
        for group in optimizer.param_groups
    }
    for name, parameter in model.named_parameters():
        # Spared are the parameters with "norm" in their published name: not
        # the stem's BatchNorm, nor biases, nor the head's "bn".
        assert decays[id(parameter)] == (0 if 'norm' in name else 0.05), name
    assert optimizer.param_groups[0]['lr'] == 1.2e-3


def test_data_and_schedule_settings():
    cfg = load('1m')
    assert cfg.train_dataloader.batch_size == 24  # on each of 8 GPUs
    assert cfg.auto_scale_lr.base_batch_size == 192
    assert cfg.train_dataloader.dataset.type == 'RepeatDataset'
    assert cfg.train_dataloader.dataset.times == 5
    assert cfg.train_cfg.max_epochs == 120
    assert cfg.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert cfg.model.data_preprocessor.std == [58.395, 57.12, 57.375]
    assert cfg.model.data_preprocessor.bgr_to_rgb
    anchors = cfg.model.bbox_head.anchor_generator
    assert anchors.strides == [16, 32, 64, 107, 160, 320]
    assert anchors.min_sizes == [48, 100, 150, 202, 253, 304]
    assert anchors.max_sizes == [100, 150, 202, 253, 304, 320]
    assert all(ratios == [2, 3] for ratios in anchors.ratios)


def test_checkpoints_are_bounded():
    hook = load('1m').default_hooks.checkpoint
    assert hook.max_keep_ckpts == 1 and hook.save_best == 'coco/bbox_mAP'
