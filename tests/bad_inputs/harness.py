"""Run a small training, validation or test on one bad input.

Models and data are as small as they can be, so that all cases together take
less than a minute. Each of the three libraries has one of each.
"""
import contextlib
import io
import json
import logging
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from PIL import Image

import emo_mm
from emo_mm.engine import CheckedRunner
from tests.helpers import forget_runs, write_image

ERROR = 'error at start'
SKIPPED = 'skipped with a count'
WARNED = 'accepted with a warning'
ACCEPTED = 'accepted'

CLASSES = ('a', 'b', 'c')
SIZE = (48, 40)  # width and height
NUM_IMAGES = dict(train=6, val=2)
_ARCH = dict(
    depths=(1, 1, 1, 1),
    widths=(8, 8, 8, 8),
    exp_ratios=(1, 1, 1, 1),
    head_dims=(8, 8, 8, 8),
    stem_width=8)
_BACKBONE = dict(type='EMO', arch=_ARCH, window_size=2)
_LOAD = dict(type='LoadImageFromFile')


@dataclass(frozen=True)
class Case:
    """A bad input.

    Attributes:
        kind (str): What it is: images, annotations, …
        name (str): What is bad about it.
        expected (str): What is to happen.
        task (str): 'classifier', 'detector' or 'segmenter'.
        spoil (Callable): Changes the data below a folder, or the config.
        says (tuple[str]): What the error or the warning contains.
        loop (str): 'train', with a validation, or 'test'.
        verify (Callable): Called with the data set of the training, to see
            that what is accepted is used.
    """
    kind: str
    name: str
    expected: str
    task: str
    spoil: Callable[[Path, Config], None]
    says: tuple[str, ...] = ()
    loop: str = 'train'
    verify: Callable | None = None

    def __str__(self) -> str:
        return f'{self.kind}: {self.name}'


@dataclass
class Outcome:
    """What happened: one of the four above, or something else."""
    what: str
    text: str = ''
    problems: list[str] = field(default_factory=list)


# --- Data -------------------------------------------------------------------
def write_data(root: Path) -> None:
    """Write the good data of all three tasks."""
    for split, count in NUM_IMAGES.items():
        lines = []
        for i in range(count):
            write_image(root / split / f'{i}.jpg', seed=i, size=SIZE)
            mask = np.arange(SIZE[0] * SIZE[1]) % len(CLASSES)
            (root / f'{split}_masks').mkdir(exist_ok=True)
            Image.fromarray(mask.reshape(SIZE[::-1]).astype(np.uint8)).save(
                root / f'{split}_masks/{i}.png')
            lines.append(f'{i}.jpg {i % len(CLASSES)}')
        (root / f'{split}.txt').write_text('\n'.join(lines))
        (root / f'{split}.json').write_text(json.dumps(_coco(count)))


def _coco(count: int) -> dict:
    width, height = SIZE
    return dict(
        images=[
            dict(id=i, file_name=f'{i}.jpg', width=width, height=height)
            for i in range(count)
        ],
        annotations=[
            dict(
                id=i + 1,
                image_id=i,
                category_id=i % len(CLASSES),
                bbox=[4, 4, 20, 16],
                area=320,
                iscrowd=0) for i in range(count)
        ],
        categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES)])


# --- Configs ----------------------------------------------------------------
def make_config(task: str, root: Path, work_dir: Path) -> Config:
    """Return the config of a short run on good data."""
    scope, model, dataset, evaluator = _TASKS[task](root)

    def loader(split):
        return dict(
            batch_size=3 if split == 'train' else 2,
            num_workers=0,
            persistent_workers=True,
            collate_fn=dict(type='pseudo_collate' if task ==
                            'detector' else 'default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dataset(split))

    hooks = ('checkpoint', 'curves', 'val_images', 'sampler_seed')
    return Config(
        dict(
            default_scope=scope,
            work_dir=str(work_dir),
            experiment_name=work_dir.name,
            model=model,
            train_dataloader=loader('train'),
            val_dataloader=loader('val'),
            test_dataloader=loader('val'),
            val_evaluator=evaluator,
            test_evaluator=evaluator,
            train_cfg=dict(by_epoch=True, max_epochs=1, val_interval=1),
            val_cfg=dict(),
            test_cfg=dict(),
            optim_wrapper=dict(
                type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3)),
            randomness=dict(seed=0),
            default_hooks={name: None
                           for name in hooks}))


def _classifier(root: Path):
    model = dict(
        type='ImageClassifier',
        backbone=dict(_BACKBONE),
        neck=dict(type='NormGlobalAveragePooling', in_channels=8),
        head=dict(
            type='LinearClsHead',
            num_classes=len(CLASSES),
            in_channels=8,
            topk=(1, )),
        data_preprocessor=dict(
            type='ClsDataPreprocessor', mean=[128.] * 3, std=[64.] * 3))

    def dataset(split):
        return dict(
            type='CustomDataset',
            data_root=str(root),
            ann_file=f'{split}.txt',
            data_prefix=split,
            metainfo=dict(classes=CLASSES),
            pipeline=[
                _LOAD,
                dict(type='Resize', scale=(32, 32)),
                dict(type='PackInputs')
            ])

    return 'mmpretrain', model, dataset, dict(type='Accuracy', topk=(1, ))


def _detector(root: Path):
    model = dict(
        type='SingleStageDetector',
        backbone=dict(_BACKBONE),
        neck=None,
        bbox_head=dict(
            type='RetinaHead',
            num_classes=len(CLASSES),
            in_channels=8,
            feat_channels=8,
            stacked_convs=1,
            anchor_generator=dict(
                type='AnchorGenerator', scales=[1], ratios=[1.], strides=[32]),
            bbox_coder=dict(type='DeltaXYWHBBoxCoder')),
        train_cfg=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.4,
                min_pos_iou=0),
            sampler=dict(type='PseudoSampler'),
            allowed_border=-1,
            pos_weight=-1,
            debug=False),
        test_cfg=dict(
            nms_pre=10,
            score_thr=0.,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=5),
        data_preprocessor=dict(
            type='DetDataPreprocessor',
            mean=[128.] * 3,
            std=[64.] * 3,
            pad_size_divisor=32))

    def dataset(split):
        meta = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
        return dict(
            type='CocoDataset',
            data_root=str(root),
            ann_file=f'{split}.json',
            data_prefix=dict(img=f'{split}/'),
            metainfo=dict(classes=CLASSES),
            test_mode=split == 'val',
            pipeline=[
                _LOAD,
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='Resize', scale=(32, 32)),
                dict(type='PackDetInputs', meta_keys=meta)
            ])

    return 'mmdet', model, dataset, dict(
        type='CocoMetric', ann_file=str(root / 'val.json'), metric='bbox')


