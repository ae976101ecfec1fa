"""Parts of a model that do not fit each other, its batches or metrics."""
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.model import revert_sync_batchnorm
from torch import nn
from torch.utils.data import DataLoader

from emo_mm.apis import build_model, find_config
from emo_mm.checks.model import (
    check_first_batch,
    check_topk,
    check_widths,
    explain_assertion,
    explain_one_value,
)
from emo_mm.random_state import kept_random_state

LIBRARY = dict(
    ssdlite_emo_1m='mmdet',
    retinanet_emo_1m='mmdet',
    deeplabv3_emo_1m='mmseg',
    pspnet_emo_1m='mmseg',
    emo_1m='mmpretrain')


def make_cfg(name, options=()):
    pytest.importorskip(LIBRARY[name])
    cfg = Config.fromfile(find_config(name))
    cfg.model.backbone.norm_cfg = dict(type='BN')
    cfg.merge_from_dict(dict(options))
    return cfg


def raised(name, **options):
    """Return what is said of a model with changed fields."""
    cfg = make_cfg(name, {
        key.replace('__', '.'): value
        for key, value in options.items()
    })
    with pytest.raises(ValueError) as error:
        check_widths(build_model(cfg), cfg.model)
    return str(error.value)


# --- Widths -----------------------------------------------------------------
@pytest.mark.parametrize('name', LIBRARY)
def test_our_configs_fit(name):
    cfg = make_cfg(name)
    model = build_model(cfg)
    before = {key: v.clone() for key, v in model.state_dict().items()}
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()
    check_widths(model, cfg.model)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    assert torch.equal(torch.get_rng_state(), state[0])
    assert random.getstate() == state[1]
    assert np.random.get_state()[2] == state[2][2]
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_neck_of_a_detector():
    text = raised('ssdlite_emo_1m', model__backbone__arch='5m')
    assert ('model.neck.in_channels=[80, 168], but model.backbone (EMO, '
            "arch='5m', out_indices=(3, 4)) gives [160, 288]." in text)
    options = text.split('--cfg-options ')[1].split(' ')
    assert options == [
        'model.neck.in_channels=[160,288]',
        'model.neck.out_channels=[160,288,512,256,256,128]',
        'model.bbox_head.in_channels=[160,288,512,256,256,128]'
    ]


def test_what_the_remedy_gives_fits():
    channels = [160, 288, 512, 256, 256, 128]
    cfg = make_cfg(
        'ssdlite_emo_1m', {
            'model.backbone.arch': '5m',
            'model.neck.in_channels': channels[:2],
            'model.neck.out_channels': channels,
            'model.bbox_head.in_channels': channels
        })
    check_widths(build_model(cfg), cfg.model)


@pytest.mark.parametrize('name, indices, text', [
    ('retinanet_emo_1m', [2, 3, 4], 'gives [48, 80, 168]. Set --cfg-options '
     'model.neck.in_channels=[48,80,168], or '
     'model.backbone.out_indices=[1,2,3,4]'),
    ('retinanet_emo_1m', [0, 1, 2, 3, 4],
     'model.neck.in_channels=[32, 48, 80, 168], but model.backbone (EMO, '),
    ('ssdlite_emo_1m', [4], 'or model.backbone.out_indices=[3,4]'),
    ('ssdlite_emo_1m', [2, 3, 4], 'gives [48, 80, 168]'),
])
def test_numbers_of_maps(name, indices, text):
    assert text in raised(name, model__backbone__out_indices=indices)


def test_heads_of_a_segmenter():
    text = raised('deeplabv3_emo_1m', model__backbone__arch='5m')
    one, other = text.splitlines()
    assert one.startswith('model.decode_head.in_channels=168 with in_index=3, '
                          'but model.backbone (EMO, ')
    assert one.endswith('Set --cfg-options model.decode_head.in_channels=288')
    assert other.startswith('model.auxiliary_head.in_channels=80')


def test_index_beyond_the_maps():
    text = raised('pspnet_emo_1m', model__backbone__out_indices=[2, 3, 4])
    assert ('model.decode_head.in_index=3, but model.backbone (EMO, '
            "arch='1m', out_indices=[2, 3, 4]) gives [48, 80, 168]: indices "
            'go from 0 to 2' in text)
    assert 'model.auxiliary_head.in_channels=80 with in_index=2' in text


def test_classifier():
    text = raised('emo_1m', model__backbone__arch='5m')
    assert text.startswith('model.neck.in_channels=168, but model.backbone ')
    assert text.endswith('Set --cfg-options model.neck.in_channels=288 '
                         'model.head.in_channels=288')
    text = raised('emo_1m', model__head__in_channels=80)
    assert text.startswith('model.head.in_channels=80, but model.neck '
                           '(NormGlobalAveragePooling) gives [168].')


