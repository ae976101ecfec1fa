"""Checks of detection annotations."""
import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from .findings import Finding, error, warning

# Rounding takes boxes over the edge by less.
_TOLERANCE = 1.

# The keys that mmdet and pycocotools read, and what each value must be.
_IMAGE = dict(
    id='a number or a text',
    file_name='a text',
    width='a finite number',
    height='a finite number')
_IDS = dict(
    id='a number or a text',
    image_id='a number or a text',
    category_id='a number or a text')
_ANNOTATION = dict(_IDS, bbox='a list', area='a finite number')
_CATEGORY = dict(id='a number or a text', name='a text')


# --- Values -----------------------------------------------------------------
def is_finite(value: Any) -> bool:
    """Tell whether a value is a number that one can compute with."""
    return isinstance(value, (int, float)) and math.isfinite(value)


_RULES = {
    'a number or a text': lambda value: isinstance(value, (int, float, str)),
    'a text': lambda value: isinstance(value, str),
    'a finite number': is_finite,
    'a list': lambda value: isinstance(value, (list, tuple)),
}


def _check_entry(entry: Any, keys: dict[str, str], where: str,
                 name: str) -> Iterator[Finding]:
    """Look for keys that are missing and values of another type."""
    if not isinstance(entry, dict):
        yield error(
            'entry that is no object',
            where,
            f'{name} is {entry!r}',
            stops=True)
        return
    missing = [key for key in keys if key not in entry]
    if missing:
        yield error(
            f'{name.split()[0]} that mmdet cannot read',
            where,
            f'{name} has no {" and no ".join(missing)}',
            stops=True)
    for key in set(keys) - set(missing):
        if not _RULES[keys[key]](entry[key]):
            kind = ('box that is not four finite numbers'
                    if key == 'bbox' else 'value of another type')
            yield error(
                kind,
                where,
                f'{name} has {key}={entry[key]!r}, which must be {keys[key]}',
                stops=True)


def check_box(box: Sequence[float], size: tuple[float, float] | None,
              where: str, name: str) -> Iterator[Finding]:
    """Check (x, y, width, height) in an image of (width, height) pixels.

    Args:
        box (Sequence[float]): The box.
        size (tuple[float, float], optional): Width and height of the image;
            None if unknown.
        where (str): The image.
        name (str): What to call the annotation.
    """
    text = f'{name} has bbox={box}'
    if (not isinstance(box, (list, tuple)) or len(box) != 4
            or not all(map(is_finite, box))):
        yield error(
            'box that is not four finite numbers', where, text, stops=True)
        return
    x, y, width, height = box
    if width <= 0 or height <= 0:
        yield error('box without an area', where, text)
        return
    if width < 1 or height < 1:
        yield warning('box below one pixel, which mmdet leaves out', where,
                      text)
    if size is None:
        return
    over = max(-x, -y, x + width - size[0], y + height - size[1])
    if x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0:
        yield error('box outside the image', where, f'{text} in {size}')
    elif over > _TOLERANCE:
        yield warning('box partly outside the image', where,
                      f'{text} in {size}')


# --- COCO files -------------------------------------------------------------
def check_coco(content: Any, ann_file: str) -> Iterator[Finding]:
    """Check the content of a COCO file, of which mmdet silently drops some.

    Args:
        content: The content, which should be a dict of three lists.
        ann_file (str): Its path, for findings that concern no image.
    """
    problem = _describe_lists(content)
    if problem:
        yield error('no COCO file', ann_file, problem, stops=True)
        return
    yield from _check_ids(content, ann_file)
    for category in content['categories']:
        yield from _check_entry(category, _CATEGORY, ann_file,
                                f'category {_id(category)}')
    for image in content['images']:
        yield from _check_entry(image, _IMAGE, ann_file, f'image {_id(image)}')
    images = _by_id(content['images'])
    categories = set(_by_id(content['categories']))
    annotated = set()
    for annotation in content.get('annotations', ()):
        number = _value(annotation, 'image_id')
        image = images.get(number)
        if image is None and isinstance(annotation, dict) and number != '':
            yield error('annotation of no image', ann_file,
                        f'{_name(annotation)} has image_id={number!r}')
            continue
        annotated.add(number)
        yield from _check_annotation(annotation, image or {}, categories,
                                     ann_file)
    for number, image in images.items():
        if 0 in (image.get('width'), image.get('height')):
            yield error('image of no size, whose boxes mmdet leaves out',
                        _file_name(image))
        if number not in annotated:
            yield warning('image without annotations', _file_name(image))


