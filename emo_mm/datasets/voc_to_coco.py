"""Pascal VOC's annotations as a COCO file."""
import sys
from pathlib import Path
from typing import List, Optional, Sequence, Tuple
from xml.etree import ElementTree

from mmengine.utils import track_progress

from .coco_writer import CocoWriter, image_size, read_lines


def voc_to_coco(root: Path,
                out: Path,
                split: Optional[str] = None,
                classes: Optional[Sequence[str]] = None,
                images: Optional[Path] = None) -> CocoWriter:
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
            the name of one in ``ImageSets/Main``. All files by default.
        classes (sequence, optional): Names in order. Those that occur,
            sorted, by default.
        images (Path, optional): Folder of the images, to check that each is
            there. ``JPEGImages`` next to ``Annotations`` by default.

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
    trees = track_progress(_parse_xml, paths, file=sys.stderr)
    if classes is None:
        classes = sorted({
            _text(item, 'name', path)
            for path, tree in zip(paths, trees)
            for item in tree.iterfind('object')
        })
    writer = CocoWriter(list(classes))
    for path, tree in zip(paths, trees):
        _add_voc(writer, path, tree, images)
    writer.write(out)
    return writer


def _xml_files(folder: Path, split: Optional[str]) -> List[Path]:
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
        # The lists of a class have a second column: whether it occurs.
        name = line.split()[0] if line.strip() else ''
        path = folder / f'{name}.xml'
        if name and not path.is_file():
            raise FileNotFoundError(
                f'{split_file}, line {number}: there is no {path}.')
        if name:
            paths.append(path)
    if not paths:
        raise ValueError(f'{split_file} names no image.')
    return paths


def _parse_xml(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(str(path)).getroot()
    except ElementTree.ParseError as error:  # It names line and column.
        raise ValueError(f'{path}: {error}.') from error


def _text(element: ElementTree.Element, name: str, path: Path) -> str:
    text = (element.findtext(name) or '').strip()
    if not text:
        raise ValueError(f'{path}: <{element.tag}> has no <{name}>.')
    return text


def _number(element: ElementTree.Element, name: str, path: Path) -> float:
    text = _text(element, name, path)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'{path}: <{name}> is {text!r}, not a number.')


def _add_voc(writer: CocoWriter, path: Path, tree: ElementTree.Element,
             images: Optional[Path]) -> None:
    name = _text(tree, 'filename', path)
    if images is not None and not (images / name).is_file():
        raise FileNotFoundError(f'{path}: <filename> is {name!r}, but there '
                                f'is no {images / name}.')
    writer.add_image(name, _voc_size(tree, path, images, name))
    for i, item in enumerate(tree.iterfind('object'), 1):
        label = _text(item, 'name', path)
        if label not in writer.classes:
            raise ValueError(
                f'{path}: object {i} is a {label!r}, which is not among '
                f'{writer.classes}. Add it to --classes.')
        box = item.find('bndbox')
        if box is None:
            raise ValueError(f'{path}: object {i} has no <bndbox>.')
        x1, y1, x2, y2 = (
            _number(box, key, path)
            for key in ('xmin', 'ymin', 'xmax', 'ymax'))
        difficult = int((item.findtext('difficult') or '0').strip() == '1')
        try:
            writer.add_box(
                writer.classes.index(label), (x1 - 1, y1 - 1, x2, y2),
                difficult=difficult)
        except ValueError as error:
            raise ValueError(f'{path}: object {i}: {error}') from error


def _voc_size(tree: ElementTree.Element, path: Path, images: Optional[Path],
              name: str) -> Tuple[int, int]:
    """Of the XML file; of the image where that says 0 or nothing."""
    size = tree.find('size')
    if size is not None:
        width, height = (
            int(_number(size, key, path)) for key in ('width', 'height'))
        if width > 0 and height > 0:
            return width, height
    if images is None:
        raise ValueError(f'{path} does not tell the size of {name}. Name the '
                         'folder of the images with --images.')
    return image_size(images / name)