def _segmenter(root: Path):
    model = dict(
        type='EncoderDecoder',
        backbone=dict(_BACKBONE),
        decode_head=dict(
            type='FCNHead',
            num_classes=len(CLASSES),
            in_channels=8,
            channels=8,
            in_index=-1,
            num_convs=1,
            norm_cfg=dict(type='BN')),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
        data_preprocessor=dict(
            type='SegDataPreProcessor',
            mean=[128.] * 3,
            std=[64.] * 3,
            size=(32, 32)))

    def dataset(split):
        # In a validation, masks keep their size.
        steps = [
            dict(type='LoadAnnotations'),
            dict(type='Resize', scale=(32, 32), keep_ratio=False)
        ][::1 if split == 'train' else -1]
        return dict(
            type='BaseSegDataset',
            data_root=str(root),
            data_prefix=dict(img_path=split, seg_map_path=f'{split}_masks'),
            metainfo=dict(classes=CLASSES),
            pipeline=[_LOAD, *steps, dict(type='PackSegInputs')])

    return 'mmseg', model, dataset, dict(
        type='IoUMetric', iou_metrics=['mIoU'])


_TASKS = dict(classifier=_classifier, detector=_detector, segmenter=_segmenter)


# --- Running ----------------------------------------------------------------
class _Started(Hook):
    """Know whether an iteration has begun."""
    has = False

    def before_train_iter(self, *_, **__):
        self.has = True

    before_val_iter = before_test_iter = before_train_iter


@contextlib.contextmanager
def good_data() -> Iterator[Path]:
    """Give a folder with good data, as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix='bad_inputs_') as folder:
        write_data(Path(folder, 'data'))
        yield Path(folder, 'data')


def run_case(case: Case, good: Path) -> Outcome:
    """Run a case on a copy of the good data."""
    forget_runs()
    with tempfile.TemporaryDirectory(dir=good.parent) as folder:
        root = Path(shutil.copytree(good, Path(folder, 'data')))
        cfg = make_config(case.task, root, Path(folder, 'work'))
        init_default_scope(cfg.default_scope)
        case.spoil(root, cfg)
        started = _Started()
        printed, runner = io.StringIO(), None
        try:
            with contextlib.redirect_stdout(printed), mock.patch(
                    'mmengine.runner.runner.collect_env', dict):
                runner = CheckedRunner.from_cfg(cfg)
                runner.register_hook(started)
                getattr(runner, case.loop)()
            outcome = _describe_end(Path(cfg.work_dir))
            if case.verify is not None:
                case.verify(runner.train_dataloader.dataset)
        except (Exception, SystemExit) as error:
            outcome = _describe_error(error, started.has)
        finally:
            for handler in logging.getLogger('mmengine').handlers:
                handler.close()
        outcome.problems = list(_compare(case, outcome))
        return outcome


def _describe_end(work_dir: Path) -> Outcome:
    log = ''.join(path.read_text() for path in work_dir.rglob('*.log'))
    lines = [line for line in log.splitlines() if '- WARNING -' in line]
    counted = [
        line for line in lines
        if 'left out of the training (' in line or 'do not count' in line
    ]
    ours = [line for line in lines if _is_ours(line)]
    what = SKIPPED if counted else WARNED if ours else ACCEPTED
    return Outcome(what, log if counted or ours else '')


def _is_ours(line: str) -> bool:
    return '_dataloader.dataset' in line or 'What can be read' in line


def _describe_error(error: BaseException, has_started: bool) -> Outcome:
    frames = traceback.extract_tb(error.__traceback__)
    root = str(Path(emo_mm.__file__).parent)
    is_ours = any(frame.filename.startswith(root)
                  for frame in frames[-2:]) or isinstance(
                      error.__context__,
                      Exception) and frames[-1].filename.startswith(root)
    text = f'{type(error).__name__}: {error}'
    if is_ours and not has_started:
        return Outcome(ERROR, text)
    when = 'after the start' if has_started else 'at the start'
    last = frames[-1]
    return Outcome(f'traceback {when}',
                   f'{text} ({last.filename}:{last.lineno})')


def _compare(case: Case, outcome: Outcome) -> Iterator[str]:
    if outcome.what != case.expected:
        yield f'{outcome.what}, not {case.expected}'
    for text in case.says:
        if text not in outcome.text:
            yield f'{text!r} is not said'
