"""Mistakes in a config stop a run at start, with the field and the remedy."""
import json
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from emo_mm.checks.config import (
    check_data,
    check_same_schedule,
    effective_batch,
    read_categories,
)
from emo_mm.datasets.shapes import CLASSES, generate_coco
from emo_mm.engine import CheckedRunner
from tests.helpers import ROOT


@pytest.fixture
def cfg(tmp_path):
    pytest.importorskip('mmdet')
    init_default_scope('mmdet')
    generate_coco(tmp_path, dict(train2017=2, val2017=2), size=64)
    cfg = Config.fromfile(ROOT / 'configs/mmdet/ssdlite_emo_1m_shapes.py')
    for loop in ('train', 'val', 'test'):
        dataset = leaf(cfg, loop)
        dataset.data_root = str(tmp_path)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = str(tmp_path /
                                 'annotations/instances_val2017.json')
    return cfg


def leaf(cfg, loop):
    dataset = cfg[f'{loop}_dataloader'].dataset
    return dataset.dataset if loop == 'train' else dataset


@pytest.mark.parametrize('loop', ['train', 'val', 'test'])
def test_a_good_config_passes(cfg, loop):
    check_data(cfg, loop)


def test_missing_data_root(cfg):
    leaf(cfg, 'train').data_root = 'nowhere/'
    with pytest.raises(FileNotFoundError) as error:
        check_data(cfg, 'train')
    assert "train_dataloader.dataset.dataset.data_root='nowhere/'" in str(
        error.value)
    assert str(Path('nowhere').absolute()) in str(error.value)


@pytest.mark.parametrize('field, value', [
    ('ann_file', 'annotations/none.json'),
    ('data_prefix', dict(img='none/')),
])
def test_missing_file_or_folder(cfg, field, value):
    leaf(cfg, 'val')[field] = value
    with pytest.raises(FileNotFoundError, match=f'val_dataloader.*{field}'):
        check_data(cfg, 'val')


def test_missing_file_of_the_evaluator(cfg):
    cfg.test_evaluator.ann_file = 'none.json'
    with pytest.raises(FileNotFoundError, match='test_evaluator.ann_file'):
        check_data(cfg, 'test')


def test_wrapped_data_sets_are_looked_into(cfg):
    broken = dict(leaf(cfg, 'val'), data_root='nowhere')
    cfg.val_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[leaf(cfg, 'test'), broken])
    with pytest.raises(
            FileNotFoundError, match='dataset.datasets.1.data_root'):
        check_data(cfg, 'val')


def test_remote_data_is_left_to_its_backend(cfg):
    leaf(cfg, 'val').data_root = 's3://bucket/coco/'
    cfg.val_evaluator.ann_file = 's3://bucket/coco/val.json'
    check_data(cfg, 'val')


def test_unknown_class_names(cfg):
    leaf(cfg, 'train').metainfo = dict(classes=('circle', 'sqare'))
    with pytest.raises(ValueError) as error:
        check_data(cfg, 'train')
    message = str(error.value)
    assert "metainfo.classes=('circle', 'sqare')" in message
    assert str(CLASSES) in message and 'num_classes' in message


def test_forgotten_class_names(cfg):
    """Without metainfo the data set has COCO's 80 names."""
    del leaf(cfg, 'train')['metainfo']
    with pytest.raises(ValueError, match='more.*not among the categories'):
        check_data(cfg, 'train')


def test_class_names_in_another_order(cfg):
    leaf(cfg, 'train').metainfo = dict(classes=CLASSES[::-1])
    with pytest.raises(ValueError, match='another order.*circle.*triangle'):
        check_data(cfg, 'train')


def test_classes_from_a_file(cfg, tmp_path):
    path = tmp_path / 'classes.txt'
    path.write_text('\n'.join(CLASSES))
    leaf(cfg, 'train').metainfo = dict(classes=str(path))
    check_data(cfg, 'train')


