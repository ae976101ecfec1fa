"""The data sets of a config, loaded without their pipelines."""
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

from mmengine.config import ConfigDict
from mmengine.fileio import list_dir_or_file
from mmengine.registry import DATASETS

from emo_mm.checks.config import (check_classes, check_paths, describe_empty,
                                  leaf_datasets, type_of)

from .findings import Finding, error
from .images import Task

# What makes no difference to the files that a data set reads.
_NOT_DATA = {'pipeline', 'test_mode', 'filter_cfg', 'lazy_init'}


@dataclass
class Source:
    """A data set of a config.

    Args:
        field (str): Where the config has it.
        cfg (dict): Its config, without what ``_NOT_DATA`` names.
        loops (list): Which loops read it.
        dataset: The data set; None unless it loads.
        samples (list): What its ``get_data_info`` gives.
        num_classes (int): 0 if unknown.
    """
    field: str
    cfg: dict
    loops: List[str]
    dataset: object = None
    samples: List[dict] = field(default_factory=list)
    num_classes: int = 0

    @property
    def split(self) -> str:
        return ', '.join(self.loops)

    @property
    def classes(self) -> Tuple[str, ...]:
        if self.dataset is None:
            return ()
        return tuple(self.dataset.metainfo.get('classes') or ())

    @property
    def coco_file(self) -> Optional[str]:
        """The annotation file, if it is COCO's."""
        ann_file = self.cfg.get('ann_file')
        if not ann_file or not hasattr(type_of(self.cfg), 'COCOAPI'):
            return None
        return str(Path(self.cfg.get('data_root') or '', ann_file))

    def image_task(self, sample: dict) -> Optional[Task]:
        path = sample.get('img_path')
        return Task(path, False, self._backend_args) if path else None

    def mask_task(self, sample: dict) -> Optional[Task]:
        # mmdet's stuff and panoptic maps are read in other ways.
        if 'reduce_zero_label' not in sample:
            return None
        path = sample.get('seg_map_path')
        return Task(path, True, self._backend_args) if path else None

    def tasks(self) -> Iterator[Task]:
        for sample in self.samples:
            for task in (self.image_task(sample), self.mask_task(sample)):
                if task is not None:
                    yield task

    @property
    def _backend_args(self) -> Optional[tuple]:
        args = getattr(self.dataset, 'backend_args', None)
        return tuple(sorted(args.items())) if args else None


def find_sources(cfg: ConfigDict, loops: Sequence[str]) -> List[Source]:
    """The data sets below wrappers; what val and test share comes once.

    Raises:
        ValueError: If there is none.
    """
    sources: List[Source] = []
    for loop in loops:
        dataloader = cfg.get(f'{loop}_dataloader') or {}
        for name, dataset in leaf_datasets(
                dataloader.get('dataset'), f'{loop}_dataloader.dataset'):
            data = {k: v for k, v in dataset.items() if k not in _NOT_DATA}
            same = [source for source in sources if source.cfg == data]
            if not same:
                sources.append(Source(name, data, [loop]))
            elif loop not in same[0].loops:
                same[0].loops.append(loop)
    if not sources:
        fields = ', '.join(f'{loop}_dataloader' for loop in loops)
        raise ValueError(f'The config has no data set in {fields}. Give a '
                         'config with data, or other --loops.')
    return sources


def load_source(source: Source, model: dict) -> Iterator[Finding]:
    """Fill ``source``, without a filter so that nothing stays unseen.

    Args:
        source (Source): The data set.
        model (dict): The config's model. Its head tells the number of
            classes where the data set does not.
    """
    try:
        check_paths(source.field, source.cfg)
    except FileNotFoundError as problem:
        yield error('missing file or folder', problem)
        return
    try:
        check_classes(source.field, source.cfg)
    except ValueError as problem:
        yield error('class names', problem)
    except (KeyError, TypeError):
        pass  # A malformed file, or no type: it does not load either.
    wrong_folders: List[Finding] = []
    try:
        dataset = DATASETS.build(dict(source.cfg, lazy_init=True))
        wrong_folders += _check_class_folders(source.field, dataset)
        yield from wrong_folders
        dataset.full_init()
        source.samples = [
            dataset.get_data_info(i) for i in range(len(dataset))
        ]
    except Exception as problem:  # Data sets raise nearly anything.
        empty = isinstance(problem, ValueError) and describe_empty(
            source.cfg, problem)
        if empty:
            yield error('data set without samples', source.field, empty)
        elif not wrong_folders:
            yield error('data set that does not load', source.field,
                        f'{type(problem).__name__}: {problem}')
        return
    source.dataset = dataset
    source.num_classes = len(source.classes) or _num_classes_of_head(model)


def _check_class_folders(name: str, dataset) -> Iterator[Finding]:
    """mmpretrain numbers classes by sorted folders, whatever their names."""
    classes = dataset.metainfo.get('classes')
    if (dataset.ann_file or not getattr(dataset, 'with_label', False)
            or classes is None):
        return
    folders = sorted(
        list_dir_or_file(dataset.img_prefix, list_file=False, recursive=False))
    if len(folders) != len(classes):
        yield error(
            'class folders', name,
            f'{dataset.img_prefix} has {len(folders)} folders, but there are '
            f'{len(classes)} classes. Set metainfo=dict(classes=(...)) to '
            'the names of the folders')
    elif set(folders) == set(classes) and folders != list(classes):
        yield error(
            'class folders', name, f'classes={tuple(classes)} are in another '
            'order than the sorted folders, by which images are labelled. '
            f'Write them as {tuple(folders)}')


def _num_classes_of_head(model: dict) -> int:
    head = model.get('head') or model.get('decode_head') or {}
    if isinstance(head, (list, tuple)):  # a cascade
        head = head[-1]
    return head.get('num_classes') or 0
