"""What the pipelines and metrics of a config need of a COCO file.

mmdet's CocoDataset reads one for a loop's data, and CocoMetric hands one to
pycocotools. Both leave out some annotations in silence and fail at others,
in a worker or after the first epoch.
"""
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict

from emo_mm.apis import leaf_datasets, type_of

from .boxes import check_coco, is_finite
from .findings import Finding, error

# Kind of the findings about masks.
NO_MASK = 'annotation without a usable polygon'


@dataclass(frozen=True)
class CocoFile:
    """A COCO file of a loop, and what is read of it.

    Attributes:
        field (str): Where the config has it.
        path (str): Its path.
        classes (tuple[str]): Names of the classes that are read; none if
            all are.
        masks (str): The setting that asks for masks; '' if none does.
        poly2mask (bool): Whether the pipeline makes bitmaps of polygons.
            Defaults to True.
        is_scored (bool): Whether pycocotools reads it. Defaults to False.
    """
    field: str
    path: str
    classes: tuple[str, ...] = ()
    masks: str = ''
    poly2mask: bool = True
    is_scored: bool = False


# --- Where a config has them -------------------------------------------------
def find_coco_files(cfg: ConfigDict, loop: str) -> Iterator[CocoFile]:
    """Yield the COCO files of a loop's data sets and metrics.

    Files in remote storage, and data sets that read theirs in another way
    than CocoDataset, are left out.
    """
    loader = cfg.get(f'{loop}_dataloader') or {}
    classes: tuple[str, ...] = ()
    for field, dataset in leaf_datasets(
            loader.get('dataset'), f'{loop}_dataloader.dataset'):
        path = find_ann_file(dataset)
        if path is None:
            continue
        metainfo = type_of(dataset)._load_metainfo(  # type: ignore
            dict(dataset.get('metainfo') or {}))
        classes = tuple(metainfo.get('classes') or ())
        masks = _mask_loader(dataset.get('pipeline') or ())
        yield CocoFile(f'{field}.ann_file', str(path), classes,
                       'with_mask=True in its pipeline' if masks else '',
                       (masks or {}).get('poly2mask', True))
    evaluators = cfg.get(f'{loop}_evaluator') or ()
    if isinstance(evaluators, dict):
        evaluators = [evaluators]
    for metric in evaluators:
        if _is_coco_metric(metric) and _is_file(metric):
            kinds = metric.get('metric', 'bbox')
            segm = 'segm' in ([kinds] if isinstance(kinds, str) else kinds)
            yield CocoFile(
                f'{loop}_evaluator.ann_file',
                metric['ann_file'],
                classes,
                "metric='segm' of the evaluator" if segm else '',
                is_scored=True)


def find_ann_file(dataset: dict) -> Path | None:
    """Return the path of a data set's file, if it is local and COCO's."""
    ann_file = dataset.get('ann_file')
    if (not isinstance(ann_file, str) or dataset.get('backend_args')
            or not _reads_coco(type_of(dataset))):
        return None
    path = Path(dataset.get('data_root') or '', ann_file)
    return path if path.is_file() else None


def _reads_coco(data_type: type) -> bool:
    """Tell whether mmdet's CocoDataset itself reads file and annotations."""
    return all(
        definer_of(data_type, method) == 'CocoDataset'
        for method in ('load_data_list', 'parse_data_info'))


def definer_of(data_type: type, method: str) -> str:
    """Return the name of the class that a class has a method from."""
    definers = (c for c in data_type.__mro__ if method in vars(c))
    return next(definers, type).__name__


def _mask_loader(pipeline: Any) -> dict | None:
    """Find the step of a pipeline that loads masks, at any depth."""
    if isinstance(pipeline, dict):
        kind = pipeline.get('type')
        name = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
        if (name.rpartition('.')[2] == 'LoadAnnotations'
                and pipeline.get('with_mask')):
            return pipeline
        pipeline = list(pipeline.values())
    if isinstance(pipeline, (list, tuple)):
        return next(filter(None, map(_mask_loader, pipeline)), None)
    return None


def _is_coco_metric(metric: Any) -> bool:
    kind = metric.get('type') if isinstance(metric, dict) else None
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
    return name.rpartition('.')[2] == 'CocoMetric'


def _is_file(metric: dict) -> bool:
    path = metric.get('ann_file')
    return (isinstance(path, str) and not metric.get('backend_args')
            and Path(path).is_file())


