"""A run that takes milliseconds, and draws from all random generators."""
import random
from itertools import count
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import (
    DATASETS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
)
from torch import nn
from torch.utils.data import Dataset

from emo_mm.engine import CheckedRunner

NUMBERS = count()


@DATASETS.register_module(name='ToyData')
class Data(Dataset):
    """Samples of ten numbers, augmented by numpy, Python and torch."""
    metainfo = dict(classes=('a', 'b'))

    def __init__(self, length=14):
        self.length = length
        self.loaded = 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.loaded += 1
        if index >= self.length:
            raise IndexError
        noise = np.random.rand() + random.random() + torch.rand(1).item()
        inputs = torch.linspace(0, 1 + index, 10) + noise
        return dict(inputs=inputs, target=torch.tensor([float(index % 3)]))


@MODELS.register_module(name='ToyModel')
class Model(BaseModel):
    """A network with dropout and running statistics."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(10, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.3))
        self.head = nn.Linear(8, 1)

    def forward(self, inputs, target, mode='tensor'):
        inputs, target = torch.stack(inputs), torch.stack(target)
        outputs = self.head(self.layers(inputs))
        if mode == 'loss':
            loss = (outputs - target).square().mean()
            # As mmseg's accuracy where all pixels are ignored.
            return dict(loss=loss, acc=torch.tensor(float('nan')))
        return list(outputs)


@MODELS.register_module(name='ToyOfTwo')
class TwoOptimizers(Model):
    """The same network, whose parts have an optimizer each."""

    def train_step(self, data, optim_wrapper):
        data = self.data_preprocessor(data, True)
        loss, values = self.parse_losses(self(**data, mode='loss'))
        loss.backward()
        for wrapper in optim_wrapper.values():
            wrapper.step()
            wrapper.zero_grad()
        return values


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(name='ToyOfTwo')
class OptimizerOfEach:
    """Give each part of the model an optimizer."""

    def __init__(self, **kwargs):
        pass

    def __call__(self, model):
        return OptimWrapperDict(
            layers=OptimWrapper(torch.optim.AdamW(model.layers.parameters())),
            head=OptimWrapper(torch.optim.AdamW(model.head.parameters())))


@METRICS.register_module(name='ToyMean')
class Mean(BaseMetric):
    """The mean of all outputs."""

    def process(self, data_batch, data_samples):
        self.results += [sample.item() for sample in data_samples]

    def compute_metrics(self, results):
        return dict(mean=float(np.mean(results)))


def make_cfg(work_dir, by_epoch=True, **changes):
    """Return a config of three epochs of four iterations, or of twelve."""
    data = dict(
        batch_size=4,
        num_workers=0,
        dataset=dict(type='ToyData'),
        sampler=dict(type='DefaultSampler', shuffle=True),
        drop_last=False)
    step = dict(by_epoch=by_epoch)
    cfg = Config(
        dict(
            model=dict(type='ToyModel'),
            work_dir=str(work_dir),
            train_dataloader=data,
            train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=1) if
            by_epoch else dict(by_epoch=False, max_iters=12, val_interval=4),
            val_dataloader=dict(
                data, sampler=dict(type='DefaultSampler', shuffle=False)),
            val_cfg=dict(),
            val_evaluator=dict(type='ToyMean'),
            optim_wrapper=dict(
                type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.05)),
            param_scheduler=[
                dict(
                    type='WarmupLR',
                    start_factor=0.1,
                    warmup_iters=3,
                    by_epoch=False),
                dict(type='CosineAnnealingLR', **step),
            ],
            default_hooks=dict(
                checkpoint=dict(
                    type='CheckpointHook',
                    interval=1 if by_epoch else 4,
                    max_keep_ckpts=1,
                    save_best='mean',
                    rule='greater',
                    **step),
                curves=None,
                val_images=None),
            custom_hooks=[dict(type='EMAHook', momentum=0.1)],
            log_processor=dict(by_epoch=by_epoch),
            randomness=dict(seed=3)))
    cfg.merge_from_dict(changes)
    return cfg


def build(cfg):
    # mmengine tells runs of one second apart by this alone.
    cfg.experiment_name = f'toy_{next(NUMBERS)}'
    return CheckedRunner.from_cfg(cfg)


def train(cfg):
    """Train, and return the runner."""
    runner = build(cfg)
    runner.train()
    return runner


def state_of(runner):
    """Return all that a resumed run must have in common with another."""
    ema, = (hook for hook in runner.hooks if hasattr(hook, 'ema_model'))
    optimizer = runner.optim_wrapper.state_dict()
    schedulers = [s.state_dict() for s in runner.param_schedulers]
    return dict(
        model=runner.model.state_dict(),
        ema=ema.ema_model.state_dict(),
        optimizer=optimizer['state'],
        lr=[group['lr'] for group in optimizer['param_groups']],
        schedulers=[{
            k: v
            for k, v in state.items() if k != 'verbose'
        } for state in schedulers],
        random=torch.get_rng_state(),
        step=(runner.epoch, runner.iter))


def names(folder):
    """Return the names of the checkpoints in a folder, begun ones too."""
    return sorted(path.name for path in Path(folder).glob('*.pth*'))


def log_of(runner):
    """Return the text that a run has logged."""
    log, = Path(runner.log_dir).glob('*.log')
    return log.read_text()
