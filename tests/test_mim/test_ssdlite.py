"""SSDLite as ``mim train`` and ``mim test`` run it.

Only ``--cfg-options`` shorten the runs.
"""
import json
from pathlib import Path

import pytest
import torch

from emo_mm.datasets.shapes import coco_categories
from emo_mm.models.weights import FROM_SCRATCH
from tests.helpers import CONFIGS, published_state_dict, run_test, run_train

CONFIG = CONFIGS / 'mmdet' / 'ssdlite_emo_1m.py'
SHORT = ('train_dataloader.batch_size=4', 'train_dataloader.dataset.times=1',
         'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
         'train_dataloader.persistent_workers=False',
         'val_dataloader.persistent_workers=False',
         'model.test_cfg.score_thr=0.')


def train(folder, work_dir, *options, flags=()):
    return run_train(folder, CONFIG, '--work-dir', work_dir, *flags,
                     '--cfg-options', *SHORT, *options)


@pytest.fixture(scope='module')
def trained(coco):
    """Folder of a run of two epochs from scratch, and what it printed."""
    output = train(
        coco,
        'scratch',
        FROM_SCRATCH,
        'train_cfg.max_epochs=2',
        'default_hooks.checkpoint.max_keep_ckpts=2',
        'train_cfg.val_interval=1',
        flags=('--auto-scale-lr', ))
    return coco / 'scratch', output


def test_train_from_scratch(trained):
    work_dir, output = trained
    assert (work_dir / 'epoch_2.pth').is_file()
    assert list(work_dir.glob('best_coco_bbox_mAP_epoch_*.pth'))
    assert 'coco/bbox_mAP_50' in output
    weights = torch.load(work_dir / 'epoch_1.pth', weights_only=False)
    assert all(value.isfinite().all()
               for value in weights['state_dict'].values())
    statistics = weights['state_dict'][
        'backbone.stages.4.2.dw_conv.norm.running_mean']
    assert statistics.abs().max() > 0  # norm_eval is off


def test_auto_scale_lr(trained):
    # 4 images against 8 x 24.
    saved = torch.load(trained[0] / 'epoch_2.pth', weights_only=False)
    group = saved['optimizer']['param_groups'][0]
    assert group['initial_lr'] == pytest.approx(1.2e-3 * 4 / 192)


def test_test_draws_boxes(trained):
    work_dir, _ = trained
    output = run_test(work_dir.parent, CONFIG, work_dir / 'epoch_2.pth',
                      '--work-dir', 'tested', '--show-dir', 'drawn',
                      '--cfg-options', 'test_dataloader.num_workers=0',
                      'test_dataloader.persistent_workers=False',
                      'model.test_cfg.score_thr=0.')
    assert 'coco/bbox_mAP_50' in output
    assert len(list(Path(work_dir.parent, 'tested').rglob('drawn/*.jpg'))) == 4


def test_resume(trained):
    work_dir, _ = trained
    output = train(
        work_dir.parent,
        'resumed',
        FROM_SCRATCH,
        'train_cfg.max_epochs=2',
        flags=('--resume', work_dir / 'epoch_1.pth', '--auto-scale-lr'))
    assert 'resumed epoch: 1' in output
    assert 'Epoch(train) [1]' not in output
    rates = [
        log_rates(folder) for folder in (work_dir, work_dir.parent / 'resumed')
    ]
    assert rates[0][-1] == rates[1][-1]


def log_rates(work_dir):
    log, = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    checkpoint = torch.load(work_dir / 'epoch_2.pth', weights_only=False)
    return [line['lr'] for line in lines if 'lr' in line
            ] + [checkpoint['optimizer']['param_groups'][0]['lr']]


def test_resume_with_another_length_is_refused(trained):
    work_dir, _ = trained
    with pytest.raises(ValueError, match='T_max: 2 there, 5 here'):
        train(
            work_dir.parent,
            'longer',
            FROM_SCRATCH,
            'train_cfg.max_epochs=5',
            flags=('--resume', work_dir / 'epoch_1.pth', '--auto-scale-lr'))


def test_published_weights(coco):
    torch.save(published_state_dict('1m'), coco / 'net.pth')
    train(coco, 'finetuned', 'train_cfg.max_epochs=1',
          'optim_wrapper.optimizer.lr=0.',
          'model.backbone.init_cfg.checkpoint=net.pth')
    weights = torch.load(coco / 'finetuned/epoch_1.pth', weights_only=False)
    torch.testing.assert_close(
        weights['state_dict']['backbone.stages.4.2.project.weight'],
        published_state_dict('1m')['stage4.2.proj.conv.weight'])


def test_without_published_weights_the_run_says_what_to_do(coco):
    with pytest.raises(FileNotFoundError) as error:
        train(coco, 'none', 'train_cfg.max_epochs=1')
    assert '/resources/EMO_1M/net.pth' in str(error.value)
    assert str(coco / 'checkpoints' / 'emo_1m.pth') in str(error.value)
    assert FROM_SCRATCH in str(error.value)


def test_missing_data(tmp_path):
    with pytest.raises(
            FileNotFoundError, match="data_root='data/coco/': there is no"):
        train(tmp_path, 'none', FROM_SCRATCH)


def test_another_number_of_classes(trained):
    work_dir, _ = trained
    options = ('train_cfg.max_epochs=1', 'train_cfg.val_interval=5',
               f'load_from={work_dir}/epoch_2.pth')
    folder = work_dir.parent
    with pytest.raises(
            ValueError,
            match='model.bbox_head.num_classes=3, but '
            'train_dataloader.dataset has 80 classes'):
        train(folder, 'wrong', FROM_SCRATCH, *options,
              'model.bbox_head.num_classes=3')
    classes = [name for name in coco_categories().values() if ' ' not in name]
    data = f'dataloader.dataset.metainfo.classes=({",".join(classes)})'
    output = train(folder, 'finetuned', FROM_SCRATCH, *options,
                   f'model.bbox_head.num_classes={len(classes)}',
                   f'val_{data}',
                   f"train_{data.replace('.meta', '.dataset.meta')}")
    assert 'fills 324 of 336 tensors. Not loaded' in output
    assert ('bbox_head.cls_convs.5.1.bias: (486,) in the checkpoint, '
            f'({6 * (len(classes) + 1)},) in the model') in output


def test_a_checkpoint_that_does_not_fit_is_not_tested(trained):
    work_dir, _ = trained
    with pytest.raises(ValueError, match='does not fill the model'):
        run_test(work_dir.parent, CONFIGS / 'mmdet/ssdlite_emo_2m.py',
                 work_dir / 'epoch_2.pth', '--work-dir', 'unfit')
