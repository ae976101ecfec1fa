"""What CheckedRunner does besides mmengine's Runner."""
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import BaseLoop, Runner
from torch import nn

from emo_mm.apis import find_config
from emo_mm.datasets.shapes import CLASSES, generate_coco
from emo_mm.engine import CheckedRunner
from emo_mm.engine.from_scratch import find_frozen
from emo_mm.models import EMO


# --- Labels -----------------------------------------------------------------
class Loop(BaseLoop):

    def __init__(self, classes):
        dataset = SimpleNamespace(metainfo=dict(classes=tuple(classes)))
        super().__init__(None, SimpleNamespace(dataset=dataset))

    def run(self):
        raise NotImplementedError


class Loaded(Exception):
    """Raised in place of loading."""


def make_runner(monkeypatch, **loops):

    def load_or_resume(self):
        raise Loaded

    monkeypatch.setattr(Runner, 'load_or_resume', load_or_resume)
    runner = CheckedRunner.__new__(CheckedRunner)
    runner.model, runner._resume = nn.Module(), False
    for name in ('train', 'val', 'test'):
        classes = loops.get(name)
        setattr(runner, f'_{name}_loop', classes and Loop(classes))
    return runner


def test_runs_compare_labels_of_their_data(monkeypatch):
    runner = make_runner(monkeypatch, train='abc', val='ac')
    with pytest.raises(ValueError, match='val_dataloader.dataset gives .c.'):
        runner.load_or_resume()
    with pytest.raises(Loaded):
        make_runner(monkeypatch, train='abc', val='ab').load_or_resume()


def test_tests_compare_labels_with_those_of_the_checkpoint(monkeypatch):
    checkpoint = dict(
        state_dict={}, meta=dict(dataset_meta=dict(classes=('a', 'b', 'c'))))
    monkeypatch.setattr(Runner, 'load_checkpoint', lambda *_: checkpoint)
    with pytest.raises(ValueError, match="which is 2 in checkpoint='x.pth'"):
        make_runner(monkeypatch, val='ac').load_checkpoint('x.pth')
    make_runner(monkeypatch, val='abc').load_checkpoint('x.pth')


# --- From scratch -----------------------------------------------------------
NUMBERS = count()


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    pytest.importorskip('mmdet')
    folder = tmp_path_factory.mktemp('data')
    generate_coco(folder, dict(train2017=2, val2017=2), size=64)
    return folder


@pytest.fixture
def cfg(data, tmp_path):
    """RetinaNet, whose first two stages and all statistics are frozen."""
    cfg = Config.fromfile(find_config('retinanet_emo_1m'))
    cfg.merge_from_dict(dict(work_dir=str(tmp_path), randomness=dict(seed=0)))
    cfg.model.backbone.drop_path_rate = 0.
    cfg.model.bbox_head.num_classes = len(CLASSES)
    dataset = cfg.train_dataloader.dataset
    dataset.update(data_root=str(data), metainfo=dict(classes=CLASSES))
    dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs')
    ]
    cfg.train_dataloader.update(
        batch_size=2, num_workers=0, persistent_workers=False)
    for loop in ('val', 'test'):
        for part in ('cfg', 'dataloader', 'evaluator'):
            cfg[f'{loop}_{part}'] = None
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    cfg.default_hooks.checkpoint.update(save_best=None, max_keep_ckpts=-1)
    return cfg


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'emo.pth'
    torch.save(EMO('1m').state_dict(), path)
    return dict(checkpoint=str(path))


def build(cfg):
    # mmengine tells runs of one second apart by this alone.
    cfg.experiment_name = f'run_{next(NUMBERS)}'
    return CheckedRunner.from_cfg(cfg)


def is_frozen(runner):
    """Whether the first stages and all statistics are, or neither."""
    backbone = runner.model.train().backbone
    assert all(p.requires_grad for p in backbone.stages[2:].parameters())
    parts = {p.requires_grad for p in backbone.stages[:2].parameters()}
    parts |= {m.training for m in backbone.modules() if hasattr(m, 'momentum')}
    frozen, = {not part for part in parts}
    return frozen


def test_weights_are_kept(cfg, weights):
    cfg.model.backbone.init_cfg = weights
    assert is_frozen(build(cfg))


def test_a_backbone_without_weights_is_not_frozen(cfg):
    cfg.model.backbone.init_cfg = None
    runner = build(cfg)
    assert not is_frozen(runner)
    # The dumped config says what was done.
    backbone = Config.fromfile(
        f'{cfg.work_dir}/retinanet_emo_1m.py').model['backbone']
    assert (backbone.norm_eval, backbone.frozen_stages) == (False, -1)
    log, = Path(runner.log_dir).glob('*.log')
    text = log.read_text()
    assert 'model.backbone starts without weights' in text
    assert 'norm_eval=False and frozen_stages=-1' in text


def test_resuming_does_as_the_interrupted_run(cfg):
    cfg.model.backbone.init_cfg = None
    cfg.train_cfg.max_epochs = 2
    runner = build(cfg)
    runner.train()
    statistics = [
        value for key, value in runner.model.backbone.state_dict().items()
        if key.endswith('running_mean')
    ]
    assert all(mean.abs().max() > 0 for mean in statistics)
    cfg.resume = True
    again = build(cfg)
    assert not is_frozen(again)
    again.train()
    cfg.load_from = f'{cfg.work_dir}/epoch_1.pth'
    again = build(cfg)
    assert not is_frozen(again)
    again.train()
    for key, value in runner.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[key], value)


def test_a_start_from_weights_of_the_whole_model_is_frozen(cfg):
    """So is what resumes it, which is not told where it began."""
    cfg.model.backbone.init_cfg = None
    whole = f'{cfg.work_dir}/whole.pth'
    torch.save(build(cfg).model.state_dict(), whole)
    cfg.load_from = whole
    runner = build(cfg)
    assert is_frozen(runner)
    runner.train()
    cfg.update(load_from=None, resume=True)
    assert is_frozen(build(cfg))


def test_where_backbones_are_found():
    init_default_scope('mmengine')
    frozen = dict(type='EMO', norm_eval=True, frozen_stages=1)
    whole = dict(norm_eval=False, frozen_stages=-1)
    model = dict(
        detector=dict(backbone=dict(frozen)),
        students=[dict(backbone=dict(frozen, type=EMO))],
        ablation=dict(backbone=dict(frozen, type='EMOWithBlock')),
        random=dict(backbone=dict(frozen, init_cfg=dict(type='TruncNormal'))),
        own_weights=dict(
            backbone=dict(frozen, init_cfg=[dict(checkpoint='x')])),
        loaded=dict(
            backbone=dict(frozen),
            init_cfg=dict(type='Pretrained', checkpoint='x')),
        other=dict(backbone=dict(frozen, type='Linear')),
        free=dict(backbone=dict(type='EMO')),
        timm=dict(
            backbone=dict(
                type='TimmFeatures', norm_eval=True, pretrained=False)),
        timm_pretrained=dict(
            backbone=dict(type='TimmFeatures', norm_eval=True)))
    found = {field: settings for field, _, settings in find_frozen(model)}
    assert found == {
        'model.detector.backbone': whole,
        'model.students.0.backbone': whole,
        'model.ablation.backbone': whole,
        'model.random.backbone': whole,
        'model.timm.backbone': dict(norm_eval=False)
    }
