"""Write COCO files, and what all converters need besides."""
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from emo_mm.checks.data.images import size_as_loaded

Edges = tuple[float, float, float, float]


class CocoWriter:
    """Collects images and boxes and writes them as a COCO file.

    All ids count from 1: pycocotools takes an annotation with id 0 for none.

    Args:
        classes (Sequence[str]): Names of the categories, in order.

    Attributes:
        images (list[dict]): Entries of the images.
        annotations (list[dict]): Entries of the boxes.
        num_clipped (int): Boxes that reached over an image's edge.

    Raises:
        ValueError: If there is no class, or a name is repeated.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        if not self.classes:
            raise ValueError('There is no class. Name some with --classes.')
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f'classes={self.classes}: a name is repeated. '
                             'Name each once.')
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.num_clipped = 0

    def add_image(self, file_name: str, size: tuple[int, int]) -> None:
        """Add an image, to which the boxes that follow belong.

        Args:
            file_name (str): Path of the image below the folder of images.
            size (tuple[int, int]): Width and height in pixels.
        """
        self.images.append(
            dict(
                id=len(self.images) + 1,
                file_name=file_name,
                width=size[0],
                height=size[1]))

    def add_box(self, label: int, edges: Edges, **extra) -> None:
        """Add a box to the last image, clipped to it.

        Args:
            label (int): Index of the class.
            edges (tuple[float]): (x1, y1, x2, y2) in pixels, with x2 and y2
                outside the box.
            extra (dict): More fields of the annotation.

        Raises:
            ValueError: If nothing of the box is in the image.
        """
        image = self.images[-1]
        width, height = image['width'], image['height']
        x1, x2 = (min(max(x, 0.), width) for x in edges[::2])
        y1, y2 = (min(max(y, 0.), height) for y in edges[1::2])
        # Comparisons that NaN does not pass.
        if not (x2 > x1 and y2 > y1):
            raise ValueError(
                f'the box from {edges[:2]} to {edges[2:]} has no area in an '
                f'image of {width}x{height}. Remove or fix it.')
        # A box is not called clipped because of rounding in its source.
        reach = max(-edges[0], -edges[1], edges[2] - width, edges[3] - height)
        self.num_clipped += reach > 0.01
        box = [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)]
        self.annotations.append(
            dict(
                id=len(self.annotations) + 1,
                image_id=image['id'],
                category_id=label + 1,
                bbox=box,
                area=round(box[2] * box[3], 3),
                iscrowd=0,
                **extra))

    @property
    def summary(self) -> str:
        """Counts of images, boxes and classes, for people."""
        text = (f'{len(self.images)} images and {len(self.annotations)} boxes '
                f'of {len(self.classes)} classes')
        if self.num_clipped:
            text += (f' ({self.num_clipped} boxes clipped, which reached over '
                     'the edge)')
        return text

    def write(self, out: Path) -> None:
        """Write the file ``out`` as a whole or not at all."""
        content = dict(
            images=self.images,
            annotations=self.annotations,
            categories=[
                dict(id=i, name=name)
                for i, name in enumerate(self.classes, 1)
            ])
        out = Path(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(f'{out.name}.part')
        try:
            part.write_text(json.dumps(content), encoding='utf-8')
            os.replace(part, out)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def errors_at(place: str) -> Iterator[None]:
    """Say in each ValueError which file, line or object it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f'{place}: {error}') from error


def image_size(path: Path) -> tuple[int, int]:
    """Return width and height as mmcv loads them, without decoding pixels.

    Raises:
        ValueError: If the file is no image.
    """
    try:
        with Image.open(path) as image:
            return size_as_loaded(image)
    except OSError as error:
        raise ValueError(f'{path} is no image: {error}.') from error


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file, without the mark of Windows' tools."""
    return path.read_text(encoding='utf-8-sig').splitlines()