# --- What they hold ----------------------------------------------------------
def read_coco(path: str | Path) -> Any:
    """Read a JSON file, which may be of some 100 MB, once for all checks.

    Raises:
        ValueError: If it is no JSON file. The message has its path.
    """
    return _parse(str(path), Path(path).stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _parse(path: str, _modified: int) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError as problem:
        advice = (' Save it as UTF-8 without a byte-order mark.' if isinstance(
            problem, UnicodeDecodeError) or 'BOM' in str(problem) else '')
        raise ValueError(f'{path} is no JSON file, or was cut short: '
                         f'{problem}.{advice}') from problem


def forget_files() -> None:
    """Free what :func:`read_coco` keeps."""
    _parse.cache_clear()


def check_use(file: CocoFile, content: Any) -> Iterator[Finding]:
    """Check what a loop needs of a file, beyond what every file must have.

    Args:
        file (CocoFile): The file, and what is read of it.
        content: What it holds, as :func:`read_coco` returns it.
    """
    images, annotations = _select(content, file.classes)
    names = {number: image['file_name'] for number, image in images.items()}
    for annotation in annotations:
        where = names[annotation['image_id']]
        name = f'annotation {annotation["id"]!r}'
        if file.is_scored and 'iscrowd' not in annotation:
            yield error(
                'annotation that pycocotools cannot score',
                where,
                f'{name} has no iscrowd, which is 0 for a single object',
                stops=True)
        if file.is_scored and annotation['id'] == 0:
            yield error(
                'annotation that never counts as found', where,
                f'{name}: pycocotools takes id=0 for none. Count '
                'from 1')
        if not file.masks or not (file.is_scored or _is_loaded(annotation)):
            continue
        problem, stops = describe_mask(
            annotation.get('segmentation'), images[annotation['image_id']],
            file.is_scored)
        if problem:
            yield error(
                NO_MASK,
                where,
                f'{name} has {problem}, but {file.masks} needs its outline',
                stops=stops)
        elif not file.poly2mask and isinstance(annotation['segmentation'],
                                               dict):
            yield error(
                NO_MASK, where, f'{name} has a run-length mask, which '
                'poly2mask=False leaves out')


def _select(content: Any, classes: Sequence[str]) -> tuple[dict, list[dict]]:
    """Return images by id and their annotations of classes, if well formed."""
    images = {image['id']: image for image in content['images']}
    wanted = {
        category['id']
        for category in content['categories']
        if not classes or category['name'] in classes
    }
    return images, [
        annotation for annotation in content.get('annotations', ())
        if annotation['image_id'] in images
        and annotation['category_id'] in wanted
    ]


def _is_loaded(annotation: dict) -> bool:
    """Tell whether CocoDataset keeps an annotation, by its size alone."""
    width, height = annotation['bbox'][2:] if not annotation.get(
        'ignore') else (0, 0)
    return width >= 1 and height >= 1 and annotation['area'] > 0


def describe_mask(mask: Any, image: dict, is_scored: bool) -> tuple[str, bool]:
    """Say why an annotation's mask cannot be used.

    Args:
        mask: ``segmentation`` of an annotation.
        image (dict): Its image, with width and height.
        is_scored (bool): Whether pycocotools reads it, not mmdet.

    Returns:
        tuple[str, bool]: The reason, '' if it can be used, and whether a run
        ends there. mmdet leaves out some of them in silence.
    """
    if not mask:
        missing = 'no segmentation' if mask is None else f'{mask!r} for one'
        return missing, True
    if isinstance(mask, dict):
        return _describe_rle(mask, image, is_scored)
    if not isinstance(mask, list) or not all(
            isinstance(part, list) and all(map(is_finite, part))
            for part in mask):
        return f'segmentation={_cut(mask)}, no lists of finite numbers', True
    usable = [len(part) % 2 == 0 and len(part) >= 6 for part in mask]
    if not any(usable) or is_scored and len(mask[0]) < 6:
        # pycocotools goes by the first part, and takes four numbers for a box.
        return (f'segmentation={_cut(mask)}, no polygon of three points or '
                'more'), is_scored and len(mask[0]) < 6
    return '', False


def _describe_rle(mask: dict, image: dict,
                  is_scored: bool) -> tuple[str, bool]:
    counts, size = mask.get('counts'), mask.get('size')
    if not counts or not isinstance(counts, (list, str)) or not size:
        return (f'segmentation={_cut(mask)} without counts or size', is_scored)
    if list(size) != [image['height'], image['width']]:
        return (f'a run-length mask of size={size} in an image of '
                f'{[image["height"], image["width"]]} (height, width)'), True
    if isinstance(counts, list) and sum(counts) != size[0] * size[1]:
        return (f'a run-length mask whose counts add up to {sum(counts)} '
                f'instead of {size[0]} x {size[1]}'), True
    return '', False


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f'{text[:37]}...'


# --- All files of a loop -----------------------------------------------------
def check_loop(cfg: ConfigDict, loop: str) -> Iterator[tuple[str, Finding]]:
    """Yield what is wrong with a loop's COCO files, with the field of each.

    Raises:
        ValueError: If a file is no JSON file.
    """
    checked: dict[str, list[Finding]] = {}
    for file in find_coco_files(cfg, loop):
        content = read_coco(file.path)
        if file.path not in checked:
            checked[file.path] = list(check_coco(content, file.path))
            yield from ((file.field, found) for found in checked[file.path])
        if not any(found.stops for found in checked[file.path]):
            yield from ((file.field, found)
                        for found in check_use(file, content))
