"""Checks of detection annotations."""
import math
from collections import Counter
from collections.abc import Iterator, Sequence

from .findings import Finding, error, warning

# Rounding takes boxes over the edge by less.
_TOLERANCE = 1.


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
            or not all(map(_is_finite, box))):
        yield error('box that is not four finite numbers', where, text)
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


def _is_finite(value) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def check_coco(content: dict, ann_file: str) -> Iterator[Finding]:
    """Check the content of a COCO file, of which mmdet silently drops some.

    Args:
        content (dict): The content.
        ann_file (str): Its path, for findings that concern no image.
    """
    missing = {'images', 'categories'} - set(content)
    if missing:
        yield error('no COCO file', ann_file,
                    f'it has no {" and no ".join(sorted(missing))}')
        return
    images = {image.get('id'): image for image in content['images']}
    for key in ('images', 'annotations'):
        for number, times in _ids(content, key).items():
            if times > 1:
                yield error('id used twice', ann_file,
                            f'{times} {key} have id={number!r}')
    categories = {category.get('id') for category in content['categories']}
    annotated = set()
    for annotation in content.get('annotations', ()):
        image = images.get(annotation.get('image_id'))
        if image is None:
            number = annotation.get('image_id')
            yield error('annotation of no image', ann_file,
                        f'{_name(annotation)} has image_id={number!r}')
            continue
        annotated.add(image.get('id'))
        yield from _check_annotation(annotation, image, categories)
    for number, image in images.items():
        if number not in annotated:
            yield warning('image without annotations', _file_name(image))


def _ids(content: dict, key: str) -> Counter:
    return Counter(entry.get('id') for entry in content.get(key, ()))


def _check_annotation(annotation: dict, image: dict,
                      categories: set) -> Iterator[Finding]:
    where, name = _file_name(image), _name(annotation)
    category = annotation.get('category_id')
    if category not in categories:
        yield error('unknown category id', where,
                    f'{name} has category_id={category!r}')
    missing = [key for key in ('bbox', 'area') if key not in annotation]
    if missing:
        yield error('annotation that mmdet cannot read', where,
                    f'{name} has no {" and no ".join(missing)}')
        return
    size = _size(image)
    findings = list(check_box(annotation['bbox'], size, where, name))
    yield from findings
    if not findings and annotation['area'] <= 0:
        yield warning('area of 0, for which mmdet leaves the box out', where,
                      f'{name} has area={annotation["area"]}')


def _size(image: dict) -> tuple[float, float] | None:
    width, height = image.get('width'), image.get('height')
    return (width, height) if width and height else None


def _name(annotation: dict) -> str:
    return f'annotation {annotation.get("id")!r}'


def _file_name(image: dict) -> str:
    return image.get('file_name') or f'image {image.get("id")!r}'


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
