"""Two processes do what one does with the doubled batch."""
import pickle
from pathlib import Path

import pytest
import torch

from emo_mm.datasets.shapes import (
    coco_categories,
    generate_ade,
    generate_coco,
)
from emo_mm.engine.scalars import read_scalars
from emo_mm.models import EMO
from tests.helpers import (
    CONFIGS,
    TINY,
    run_in_two_processes,
    run_test,
    run_train,
)
from tests.test_mim.conftest import METRIC, unit_of

# Statistics are frozen; what remains equals up to rounding.
BACKBONE = dict(
    arch=dict(TINY, _delete_=True, drop_path_rate=0.),
    norm_cfg=dict(type='BN'),
    norm_eval=True,
    init_cfg=dict(type='Pretrained', checkpoint='tiny.pth'))
HEAD = dict(in_channels=16, channels=8, norm_cfg=None, dropout_ratio=0.)
MODELS = {
    'mmpretrain/emo_1m.py':
    dict(
        backbone=BACKBONE,
        neck=dict(in_channels=16),
        head=dict(in_channels=16)),
    'mmdet/retinanet_emo_1m.py':
    dict(
        backbone=BACKBONE,
        neck=dict(in_channels=[8, 8, 16, 16], out_channels=8),
        bbox_head=dict(in_channels=8, feat_channels=8, stacked_convs=1),
        test_cfg=dict(score_thr=0.)),
    'mmseg/pspnet_emo_1m.py':
    dict(
        data_preprocessor=dict(size=(64, 64)),
        backbone=BACKBONE,
        decode_head=HEAD,
        auxiliary_head=HEAD),
}
SCOPES = [Path(path).parent.name for path in MODELS]
PIPELINES = dict(
    mmpretrain=[dict(type='Resize', scale=(64, 64)),
                dict(type='PackInputs')],
    mmdet=[
        dict(type='Resize', scale=(64, 64), keep_ratio=True),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs')
    ],
    mmseg=[
        dict(type='LoadAnnotations', reduce_zero_label=True),
        dict(type='Resize', scale=(64, 64), keep_ratio=False),
        dict(type='PackSegInputs')
    ])
# The training has five batches of four; neither it nor the evaluation fills
# the last one.
TRAIN_IMAGES, VAL_IMAGES = 18, 5


def write_config(base, folder, processes):
    """Write a config of a small model on few images, without augmentation."""
    scope, name = base.parent.name, base.parent.name + str(processes)
    pipeline = [dict(type='LoadImageFromFile'), *PIPELINES[scope]]
    loader = dict(num_workers=0, persistent_workers=False)
    evaluated = dict(
        **loader,
        batch_size=2,
        dataset=dict(indices=VAL_IMAGES, pipeline=pipeline))
    by_iter = unit_of(base) == 'iter'
    fields = dict(
        work_dir=name,
        model=MODELS[f'{scope}/{base.name}'],
        train_dataloader=dict(
            **loader,
            batch_size=4 // processes,
            dataset=dict(indices=TRAIN_IMAGES, pipeline=pipeline)),
        val_dataloader=evaluated,
        test_dataloader=evaluated,
        train_cfg=dict(max_iters=5, val_interval=5) if by_iter else dict(
            max_epochs=1, val_interval=1),
        default_hooks=dict(checkpoint=dict(interval=5 if by_iter else 1)),
        randomness=dict(seed=0))
    lines = [f'{key} = {value!r}' for key, value in fields.items()]
    for loop in ('val', 'test'):
        dumped = dict(type='DumpResults', out_file_path=f'{name}/{loop}.pkl')
        evaluator = f'{loop}_evaluator'
        lines.append(f'{evaluator} = [_base_.{evaluator}, {dumped}]')
    path = folder / f'{name}.py'
    path.write_text('\n'.join([f'_base_ = {str(base)!r}', *lines]))
    return path


@pytest.fixture(scope='module')
def folder(imagenet, tmp_path_factory):
    """A folder where each library has run in one process and in two."""
    for scope in SCOPES:
        pytest.importorskip(scope)
    folder = tmp_path_factory.mktemp('processes')
    images = dict(size=64)
    generate_coco(
        folder / 'data/coco',
        dict(train2017=TRAIN_IMAGES, val2017=VAL_IMAGES),
        categories=coco_categories(),
        **images)
    generate_ade(folder / 'data/ade/ADEChallengeData2016',
                 dict(training=TRAIN_IMAGES, validation=VAL_IMAGES), **images)
    (folder / 'data/imagenet').symlink_to(imagenet / 'data/imagenet')
    torch.save(EMO(TINY).state_dict(), folder / 'tiny.pth')
    several = []
    for path in map(Path, MODELS):
        alone, config = (
            write_config(CONFIGS / path, folder, processes)
            for processes in (1, 2))
        unit = 'iter_5' if unit_of(path) == 'iter' else 'epoch_1'
        checkpoint = f'{unit}.pth'
        run_train(folder, alone)
        run_test(folder, alone, f'{alone.stem}/{checkpoint}')
        launcher = ('--launcher', 'pytorch')
        several += [('train', config.name, *launcher),
                    ('test', config.name, f'{config.stem}/{checkpoint}',
                     *launcher)]
    run_in_two_processes(folder, several)
    return folder


@pytest.mark.parametrize('scope', SCOPES)
def test_five_steps_equal_those_of_one_process(scope, folder):
    """Also where its images have unequally many positive anchors."""
    alone, both = (
        torch.load(path, weights_only=False)['state_dict']
        for processes in (1, 2)
        for path in folder.glob(f'{scope}{processes}/[ei]*_[15].pth'))
    start = torch.load(folder / 'tiny.pth')
    weight = 'stages.4.0.project.weight'
    assert not torch.equal(alone[f'backbone.{weight}'], start[weight])
    for key, value in alone.items():
        torch.testing.assert_close(both[key], value, rtol=0, atol=1e-5)


@pytest.mark.parametrize('scope', SCOPES)
@pytest.mark.parametrize('loop', ['val', 'test'])
def test_each_image_is_evaluated_once(scope, loop, folder):

    def paths_of(processes):
        results = pickle.loads(
            (folder / f'{scope}{processes}/{loop}.pkl').read_bytes())
        return [result['img_path'] for result in results]

    assert len(set(paths_of(1))) == VAL_IMAGES
    assert paths_of(2) == paths_of(1)


@pytest.mark.parametrize('scope', SCOPES)
def test_metrics_equal_those_of_one_process(scope, folder):

    def metric_of(processes):
        path, = folder.glob(f'{scope}{processes}/*/vis_data/scalars.json')
        value, = (
            record[METRIC[scope]] for record in read_scalars(path)
            if METRIC[scope] in record)
        return value

    assert metric_of(2) == pytest.approx(metric_of(1), abs=1e-3)
