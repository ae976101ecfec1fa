"""Pascal VOC's annotations as a COCO file."""
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from mmengine.utils import track_progress

from .coco_writer import CocoWriter, Edges, errors_at, image_size, read_lines


def voc_to_coco(root: Path,
                out: Path,
                split: str | None = None,
                classes: Sequence[str] | None = None,
                images: Path | None = None) -> CocoWriter:
    """Convert Pascal VOC's XML files.

    VOC counts pixels from 1 and its xmax and ymax are inside the box, so
    (xmin, ymin, xmax, ymax) becomes COCO's (xmin - 1, ymin - 1,
    xmax - xmin + 1, ymax - ymin + 1). Boxes that then reach over the edge,
    as those of tools that count from 0 may, are clipped.

    Objects marked difficult keep ``difficult=1`` as a note. They are ordinary
    objects otherwise: with ``iscrowd=1`` they would be scored as crowds, and
    with ``ignore=1`` mmdet would train them as background while COCO's
    evaluation, which overwrites it, still asks for them.

    Args:
        root (Path): A folder of XML files, or one that has them in
            ``Annotations``.
        out (Path): The JSON file to write.
        split (str, optional): A file with an image's name in each line, or
            the name of one in ``ImageSets/Main``. Defaults to None, all
            files.
        classes (Sequence[str], optional): Names in order. Defaults to None,
            those that occur, sorted.
        images (Path, optional): Folder of the images, to check that each is
            there. Defaults to None, ``JPEGImages`` next to ``Annotations``
            if there is one.

    Returns:
        CocoWriter: What was written.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If an annotation is wrong.
    """
    root = Path(root)
    folder = root / 'Annotations'
    folder = folder if folder.is_dir() else root
    if images is None and (folder.parent / 'JPEGImages').is_dir():
        images = folder.parent / 'JPEGImages'
    paths = _xml_files(folder, split)
    annotations = track_progress(_read_xml, paths, file=sys.stderr)
    if classes is None:
        classes = sorted({o.name for a in annotations for o in a.objects})
    writer = CocoWriter(classes)
    for path, annotation in zip(paths, annotations):
        with errors_at(str(path)):
            _add(writer, annotation, path, images)
    writer.write(out)
    return writer


def _xml_files(folder: Path, split: str | None) -> list[Path]:
    if split is None:
        paths = sorted(folder.glob('*.xml'))
        if not paths:
            raise FileNotFoundError(f'{folder.absolute()} has no XML file.')
        return paths
    split_file = Path(split)
    if not split_file.is_file():
        split_file = folder.parent / f'ImageSets/Main/{split}.txt'
    if not split_file.is_file():
        raise FileNotFoundError(
            f'split={split!r} is neither a file nor in {split_file.parent}.')
    paths = []
    for number, line in enumerate(read_lines(split_file), 1):
        if not line.strip():
            continue
        # The lists of a class have a second column: whether it occurs.
        path = folder / f'{line.split()[0]}.xml'
        if not path.is_file():
            raise FileNotFoundError(
                f'{split_file}, line {number}: there is no {path}.')
        paths.append(path)
    if not paths:
        raise ValueError(f'{split_file} names no image.')
    return paths


@dataclass
class _Object:
    name: str
    edges: Edges
    difficult: int


@dataclass
class _Annotation:
    image: str
    size: tuple[int, int]  # zeros if unknown
    objects: list[_Object]


def _read_xml(path: Path) -> _Annotation:
    with errors_at(str(path)):
        try:
            tree = ElementTree.parse(str(path)).getroot()
        except ElementTree.ParseError as error:  # It names line and column.
            raise ValueError(f'{error}.') from error
        size = tree.find('size')
        return _Annotation(
            image=_text(tree, 'filename'),
            size=(0, 0) if size is None else
            (int(_number(size, 'width')), int(_number(size, 'height'))),
            objects=[
                _read_object(item, number)
                for number, item in enumerate(tree.iterfind('object'), 1)
            ])


def _read_object(item: ElementTree.Element, number: int) -> _Object:
    box = item.find('bndbox')
    if box is None:
        raise ValueError(f'object {number} has no <bndbox>.')
    return _Object(
        name=_text(item, 'name'),
        edges=(_number(box, 'xmin') - 1, _number(box, 'ymin') - 1,
               _number(box, 'xmax'), _number(box, 'ymax')),
        difficult=int((item.findtext('difficult') or '').strip() == '1'))


def _text(element: ElementTree.Element, name: str) -> str:
    text = (element.findtext(name) or '').strip()
    if not text:
        raise ValueError(f'<{element.tag}> has no <{name}>.')
    return text


def _number(element: ElementTree.Element, name: str) -> float:
    text = _text(element, name)
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f'<{name}> is {text!r}, not a number.') from error


def _add(writer: CocoWriter, annotation: _Annotation, path: Path,
         images: Path | None) -> None:
    name, size = annotation.image, annotation.size
    if images is not None and not (images / name).is_file():
        raise FileNotFoundError(f'{path}: <filename> is {name!r}, but there '
                                f'is no {images / name}.')
    if min(size) <= 0:
        if images is None:
            raise ValueError(f'it does not tell the size of {name}. Name the '
                             'folder of the images with --images.')
        size = image_size(images / name)
    writer.add_image(name, size)
    for number, item in enumerate(annotation.objects, 1):
        if item.name not in writer.classes:
            raise ValueError(
                f'object {number} is a {item.name!r}, which is not among '
                f'{writer.classes}. Add it to --classes.')
        with errors_at(f'object {number}'):
            writer.add_box(
                writer.classes.index(item.name),
                item.edges,
                difficult=item.difficult)