@pytest.mark.parametrize('metainfo, message', [
    (dict(classes='circle'), r"\('circle', \), with a comma"),
    (dict(CLASSES=CLASSES), 'Name it classes'),
])
def test_class_names_in_a_form_that_is_not_read(cfg, metainfo, message):
    leaf(cfg, 'train').metainfo = metainfo
    with pytest.raises(ValueError, match=message):
        check_data(cfg, 'train')


def test_a_data_set_with_an_order_of_its_own_is_left_alone(cfg):
    leaf(cfg, 'train').update(
        type='Objects365V1Dataset', metainfo=dict(classes=CLASSES[::-1]))
    check_data(cfg, 'train')


def test_storage_with_a_path_mapping_is_left_alone(cfg):
    leaf(cfg, 'train').update(
        data_root='nowhere', backend_args=dict(backend='petrel'))
    check_data(cfg, 'train')


def test_a_data_set_that_downloads_itself_is_left_alone():
    pytest.importorskip('mmpretrain')
    init_default_scope('mmpretrain')
    dataset = dict(type='CIFAR10', data_root='nowhere', split='train')
    check_data(Config(dict(train_dataloader=dict(dataset=dataset))), 'train')


def test_fewer_classes_than_the_file_has(cfg):
    leaf(cfg, 'train').metainfo = dict(classes=('circle', 'triangle'))
    check_data(cfg, 'train')


def test_read_categories(tmp_path):
    path = tmp_path / 'ann.json'
    content = dict(
        images=[], categories=[dict(id=2, name='b'),
                               dict(id=1, name='ä')])
    path.write_text(json.dumps(content), encoding='utf-8')
    assert read_categories(path) == ['b', 'ä']
    path.write_text('{}')
    with pytest.raises(ValueError, match='no list "categories"'):
        read_categories(path)
    path.write_text('{"images": [')
    with pytest.raises(ValueError, match='ann.json is no JSON file, or was'):
        read_categories(path)


@pytest.mark.parametrize('key', ['images', 'annotations'])
def test_nothing_to_train_on(cfg, tmp_path, key):
    path = tmp_path / 'annotations' / 'instances_train2017.json'
    content = json.loads(path.read_text())
    content[key] = []
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='finds no samples with data_root='):
        CheckedRunner.build_dataloader(cfg.train_dataloader, seed=0)


@pytest.mark.parametrize('world_size, options, batch, lr, warns', [
    (1, {}, 8, '0.0015', False),
    (2, {}, 16, '0.0015', True),
    (2, {
        'auto_scale_lr.enable': True
    }, 16, '0.003', False),
    (1, {
        'optim_wrapper.accumulative_counts': 4
    }, 32, '0.0015', True),
    (1, {
        'auto_scale_lr.base_batch_size': 32
    }, 8, '0.0015', True),
])
def test_effective_batch(cfg, world_size, options, batch, lr, warns):
    cfg.merge_from_dict(options)
    line, warning = effective_batch(cfg, world_size)
    assert f'= {batch}. Learning rate: {lr}.' in line
    assert bool(warning) == warns
    if warns:
        assert f'this run has {batch}' in warning
        assert 'auto_scale_lr.enable=True' in warning


class Scheduler:

    def __init__(self, **state):
        self.state = state

    def state_dict(self):
        return dict(last_step=0, _global_step=0, **self.state)


def test_resuming_the_same_schedule():
    saved = dict(last_step=7, _global_step=8, T_max=12, base_values=[0.1])
    check_same_schedule([Scheduler(T_max=12, base_values=[0.1])],
                        dict(param_schedulers=[saved]), 'x.pth')


@pytest.mark.parametrize('state, message', [
    (dict(T_max=24, base_values=[0.1]), 'T_max: 12 there, 24 here'),
    (dict(T_max=12, base_values=[0.2]), 'base_values: 0.1 there, 0.2 here'),
])
def test_resuming_another_schedule(state, message):
    saved = dict(last_step=7, _global_step=8, T_max=12, base_values=[0.1])
    with pytest.raises(ValueError) as error:
        check_same_schedule([Scheduler(**state)],
                            dict(param_schedulers=[saved]), 'x.pth')
    assert message in str(error.value)
    assert 'load_from=x.pth' in str(error.value)
