"""Every config goes through ``mim train`` and ``mim test``.

Only ``--cfg-options`` that shorten the run are given. By default the smallest
size of each task runs; ``make test-configs`` runs all.
"""
import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tests.test_mim.conftest import ROOT, run_mim

FROM_SCRATCH = ('model.backbone.init_cfg=None',
                'model.backbone.norm_eval=False',
                'model.backbone.frozen_stages=-1')
LIBRARIES = dict(
    mmdet='mmdet', mmseg='mmsegmentation', mmpretrain='mmpretrain')
LENGTH = dict(
    mmdet='train_cfg.max_epochs=1',
    mmseg='train_cfg.max_iters=2',
    mmpretrain='train_cfg.max_epochs=1')
METRIC = dict(mmdet='coco/bbox_mAP', mmseg='mIoU', mmpretrain='accuracy/top1')
BY_DEFAULT = ('emo_1m', 'retinanet_emo_1m', 'deeplabv3_emo_1m',
              'pspnet_emo_1m')
CONFIGS = [
    pytest.param(
        path,
        id=path.stem,
        marks=() if path.stem in BY_DEFAULT else pytest.mark.all_configs)
    for path in sorted((ROOT / 'configs').glob('*/*_*m.py'))
]


def short_loaders(config):
    """Options for batches of two, and two of them per epoch."""
    scope = config.parent.name
    loaders = [
        f'{loop}_dataloader.{option}' for loop in ('train', 'val', 'test')
        for option in ('batch_size=2', 'num_workers=0',
                       'num_batch_per_epoch=2', 'persistent_workers=False')
    ]
    if scope == 'mmseg':  # its sampler has no end
        loaders.remove('train_dataloader.num_batch_per_epoch=2')
    if scope == 'mmdet':  # untrained, it is sure of nothing
        loaders.append('model.test_cfg.score_thr=0.')
    if 'retinanet' in config.stem:  # a fifth of 1333 x 800
        loaders += [
            f'{loop}_dataloader.dataset.pipeline.{step}.scale=(267,160)'
            for loop, step in (('train', 2), ('val', 1), ('test', 1))
        ]
    return loaders


@pytest.mark.parametrize('config', CONFIGS)
def test_train_and_test(config, coco, ade, imagenet, tmp_path):
    scope = Config.fromfile(config).default_scope
    pytest.importorskip(scope)
    library = LIBRARIES[scope]
    folder = dict(mmdet=coco, mmseg=ade, mmpretrain=imagenet)[scope]
    loaders = short_loaders(config)
    result = run_mim(folder, 'train', library, config, '--work-dir', tmp_path,
                     '--cfg-options', LENGTH[scope], *FROM_SCRATCH, *loaders)
    assert result.returncode == 0
    assert 'Effective batch: 1 process(es) x 2 samples' in result.stdout
    assert '--auto-scale-lr' in result.stdout
    checkpoint, = (
        path for path in tmp_path.glob('*_[12].pth')
        if not path.stem.startswith('best'))
    assert_finite(checkpoint)
    assert list(tmp_path.rglob('curves.png'))
    result = run_mim(folder, 'test', library, config, '--checkpoint',
                     checkpoint, '--work-dir', tmp_path / 'tested',
                     '--cfg-options', *loaders)
    assert result.returncode == 0
    assert METRIC[scope] in result.stdout


def assert_finite(checkpoint: Path):
    weights = torch.load(checkpoint, weights_only=False)['state_dict']
    assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize('config, lr, base_batch', [
    ('mmdet/retinanet_emo_1m.py', 2e-4, 32),
    ('mmseg/pspnet_emo_1m.py', 1.2e-4, 32),
    ('mmpretrain/emo_1m.py', 6e-3, 2048),
])
def test_two_processes_scaled_rate_and_resume(config, lr, base_batch, coco,
                                              ade, imagenet, tmp_path):
    config = ROOT / 'configs' / config
    scope = config.parent.name
    pytest.importorskip(scope)
    folder = dict(mmdet=coco, mmseg=ade, mmpretrain=imagenet)[scope]
    unit = 'iter' if scope == 'mmseg' else 'epoch'
    loaders = short_loaders(config)
    if scope != 'mmpretrain':  # four pictures are no two batches for each
        loaders.remove('val_dataloader.num_batch_per_epoch=2')
    arguments = ('--launcher', 'pytorch', '--gpus', '2', '--cfg-options',
                 f'train_cfg.max_{unit}s=2', 'auto_scale_lr.enable=True',
                 'default_hooks.checkpoint.interval=1',
                 'default_hooks.checkpoint.max_keep_ckpts=2',
                 'default_hooks.logger.interval=1', *FROM_SCRATCH, *loaders)

    def train(work_dir, *flags):
        result = run_mim(folder, 'train', LIBRARIES[scope], config,
                         '--work-dir', work_dir, *flags, *arguments)
        assert result.returncode == 0
        saved = torch.load(work_dir / f'{unit}_2.pth', weights_only=False)
        return result.stdout, saved['optimizer']['param_groups'][0]

    output, whole = train(tmp_path / 'whole')
    assert 'Effective batch: 2 process(es) x 2 samples' in output
    assert 'is meant for a batch of' not in output
    assert whole['initial_lr'] == pytest.approx(lr * 4 / base_batch)
    # The same run, interrupted after its first half.
    interrupted = tmp_path / 'interrupted'
    interrupted.mkdir()
    first = shutil.copy(tmp_path / f'whole/{unit}_1.pth', interrupted)
    (interrupted / 'last_checkpoint').write_text(first)
    output, resumed = train(interrupted, '--resume')
    assert f'{unit}: 1' in re.search('resumed (epoch.*)', output)[1]
    assert resumed['lr'] == whole['lr']


@pytest.mark.parametrize('scope, config', [
    ('mmdet', 'mmdet/ssdlite_emo_1m.py'),
    ('mmseg', 'mmseg/pspnet_emo_1m.py'),
    ('mmpretrain', 'mmpretrain/emo_1m.py'),
])
def test_testing_without_data_names_the_field(scope, config, tmp_path):
    pytest.importorskip(scope)
    (tmp_path / 'x.pth').touch()
    result = run_mim(tmp_path, 'test', LIBRARIES[scope],
                     ROOT / 'configs' / config, '--checkpoint', 'x.pth')
    assert result.returncode != 0
    assert 'test_dataloader.dataset.data_root=' in result.stdout
