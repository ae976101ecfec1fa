"""Write annotations of other formats as a COCO file."""
import json
import os
from pathlib import Path
from typing import List, Sequence, Tuple

from PIL import Image

from emo_mm.checks.data.images import size_as_loaded

_Edges = Tuple[float, float, float, float]


class CocoWriter:
    """Collects images and boxes and writes them as a COCO file.

    All ids count from 1: pycocotools takes an annotation with id 0 for none.

    Args:
        classes (sequence): Names of the categories, in order.

    Attributes:
        num_clipped (int): Boxes that reached over an image's edge.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        if not self.classes:
            raise ValueError('There is no class. Name some with --classes.')
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f'classes={self.classes}: a name is repeated. '
                             'Name each once.')
        self.images: List[dict] = []
        self.annotations: List[dict] = []
        self.num_clipped = 0

    def add_image(self, file_name: str, size: Tuple[int, int]) -> None:
        self.images.append(
            dict(
                id=len(self.images) + 1,
                file_name=file_name,
                width=size[0],
                height=size[1]))

    def add_box(self, label: int, edges: _Edges, **extra) -> None:
        """Add a box to the last image, clipped to it.

        Args:
            label (int): Index of the class.
            edges (tuple): (x1, y1, x2, y2) in pixels, ends excluded.
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
                f'image of {width}x{height}. Remove or mend it.')
        # Rounding of the source is no reason to call a box clipped.
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
        text = (f'{len(self.images)} images and {len(self.annotations)} boxes '
                f'of {len(self.classes)} classes')
        if self.num_clipped:
            text += (f' ({self.num_clipped} boxes clipped, which reached over '
                     'the edge)')
        return text

    def write(self, out: Path) -> None:
        """Write ``out`` as a whole or not at all."""
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


def image_size(path: Path) -> Tuple[int, int]:
    """Width and height as mmcv loads it, without decoding the pixels."""
    try:
        with Image.open(path) as image:
            return size_as_loaded(image)
    except OSError as error:
        raise ValueError(f'{path} is no image: {error}.') from error


def read_lines(path: Path) -> List[str]:
    """Of a text file, also of one that Windows marked as UTF-8."""
    return path.read_text(encoding='utf-8-sig').splitlines()
