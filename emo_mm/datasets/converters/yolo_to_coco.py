"""YOLO's annotations as a COCO file."""
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.fileio import load
from mmengine.utils import track_iter_progress

from .coco_writer import CocoWriter, errors_at, image_size, read_lines

_IMAGE_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'}
# Annotation tools write their class names next to the labels.
_NO_LABELS = {'classes.txt', 'names.txt'}


def yolo_to_coco(images: Path, labels: Path, out: Path,
                 classes: Sequence[str]) -> CocoWriter:
    """Convert YOLO's text files.

    A line is ``class cx cy width height``: the number of the class from 0,
    and the box's centre and size in fractions of the image's. An image
    without a text file, or with an empty one, has no objects.

    Args:
        images (Path): Folder of images, with its subfolders.
        labels (Path): Folder of text files of the same names.
        out (Path): The JSON file to write.
        classes (Sequence[str]): Names in order; see also ``read_classes``.

    Returns:
        CocoWriter: What was written.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a line is wrong.
    """
    images, labels = Path(images), Path(labels)
    for folder in (images, labels):
        if not folder.is_dir():
            raise FileNotFoundError(f'There is no folder {folder.absolute()}.')
    paths = sorted(
        path for path in images.rglob('*')
        if path.suffix.lower() in _IMAGE_SUFFIXES)
    if not paths:
        raise FileNotFoundError(f'{images.absolute()} has no image.')
    _check_images_of(labels, images, paths)
    writer = CocoWriter(classes)
    for path in track_iter_progress(paths, file=sys.stderr):
        name = path.relative_to(images)
        writer.add_image(name.as_posix(), image_size(path))
        text = (labels / name).with_suffix('.txt')
        lines = read_lines(text) if text.is_file() else []
        for number, line in enumerate(lines, 1):
            with errors_at(f'{text}, line {number}'):
                if line.strip():
                    _add_line(writer, line)
    writer.write(out)
    return writer


def _check_images_of(labels: Path, images: Path, paths: list[Path]) -> None:
    names = {path.relative_to(images).with_suffix('') for path in paths}
    for text in sorted(labels.rglob('*.txt')):
        name = text.relative_to(labels).with_suffix('')
        if name not in names and text.name not in _NO_LABELS:
            raise FileNotFoundError(
                f'{text}: there is no image {images / name}.jpg (or '
                f'{", ".join(sorted(_IMAGE_SUFFIXES - {".jpg"}))}).')


def _add_line(writer: CocoWriter, line: str) -> None:
    label, (x, y, width, height) = _parse_line(line)
    if label >= len(writer.classes):
        raise ValueError(f'class {label} of {len(writer.classes)} classes, '
                         'which count from 0. Fix it or add to --classes.')
    image = writer.images[-1]
    writer.add_box(label, ((x - width / 2) * image['width'],
                           (y - height / 2) * image['height'],
                           (x + width / 2) * image['width'],
                           (y + height / 2) * image['height']))


def _parse_line(line: str) -> tuple[int, list[float]]:
    words = line.split()
    if len(words) != 5:
        raise ValueError(f'{line!r} has {len(words)} values instead of the 5 '
                         'of "class cx cy width height".')
    try:
        label, box = int(words[0]), [float(word) for word in words[1:]]
    except ValueError as error:
        raise ValueError(f'{line!r} is not a whole number and four '
                         'numbers.') from error
    if label < 0:
        raise ValueError(f'class {label}: classes count from 0.')
    if not all(0 <= value <= 1 for value in box):  # NaN is not, either
        raise ValueError(f'{line!r} is not in fractions from 0 to 1 of the '
                         'image. Divide pixels by its width and height.')
    return label, box


def read_classes(values: Sequence[str]) -> list[str]:
    """Return the names of classes, as ``--classes`` takes them.

    Args:
        values (Sequence[str]): The names; or one ``.txt`` file with a name in
            each line; or one ``.yaml`` file with ``names``, a list or a
            mapping from 0, 1, ...

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not give names.
    """
    path = Path(values[0])
    if len(values) > 1 or path.suffix not in {'.txt', '.yaml', '.yml'}:
        return list(values)
    if not path.is_file():
        raise FileNotFoundError(f'classes={values[0]!r}: there is no such '
                                'file.')
    if path.suffix != '.txt':
        return _names_of_yaml(path)
    names = [line.strip() for line in read_lines(path)]
    while names and not names[-1]:
        names.pop()
    if '' in names:  # Dropping it would shift the classes that follow.
        raise ValueError(f'{path}, line {names.index("") + 1}: no name.')
    return names


def _names_of_yaml(path: Path) -> list[str]:
    content = load(str(path))
    names = content.get('names') if isinstance(content, dict) else None
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise ValueError(f'{path}: names={names!r} is neither a list nor a '
                         'mapping from 0, 1, ... to names.')
    return [str(name) for name in names]
