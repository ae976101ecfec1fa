"""Short runs of all three libraries, on images that are drawn."""
from itertools import count

import pytest
from mmengine.config import Config

from emo_mm.apis import find_config
from emo_mm.datasets.shapes import generate_ade, generate_coco
from emo_mm.engine import CheckedRunner
from tests.helpers import TINY, forget_runs, write_image

NUMBERS = count()
LIBRARIES = ('mmdet', 'mmseg', 'mmpretrain')
WIDTH = TINY['widths'][-1]  # of the last two stages
QUICK = dict(num_workers=0, persistent_workers=False, batch_size=2)


def _detector(folder):
    generate_coco(folder, dict(train2017=4, val2017=3), size=160)
    cfg = Config.fromfile(find_config('ssdlite_emo_1m_shapes'))
    for loop in ('train', 'val', 'test'):
        dataset = cfg[f'{loop}_dataloader'].dataset
        dataset = dataset.get('dataset', dataset)
        dataset.data_root = f'{folder}/'
    cfg.train_dataloader.dataset.times = 1
    channels = (WIDTH, WIDTH, 64, 64, 64, 64)
    cfg.model.neck.update(in_channels=channels[:2], out_channels=channels)
    cfg.model.bbox_head.in_channels = channels
    path = f'{folder}/annotations/instances_val2017.json'
    cfg.val_evaluator.ann_file = cfg.test_evaluator.ann_file = path
    cfg.train_cfg.max_epochs = 2
    return cfg


def _segmenter(folder):
    generate_ade(folder, dict(training=4, validation=3), size=64)
    cfg = Config.fromfile(find_config('pspnet_emo_1m'))
    for loop in ('train', 'val', 'test'):
        cfg[f'{loop}_dataloader'].dataset.data_root = str(folder)
    cfg.train_dataloader.dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', reduce_zero_label=True),
        dict(type='PackSegInputs')
    ]
    cfg.model.data_preprocessor.size = (64, 64)
    for head in ('decode_head', 'auxiliary_head'):
        cfg.model[head].update(in_channels=WIDTH, channels=16)
    for loop in ('val', 'test'):
        cfg[f'{loop}_dataloader'].dataset.pipeline[1].scale = (64, 64)
    cfg.train_cfg.update(max_iters=4, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 2
    return cfg


def _classifier(folder):
    for split, number in (('train', 4), ('val', 1)):
        for i, name in enumerate('abc'):
            for j in range(number):
                write_image(folder / split / name / f'{j}.png', i, (32, 32))
    cfg = Config.fromfile(find_config('emo_1m'))
    for split, loop in (('train', 'train'), ('val', 'val'), ('val', 'test')):
        cfg[f'{loop}_dataloader'].dataset = dict(
            type='CustomDataset',
            data_root=str(folder),
            data_prefix=split,
            pipeline=[dict(type='LoadImageFromFile'),
                      dict(type='PackInputs')])
    cfg.data_preprocessor.num_classes = cfg.model.head.num_classes = 3
    cfg.model.head.topk = (1, )
    cfg.model.neck.in_channels = cfg.model.head.in_channels = WIDTH
    cfg.val_evaluator.topk = cfg.test_evaluator.topk = (1, )
    cfg.train_cfg.max_epochs = 2
    return cfg


_MAKE = dict(mmdet=_detector, mmseg=_segmenter, mmpretrain=_classifier)


@pytest.fixture(scope='session')
def drawn(tmp_path_factory):
    """Configs and data of the libraries, each made once."""
    made = {}

    def get(library):
        if library not in made:
            pytest.importorskip(library)
            cfg = _MAKE[library](tmp_path_factory.mktemp(library))
            for loop in ('train', 'val', 'test'):
                cfg[f'{loop}_dataloader'].update(QUICK)
            cfg.model.backbone.update(
                arch=TINY, init_cfg=None, norm_eval=False)
            cfg.randomness = dict(seed=0)
            made[library] = cfg
        return made[library]

    return get


@pytest.fixture
def short_run(drawn, tmp_path):
    """A function that builds the runner of a library's short training.

    Options are those of ``--cfg-options``; ``work_dir`` lies in tmp_path.
    """

    def build(library, work_dir='run', **options):
        forget_runs()
        cfg = Config(drawn(library).to_dict())
        cfg.merge_from_dict({
            name.replace('__', '.'): value
            for name, value in options.items()
        })
        cfg.work_dir = str(tmp_path / work_dir)
        # mmengine tells runs of one second apart by this alone.
        cfg.experiment_name = f'run_{next(NUMBERS)}'
        return CheckedRunner.from_cfg(cfg)

    return build
