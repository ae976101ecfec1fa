"""The published ImageNet recipe."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from tests.helpers import ROOT

pytest.importorskip('mmpretrain')
CONFIGS = ROOT / 'configs' / 'mmpretrain'


@pytest.fixture(scope='module')
def cfg():
    return Config.fromfile(CONFIGS / 'emo_5m.py')


def test_schedule(cfg):
    assert cfg.train_cfg.max_epochs == 300
    scheduler = cfg.param_scheduler
    assert scheduler.type == 'WarmupCosineLR'
    assert scheduler.warmup_ratio * 300 == pytest.approx(20)
    assert scheduler.eta_min == 1e-6


def test_optimizer(cfg):
    from mmengine.optim import build_optim_wrapper
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    assert isinstance(wrapper.optimizer, torch.optim.AdamW)
    assert wrapper.clip_grad_kwargs['max_norm'] == 5.0
    for group in wrapper.optimizer.param_groups:
        assert group['lr'] == 6e-3 and group['betas'] == (0.9, 0.999)
        parameter, = group['params']
        assert group['weight_decay'] == (0.05 if parameter.ndim > 1 else 0)


def test_batch_and_data(cfg):
    assert cfg.auto_scale_lr.base_batch_size == 2048
    assert cfg.train_dataloader.batch_size * 8 == 2048
    steps = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert steps == [
        'LoadImageFromFile', 'RandomChoice', 'RandomFlip', 'RandAugment',
        'PackInputs'
    ]
    test_steps = {
        step.type: step
        for step in cfg.test_dataloader.dataset.pipeline
    }
    assert test_steps['ResizeEdge'].scale == 256
    assert test_steps['ResizeEdge'].interpolation == 'bicubic'
    assert test_steps['CenterCrop'].crop_size == 224


def test_average_of_weights(cfg):
    ema, = (hook for hook in cfg.custom_hooks if hook.type == 'EMAHook')
    assert ema.momentum == pytest.approx(1 - 0.9998)
    assert ema.update_buffers


def test_initial_head():
    init_default_scope('mmpretrain')
    model = MODELS.build(Config.fromfile(CONFIGS / 'emo_1m.py').model)
    model.init_weights()
    weight = model.head.fc.weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert (model.head.fc.bias == 0).all()
