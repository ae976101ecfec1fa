"""The loss on the validation data."""
from pathlib import Path

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import PixelData

from emo_mm.engine.scalars import RECORDS, read_scalars
from emo_mm.engine.val_loss import ValidationLoss
from tests.test_engine.conftest import LIBRARIES


@pytest.mark.parametrize('library', LIBRARIES)
def test_it_is_logged_and_changes_no_bit(short_run, tmp_path, library):
    plain = short_run(library, 'plain')
    plain.train()
    other = short_run(
        library, 'with_loss', default_hooks__curves=dict(val_loss=True))
    other.train()
    for key, value in plain.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[key]), key
    for mine, theirs in zip(
            plain.optim_wrapper.state_dict()['state'].values(),
            other.optim_wrapper.state_dict()['state'].values()):
        assert torch.equal(mine['exp_avg'], theirs['exp_avg'])
    records = [
        record for record in read_scalars(tmp_path / 'with_loss' / RECORDS)
        if 'val/loss' in record
    ]
    assert [record['iter'] for record in records] == {
        'mmdet': [2, 4],
        'mmseg': [2, 4],
        'mmpretrain': [6, 12]
    }[library]
    assert records[0]['val/loss'] != records[1]['val/loss']
    logged = [
        record['val/loss']
        for path in (tmp_path / 'with_loss').rglob('vis_data/scalars.json')
        for record in read_scalars(path) if 'val/loss' in record
    ]
    assert logged == [record['val/loss'] for record in records]
    assert not any('val/loss' in record
                   for record in read_scalars(tmp_path / 'plain' / RECORDS))


def batch_of(runner, *steps):
    """Return the validation's samples, loaded by a pipeline of one's own."""
    dataset = runner.val_loop.dataloader.dataset
    dataset.pipeline = type(dataset.pipeline)([*steps])
    return pseudo_collate([dataset[i] for i in range(3)]), dataset


RESIZE = dict(type='Resize', scale=(96, 64), keep_ratio=False)
LOAD = dict(type='LoadAnnotations', with_bbox=True)


def test_boxes_of_the_original_image_are_brought_to_the_input(short_run):
    runner = short_run('mmdet')
    pack = dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor'))
    found = []
    for steps in ((RESIZE, LOAD), (LOAD, RESIZE)):
        batch, dataset = batch_of(runner, dict(type='LoadImageFromFile'),
                                  *steps, pack)
        boxes = [s.gt_instances.bboxes.clone() for s in batch['data_samples']]
        loss = ValidationLoss(runner.model, dataset)
        loss.add(batch)
        for sample, before in zip(batch['data_samples'], boxes):
            assert torch.equal(sample.gt_instances.bboxes.tensor,
                               before.tensor)
        found.append(loss.mean())
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert set(found[0]) == {'loss', 'loss_cls', 'loss_bbox'}


def test_masks_of_several_sizes(short_run):
    runner = short_run('mmseg')
    model, dataset = runner.model, runner.val_loop.dataloader.dataset
    samples = [dataset[i] for i in range(2)]
    sample = samples[1]['data_samples']
    sample.gt_sem_seg = PixelData(data=sample.gt_sem_seg.data.repeat(1, 2, 1))
    both = ValidationLoss(model, dataset)
    both.add(pseudo_collate(samples))
    one, other = ValidationLoss(model, dataset), ValidationLoss(model, dataset)
    one.add(pseudo_collate(samples[:1]))
    other.add(pseudo_collate(samples[1:]))
    for name, value in both.mean().items():
        mean = (one.mean()[name] + other.mean()[name]) / 2
        assert value == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize('library', LIBRARIES)
def test_it_is_the_loss_of_the_model(short_run, library):
    """In eval mode, over all samples."""
    runner = short_run(library)
    dataset = runner.val_loop.dataloader.dataset
    model = runner.model
    batches = [pseudo_collate([dataset[i]]) for i in range(2)]
    loss = ValidationLoss(model, dataset)
    assert not loss.model.training and model.training
    for batch in batches:
        loss.add(batch)
    model.eval()
    expected = []
    for batch in batches:
        data = model.data_preprocessor(batch, False)
        with torch.no_grad():
            expected += [
                model.parse_losses(model(**data, mode='loss'))[1]['loss']
            ]
    assert loss.mean()['loss'] == pytest.approx(
        float(sum(expected)) / 2, rel=1e-5)


def test_a_validation_without_annotations_warns_once(short_run):
    runner = short_run(
        'mmdet',
        default_hooks__curves=dict(val_loss=True),
        train_cfg__max_epochs=1,
        val_dataloader__batch_size=1)
    pipeline = runner.cfg.val_dataloader.dataset.pipeline
    steps = [s for s in pipeline if s.type != 'LoadAnnotations']
    runner.cfg.val_dataloader.dataset.pipeline = steps
    runner._val_dataloader = runner.cfg.val_dataloader
    runner.train()
    log, = Path(runner.log_dir).glob('*.log')
    text = log.read_text()
    assert text.count('CurvesHook computes no validation loss') == 1
    assert 'default_hooks.curves.val_loss=True needs annotations' in text
    assert 'Add LoadAnnotations to val_dataloader.dataset.pipeline' in text
    assert 'val/loss' not in Path(runner.work_dir, RECORDS).read_text()
