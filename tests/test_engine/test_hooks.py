"""Curves and images of a training."""
import json

import cv2
import pytest
from mmengine.registry import HOOKS

from emo_mm.engine.hooks import ValImagesHook, plot_curves
from emo_mm.engine.scalars import curves_of, metrics_of, read_scalars


@pytest.fixture
def scalars(tmp_path):
    lines = [
        dict(lr=0.1, loss=2., loss_cls=1.5, time=0.3, data_time=0.1, step=5),
        dict(lr=0.2, loss=float('nan'), loss_cls=1., time=0.3, step=10),
        {
            'coco/bbox_mAP': 0.25,
            'coco/bbox_mAP_s': -1.0,
            'time': 0.1,
            'data_time': 0.,
            'step': 1
        },
    ]
    path = tmp_path / 'scalars.json'
    path.write_text('\n'.join(map(json.dumps, lines)))
    return path


def test_curves_are_losses_rate_and_metrics(scalars):
    assert curves_of(read_scalars(scalars)) == {
        'lr': ([5, 10], [0.1, 0.2]),
        'loss': ([5], [2.]),
        'loss_cls': ([5, 10], [1.5, 1.]),
        'coco/bbox_mAP': ([1], [0.25]),
    }


def test_one_panel_each(scalars, tmp_path):
    curves = curves_of(read_scalars(scalars))
    plot_curves(curves, tmp_path / 'three.png')
    del curves['coco/bbox_mAP']
    plot_curves(curves, tmp_path / 'two.png')
    three, two = (
        cv2.imread(str(tmp_path / f'{name}.png')).shape
        for name in ('three', 'two'))
    assert three[0] == two[0] and three[1] * 2 == two[1] * 3


def test_no_values_no_plot(tmp_path):
    plot_curves({}, tmp_path / 'none.png')
    assert not (tmp_path / 'none.png').exists()


def test_metrics_are_those_of_validations(scalars):
    *_, last = map(metrics_of, read_scalars(scalars))
    assert last == {'coco/bbox_mAP': 0.25, 'coco/bbox_mAP_s': -1.0}
    assert metrics_of(read_scalars(scalars)[0]) == {}


@pytest.mark.parametrize('number', [-1, 2.5, None])
def test_number_of_images(number):
    with pytest.raises(ValueError, match=f'num_images={number}'):
        ValImagesHook(num_images=number)


def test_name_of_configs_that_0_1_dumped():
    hook = HOOKS.build(dict(type='ValPicturesHook', num_pictures=2))
    assert isinstance(hook, ValImagesHook) and hook.num_images == 2
    assert HOOKS.build(dict(type='ValPicturesHook')).num_images == 4
