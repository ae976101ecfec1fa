"""The data sets of a config, loaded without their pipelines."""
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict
from mmengine.fileio import list_dir_or_file
from mmengine.registry import DATASETS

from emo_mm.apis import leaf_datasets, type_of
from emo_mm.libraries import heads, num_classes

from ..config import check_classes, check_paths, describe_empty
from .findings import Finding, error
from .images import ImageFile

# What makes no difference to the files that a data set reads.
_NOT_DATA = {'pipeline', 'test_mode', 'filter_cfg', 'lazy_init'}


@dataclasses.dataclass
class Source:
    """A data set of a config.

    Attributes:
        field (str): Where the config has it.
        cfg (dict): Its config, without what ``_NOT_DATA`` names.
        loops (list[str]): Which loops read it.
        dataset: The data set; None unless it loads.
        samples (list[dict]): What its ``get_data_info`` returns.
        num_classes (int): 0 if unknown.
    """
    field: str
    cfg: dict = dataclasses.field(default_factory=dict)
    loops: list[str] = dataclasses.field(default_factory=list)
    dataset: Any = None
    samples: list[dict] = dataclasses.field(default_factory=list)
    num_classes: int = 0

    @property
    def split(self) -> str:
        """Names of the loops that read it."""
        return ', '.join(self.loops)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; none if unknown."""
        return classes_of(self.dataset)

    @property
    def coco_file(self) -> str | None:
        """Path of the annotation file, if it is COCO's."""
        ann_file = self.cfg.get('ann_file')
        if not ann_file or not hasattr(type_of(self.cfg), 'COCOAPI'):
            return None
        return str(Path(self.cfg.get('data_root') or '', ann_file))

    def image_file(self, sample: dict) -> ImageFile | None:
        """Return the image of a sample."""
        return self._file(sample.get('img_path'))

    def mask_file(self, sample: dict) -> ImageFile | None:
        """Return the mask of a sample of mmseg, if it names one."""
        # mmdet's stuff and panoptic maps are read in other ways.
        if 'reduce_zero_label' not in sample:
            return None
        return self._file(sample.get('seg_map_path'), is_mask=True)

    def files(self) -> Iterator[ImageFile]:
        """Yield all images and masks."""
        for sample in self.samples:
            for file in (self.image_file(sample), self.mask_file(sample)):
                if file is not None:
                    yield file

    def _file(self, path: str | None, is_mask=False) -> ImageFile | None:
        args = getattr(self.dataset, 'backend_args', None)
        items = tuple(sorted(args.items())) if args else None
        return ImageFile(path, is_mask, items) if path else None


def classes_of(dataset) -> tuple[str, ...]:
    """Return the names of a data set's classes; none if unknown."""
    metainfo = getattr(dataset, 'metainfo', None) or {}
    return tuple(metainfo.get('classes') or ())


def find_sources(cfg: ConfigDict, loops: Sequence[str]) -> list[Source]:
    """Return the data sets below wrappers, each that loops share once.

    Raises:
        ValueError: If there is none.
    """
    sources: list[Source] = []
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
    """Load a data set into ``source``, without a filter to see all of it.

    Args:
        source (Source): The data set.
        model (dict): The config's model. Its heads tell the number of
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
    wrong_folders: list[Finding] = []
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
    source.num_classes = len(source.classes) or count_classes(model)


def count_classes(model) -> int:
    """Return the fewest classes of a model's heads, 0 if it has none.

    Args:
        model (nn.Module or dict): The model, or its config.
    """
    counts = [num_classes(head) for _, head in heads(model)]
    return min(filter(None, counts), default=0)


def _check_class_folders(name: str, dataset) -> Iterator[Finding]:
    """Check folders, which mmpretrain numbers sorted, whatever the names."""
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
