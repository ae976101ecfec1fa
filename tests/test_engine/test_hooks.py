"""Curves and images of a training."""
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, VISUALIZERS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer

from emo_mm.engine.harmless import make_harmless
from emo_mm.engine.hooks import CurvesHook, ValImagesHook, plot_curves
from emo_mm.engine.scalars import (
    RECORDS,
    curves_of,
    metrics_of,
    read_scalars,
)
from tests.helpers import write_image


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


# --- In a training ----------------------------------------------------------
def test_curves_need_no_backend(short_run, tmp_path):
    runner = short_run('mmpretrain', visualizer__vis_backends=[])
    runner.train()
    curves = curves_of(read_scalars(tmp_path / 'run' / RECORDS))
    assert set(curves) == {'loss', 'lr', 'accuracy/top1'}
    assert curves['loss'][0] == [6, 12]
    assert curves['accuracy/top1'][0] == [1, 2]
    assert cv2.imread(str(tmp_path / 'run/curves.png')).size
    assert not list(tmp_path.rglob('scalars.json'))


def test_a_resumed_run_goes_on_with_its_curves(short_run, tmp_path):
    options = dict(default_hooks__checkpoint__max_keep_ckpts=-1)
    short_run('mmpretrain', **options).train()
    path = tmp_path / 'run' / RECORDS
    whole = read_scalars(path)
    # As a killed run leaves it: what came after the checkpoint, and a part.
    path.write_text(path.read_text() + '{"loss": 1')
    (tmp_path / 'run/last_checkpoint').write_text(
        str(tmp_path / 'run/epoch_1.pth'))
    short_run('mmpretrain', resume=True, **options).train()
    again = read_scalars(path)
    assert [(r['step'], r['iter'])
            for r in again] == [(r['step'], r['iter'])
                                for r in whole] == [(6, 6), (1, 6), (12, 12),
                                                    (2, 12)]
    assert again[:2] == whole[:2]
    # A run that is not resumed begins anew.
    CurvesHook().before_train(
        SimpleNamespace(iter=0, work_dir=tmp_path / 'run'))
    assert not path.read_text()


def warnings_of(runner):
    log, = Path(runner.log_dir).glob('*.log')
    return [
        line for line in log.read_text().splitlines()
        if 'WARNING' in line and 'Hook' in line
    ]


@pytest.mark.parametrize('name', [RECORDS, 'curves.png'])
def test_what_cannot_be_written_ends_no_training(short_run, tmp_path, name):
    (tmp_path / 'run' / name).mkdir(parents=True)
    runner = short_run('mmpretrain', train_cfg__max_epochs=1)
    runner.train()
    assert runner.iter == 6
    warning, = warnings_of(runner)
    assert 'CurvesHook failed: IsADirectoryError' in warning
    assert 'training goes on' in warning


@VISUALIZERS.register_module()
class BrokenVisualizer(Visualizer):

    def add_datasample(self, *args, **kwargs):
        raise OSError('no space left')


@pytest.mark.parametrize('hook', ['ValImagesHook', 'VisualizationHook'])
def test_a_broken_visualizer_ends_no_training(short_run, hook):
    options: dict = dict(
        train_cfg__max_epochs=1,
        visualizer=dict(type='BrokenVisualizer', _delete_=True))
    if hook == 'VisualizationHook':
        options.update(
            default_hooks__visualization=dict(enable=True, interval=1),
            default_hooks__val_images=dict(num_images=0))
    runner = short_run('mmpretrain', **options)
    runner.visualizer.visualize_cls = runner.visualizer.add_datasample
    runner.train()
    assert runner.iter == 6
    warning, = warnings_of(runner)
    assert f'{hook} failed: OSError: no space left' in warning


def test_an_unreadable_image_is_left_out(tmp_path):
    drawn, logged = [], []
    write_image(tmp_path / 'sound.png')
    (tmp_path / 'cut.png').write_bytes(b'no image')
    runner = SimpleNamespace(
        iter=1,
        logger=SimpleNamespace(warning=logged.append),
        visualizer=SimpleNamespace(
            dataset_meta={},
            add_datasample=lambda **kwargs: drawn.append(kwargs['name'])))
    runner.visualizer.get_image = lambda: None
    samples = [
        BaseDataElement(metainfo=dict(img_path=str(tmp_path / f'{name}.png')))
        for name in ('cut', 'missing', 'sound')
    ]
    hook = ValImagesHook(num_images=3)
    hook.after_val_iter(runner, 0, None, samples)
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, None, samples)
    assert drawn == ['sound', 'sound']
    text, = logged
    assert 'ValImagesHook failed: ValueError' in text and 'cut.png' in text


def test_in_a_test_a_library_s_hook_raises():
    """Its images may be what the test is for."""

    class MyVisualizationHook(Hook):

        def after_test_iter(self, *args, **kwargs):
            raise OSError('no space left')

        after_val_iter = after_test_iter

    hook = MyVisualizationHook()
    make_harmless(hook)
    logged = []
    runner = SimpleNamespace(
        _train_loop=None, logger=SimpleNamespace(warning=logged.append))
    with pytest.raises(OSError, match='no space left'):
        hook.after_test_iter(runner, batch_idx=0)
    runner._train_loop = BaseLoop.__new__(EpochBasedTrainLoop)
    hook.after_val_iter(runner, batch_idx=0)
    hook.after_val_iter(runner, batch_idx=1)
    assert len(logged) == 1


def test_one_field_of_a_default_hook_is_enough(short_run):
    runner = short_run('mmpretrain', default_hooks__val_images__num_images=1)
    hook, = (h for h in runner.hooks if isinstance(h, ValImagesHook))
    assert hook.num_images == 1
    with pytest.raises(ValueError, match='default_hooks.curves.val_loss=1 '):
        short_run('mmpretrain', default_hooks__curves__val_loss=1)


# --- The first batch --------------------------------------------------------
@pytest.mark.parametrize('library, options, text', [
    ('mmdet', dict(batch_size=1), 'train_dataloader.batch_size=1. With one '
     'image of 160x160 pixels, model.neck.extra_layers.'),
    ('mmdet', dict(batch_size=3, drop_last=False),
     'drop_last=False leave one of 4 samples for the last batch'),
    ('mmseg', dict(batch_size=1), 'model.decode_head.psp_modules.0.1.bn'),
    ('mmpretrain', dict(batch_size=1), 'model.backbone.stages.4.'),
    ('mmpretrain', dict(batch_size=11), 'leave one of 12 samples'),
])
def test_batches_of_one_image_end_before_the_first_iteration(
        short_run, library, options, text):
    runner = short_run(
        library, **{
            f'train_dataloader__{k}': v
            for k, v in options.items()
        })
    with pytest.raises(ValueError) as error:
        runner.train()
    assert text in str(error.value)
    assert runner.iter == 0