def test_head_after_a_neck():
    text = raised('retinanet_emo_1m', model__bbox_head__in_channels=128)
    assert text.startswith('model.bbox_head.in_channels=128, but model.neck ')


def test_levels_of_anchors():
    text = raised('retinanet_emo_1m', model__neck__num_outs=4)
    assert 'model.bbox_head.anchor_generator has 5 levels' in text
    assert 'but model.neck gives 4 maps' in text


def test_nested_models():
    """The detector of a semi-supervised one is built twice."""
    cfg = make_cfg('retinanet_emo_1m', {'model.backbone.arch': '5m'})
    model = build_model(cfg)
    outer = nn.Module()
    outer.student, outer.teacher = model, model
    with pytest.raises(ValueError, match='model.detector.neck.in_channels='):
        check_widths(outer, dict(type='SemiBase', detector=cfg.model))


class Backbone(nn.Module):

    def forward(self, x):
        return (x[:, :1].repeat(1, 4, 1, 1), )


class FixedSize(nn.Module):
    """A layer for images of one size, which is no error."""

    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.neck = nn.Linear(4 * 64 * 64, 2)

    def extract_feat(self, x):
        return self.neck(self.backbone(x)[0].flatten(1))


class DataDependent(FixedSize):
    """What cannot run without values."""

    def extract_feat(self, x):
        return self.neck(x.flatten(1)[:int(x.sum())])


@pytest.mark.parametrize('kind', [FixedSize, DataDependent])
def test_no_false_alarm(kind):
    check_widths(kind(), dict(backbone=dict(), neck=dict(in_channels=7)))


def test_assertions_while_building_name_the_field():
    cfg = make_cfg('ssdlite_emo_1m', {'model.neck.in_channels': [160, 288]})
    with pytest.raises(ValueError) as error:
        with explain_assertion(cfg.model):
            build_model(cfg)
    assert ('model.neck (SSDNeck): this must hold: in_channels == '
            'out_channels[:len(in_channels)]. It has in_channels=[160, 288], '
            'out_channels=(80, 168, 512, 256, 256, 128)' in str(error.value))


# --- Batches of one image ---------------------------------------------------
def load(count, **kwargs):
    """Return a loader of ``count`` samples and its first batch."""
    data = list(range(count))
    sampler = kwargs.pop('sampler', DefaultSampler)(data)
    return DataLoader(data, sampler=sampler, **kwargs)


def check_batch(model, loader, size=96, batch=None, **kwargs):
    batch = loader.batch_size if batch is None else batch
    kwargs.setdefault('num_batches', 100)
    data = dict(inputs=torch.zeros(batch, 3, size, size))
    check_first_batch(model, data, loader, **kwargs)


class AsItComes(nn.Module):
    """A preprocessor that draws random numbers, as some do."""

    def forward(self, data, training):
        assert training
        data['inputs'] += torch.rand(1)
        return data


@pytest.fixture(scope='module')
def models():
    """Detectors and others in training mode, whose input is as it comes."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = revert_sync_batchnorm(build_model(
                make_cfg(name))).train()
            made[name].data_preprocessor = AsItComes()
        return made[name]

    return get


@pytest.mark.parametrize('name, size, layer', [
    ('ssdlite_emo_1m', 96, r'model.neck.extra_layers'),
    ('deeplabv3_emo_1m', 96, r'model.decode_head.image_pool.1.bn'),
    ('pspnet_emo_1m', 96, r'model.decode_head.psp_modules.0.1.bn'),
    ('emo_1m', 32, r'model.backbone.stages.4'),
])
def test_batches_of_one(models, name, size, layer):
    model = models(name)
    with pytest.raises(
            ValueError,
            match=rf'^train_dataloader.batch_size=1. With one image of {size}x'
            rf'{size} pixels, {layer}.*BatchNorm'):
        check_batch(model, load(4, batch_size=1), size)
    with pytest.raises(ValueError) as error:
        check_batch(model, load(9, batch_size=4), size)
    assert str(error.value).startswith(
        'train_dataloader.batch_size=4 and drop_last=False leave one of 9 '
        'samples for the last batch. ')
    assert 'Set train_dataloader.drop_last=True' in str(error.value)


def test_what_the_check_says_is_true(models):
    """It stops where torch does, and nowhere else."""
    model = models('emo_1m')
    for size, batch in ((32, 1), (32, 2), (64, 1)):
        fails = False
        try:
            model.backbone(torch.zeros(batch, 3, size, size))
        except ValueError as error:
            fails = 'Expected more than 1 value' in str(error)
        said = False
        try:
            check_batch(model, load(4, batch_size=batch), size)
        except ValueError:
            said = True
        assert fails == said == (size == 32 and batch == 1)


@pytest.mark.parametrize('count, kwargs', [
    (9, dict(batch_size=4, drop_last=True)),
    (8, dict(batch_size=4)),
    (10, dict(batch_size=4)),
    (9, dict(batch_size=4, sampler=InfiniteSampler)),
])
def test_batches_of_more(models, count, kwargs):
    check_batch(models('deeplabv3_emo_1m'), load(count, **kwargs))


def test_the_last_batch_may_be_out_of_reach(models):
    model, loader = models('deeplabv3_emo_1m'), load(9, batch_size=4)
    check_batch(model, loader, num_batches=2)
    with pytest.raises(ValueError, match='leave one of 9'):
        check_batch(model, loader, num_batches=3)


def test_frozen_norms_are_no_matter(models):
    """RetinaNet's are, and so learns from one image."""
    check_batch(models('retinanet_emo_1m'), load(4, batch_size=1))


