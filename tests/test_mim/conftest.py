"""Small data sets and short options for runs of the libraries' tools."""
import pytest

from emo_mm.models.weights import FROM_SCRATCH

METRIC = dict(mmdet='coco/bbox_mAP', mmseg='mIoU', mmpretrain='accuracy/top1')


def unit_of(config):
    """Return what a training counts, as options and files name it."""
    return 'iter' if config.parent.name == 'mmseg' else 'epoch'


def short_loaders(config):
    """Return options for batches of two, and two of them per epoch."""
    scope = config.parent.name
    loaders = [
        f'{loop}_dataloader.{option}' for loop in ('train', 'val', 'test')
        for option in ('batch_size=2', 'num_workers=0',
                       'num_batch_per_epoch=2', 'persistent_workers=False')
    ]
    if scope == 'mmseg':  # its sampler has no end
        loaders.remove('train_dataloader.num_batch_per_epoch=2')
        # A quarter of 512 x 512.
        loaders += [
            f'{loop}_dataloader.dataset.pipeline.{step}.scale=(512,128)'
            for loop, step in (('train', 2), ('val', 1), ('test', 1))
        ]
        loaders += [
            'train_dataloader.dataset.pipeline.3.crop_size=(128,128)',
            'model.data_preprocessor.size=(128,128)'
        ]
    if scope == 'mmdet':  # untrained, it is sure of nothing
        loaders.append('model.test_cfg.score_thr=0.')
    if 'retinanet' in config.stem:  # a fifth of 1333 x 800
        loaders += [
            f'{loop}_dataloader.dataset.pipeline.{step}.scale=(267,160)'
            for loop, step in (('train', 2), ('val', 1), ('test', 1))
        ]
    return loaders


def resumable(config, processes):
    """Return options for two epochs or iterations, each with a checkpoint."""
    unit, loaders = unit_of(config), short_loaders(config)
    if processes > 1 and config.parent.name != 'mmpretrain':
        # Four images are no two batches for each.
        loaders.remove('val_dataloader.num_batch_per_epoch=2')
    return (f'train_cfg.max_{unit}s=2', 'auto_scale_lr.enable=True',
            'default_hooks.checkpoint.interval=1',
            'default_hooks.checkpoint.max_keep_ckpts=2',
            'default_hooks.logger.interval=1', FROM_SCRATCH, *loaders)


@pytest.fixture(scope='session')
def coco(tmp_path_factory):
    """A folder with a small data set in ``data/coco``, of 80 classes."""
    pytest.importorskip('mmdet')
    from emo_mm.datasets.shapes import coco_categories, generate_coco
    folder = tmp_path_factory.mktemp('coco')
    generate_coco(
        folder / 'data/coco',
        dict(train2017=8, val2017=4),
        size=96,
        categories=coco_categories())
    return folder


@pytest.fixture(scope='session')
def ade(tmp_path_factory):
    """A folder with a small data set in ``data/ade``."""
    from emo_mm.datasets.shapes import generate_ade
    folder = tmp_path_factory.mktemp('ade')
    generate_ade(folder / 'data/ade/ADEChallengeData2016',
                 dict(training=8, validation=4))
    return folder


@pytest.fixture(scope='session')
def imagenet(tmp_path_factory):
    """A folder with a small data set in ``data/imagenet``, of 1000 classes."""
    from emo_mm.datasets.shapes import generate_imagenet
    folder = tmp_path_factory.mktemp('imagenet')
    generate_imagenet(folder / 'data/imagenet', dict(train=1, val=1), size=32)
    return folder


@pytest.fixture
def folder_of(request):
    """The folder with data for a library, by its scope."""
    data = dict(mmdet='coco', mmseg='ade', mmpretrain='imagenet')

    def get(scope):
        pytest.importorskip(scope)
        return request.getfixturevalue(data[scope])

    return get