def _describe_lists(content: Any) -> str:
    """Return what is wrong with the lists of a COCO file, '' if nothing."""
    if not isinstance(content, dict):
        return f'it holds no object, but a {type(content).__name__}'
    missing = sorted({'images', 'categories'} - set(content))
    if missing:
        return f'it has no {" and no ".join(missing)}'
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(content.get(key, []), list):
            return f'its {key}={content[key]!r} are no list'
    return ''


def _value(entry: Any, key: str) -> Any:
    """Return a value that other entries refer to, '' if there is none."""
    value = entry.get(key, '') if isinstance(entry, dict) else ''
    return value if isinstance(value, Hashable) else ''


def _by_id(entries: list) -> dict:
    return {
        _value(entry, 'id'): entry
        for entry in entries if isinstance(entry, dict)
    }


def _check_ids(content: dict, ann_file: str) -> Iterator[Finding]:
    for key in ('images', 'annotations', 'categories'):
        entries = content.get(key, [])
        by_id = defaultdict(list)
        for entry in entries:
            by_id[_value(entry, 'id')].append(entry)
        for number, same in by_id.items():
            if len(same) > 1 and number != '':
                yield error(
                    'id used twice',
                    ann_file,
                    f'{len(same)} {key} have id={number!r}',
                    # Of equal images it makes no difference which is kept.
                    stops=key == 'annotations'
                    or any(entry != same[0] for entry in same))


def _check_annotation(annotation: Any, image: dict, categories: set,
                      ann_file: str) -> Iterator[Finding]:
    where, name = _file_name(image, ann_file), _name(annotation)
    # mmdet does not look at boxes with this key.
    ignored = isinstance(annotation, dict) and annotation.get('ignore')
    findings = list(
        _check_entry(annotation, _IDS if ignored else _ANNOTATION, where,
                     name))
    yield from findings
    if not isinstance(annotation, dict) or ignored:
        return
    category = _value(annotation, 'category_id')
    if category not in categories:
        yield error('unknown category id', where,
                    f'{name} has category_id={category!r}')
    if findings:
        return
    findings = list(check_box(annotation['bbox'], _size(image), where, name))
    yield from findings
    if not findings and annotation['area'] <= 0:
        yield warning('area of 0, for which mmdet leaves the box out', where,
                      f'{name} has area={annotation["area"]}')


def _size(image: dict) -> tuple[float, float] | None:
    width, height = image.get('width'), image.get('height')
    if not is_finite(width) or not is_finite(height):
        return None
    return (width, height) if width and height else None  # type: ignore


def _id(entry: Any) -> str:
    return repr(entry.get('id') if isinstance(entry, dict) else None)


def _name(annotation: Any) -> str:
    return f'annotation {_id(annotation)}'


def _file_name(image: dict, ann_file: str = '') -> str:
    return str(
        image.get('file_name') or ann_file or f'image {image.get("id")!r}')


# --- Other data sets --------------------------------------------------------
def check_instances(sample: dict, num_classes: int) -> Iterator[Finding]:
    """Check an image of mmdet's other data sets.

    Args:
        sample (dict): What ``get_data_info`` returns.
        num_classes (int): Number of classes; 0 if unknown.
    """
    where = sample['img_path']
    if not sample['instances']:
        yield warning('image without annotations', where)
    for i, instance in enumerate(sample['instances'], 1):
        x1, y1, x2, y2 = instance['bbox']
        yield from check_box((x1, y1, x2 - x1, y2 - y1), _size(sample), where,
                             f'object {i}')
        label = instance['bbox_label']
        if num_classes and not 0 <= label < num_classes:
            yield error(
                'unknown class', where, f'object {i} has label {label}; '
                f'there are {num_classes} classes')