def test_synchronised_norms_see_all_processes(models):
    model = models('deeplabv3_emo_1m')
    loader = load(4, batch_size=1)
    with pytest.raises(ValueError, match='batch_size=1'):
        check_batch(model, loader, world_size=2)
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(
        build_model(make_cfg('deeplabv3_emo_1m')).train())
    synchronised.data_preprocessor = AsItComes()
    check_batch(synchronised, loader, world_size=2)
    with pytest.raises(ValueError, match='batch_size=1'):
        check_batch(synchronised, loader)


def test_the_check_changes_nothing(models):
    model = models('deeplabv3_emo_1m')
    before = {key: v.clone() for key, v in model.state_dict().items()}
    state = torch.get_rng_state()
    loader = load(9, batch_size=4)
    data = dict(inputs=torch.zeros(4, 3, 96, 96))
    with pytest.raises(ValueError, match='leave one'):
        check_first_batch(model, data, loader, 100)
    assert torch.equal(torch.get_rng_state(), state)
    assert not data['inputs'].any()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    assert all(module.training for module in model.modules())


def test_what_is_found_in_training_after_all():
    cfg = dict(train_dataloader=dict(batch_size=1))
    norm = nn.BatchNorm1d(2).train()
    with pytest.raises(ValueError, match='train_dataloader.batch_size=1 and'):
        with explain_one_value(cfg):
            norm(torch.zeros(1, 2))
    with pytest.raises(ValueError, match='^another$'):
        with explain_one_value(cfg):
            raise ValueError('another')


def test_random_states_are_kept():

    def draw():
        return random.random(), np.random.rand(), float(torch.rand(1))

    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    first = draw()
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    with kept_random_state():
        assert draw() == first
    assert draw() == first


# --- Top-k ------------------------------------------------------------------
def classifier(num_classes=3, kind='LinearClsHead', **kwargs):
    pytest.importorskip('mmpretrain')
    from mmpretrain import models
    model = nn.Module()
    model.head = getattr(models, kind)(
        num_classes=num_classes, in_channels=4, **kwargs)
    return model


def evaluator(*metrics):
    from mmpretrain import evaluation
    return SimpleNamespace(metrics=[
        getattr(evaluation, kind)(**kwargs) for kind, kwargs in metrics
    ])


def test_topk_beyond_the_classes():
    model = classifier(topk=(1, 5))
    metric = ('Accuracy', dict(topk=(1, 5)))
    with pytest.raises(ValueError) as error:
        check_topk(model, evaluator(metric), 'val_evaluator')
    assert ('val_evaluator.topk=(1, 5) (and model.head.topk=(1, 5)), but '
            'model.head.num_classes=3' in str(error.value))
    assert 'Set val_evaluator.topk=(1,)' in str(error.value)
    with pytest.raises(ValueError, match=r'val_evaluator.1.topk=\(4,\)'):
        check_topk(
            model,
            evaluator(('SingleLabelMetric', {}), ('Accuracy', dict(topk=4))),
            'val_evaluator')


def test_topk_within_the_classes():
    model = classifier(5, topk=(1, 7))  # not used
    check_topk(model, evaluator(('Accuracy', dict(topk=(1, 5)))), 'field')
    check_topk(model, None, 'field')
    check_topk(nn.Module(), None, 'field')


def test_topk_of_a_head_that_computes_accuracy():
    model = classifier(topk=(1, 5), cal_acc=True)
    with pytest.raises(ValueError, match=r'^model.head.topk=\(1, 5\), but '):
        check_topk(model, evaluator(('Accuracy', dict(topk=1))), 'field')


def test_topk_of_several_labels():
    model = classifier(kind='MultiLabelLinearClsHead', thr=0.5)
    check_topk(model, evaluator(('MultiLabelMetric', dict(thr=0.5, topk=7))),
               'field')
    with pytest.raises(ValueError, match='field.topk='):
        check_topk(model, evaluator(('MultiLabelMetric', dict(topk=7))),
                   'field')
    model = classifier(kind='MultiLabelLinearClsHead', topk=7)
    with pytest.raises(ValueError, match='model.head.topk='):
        check_topk(model, None, 'field')
