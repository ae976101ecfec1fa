"""Generate data sets of shapes on cluttered backgrounds.

Small stand-ins for COCO, ADE20K and ImageNet, in the layout of each.
"""
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from mmengine.utils import track_iter_progress

CLASSES = ('circle', 'square', 'triangle')
Box = tuple[int, int, int, int]
# COCO's ids go up to 90, without these.
_NO_COCO_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}


def generate_coco(root: Path,
                  num_images: dict[str, int],
                  size: int = 160,
                  seed: int = 0,
                  categories: Mapping[int, str] | None = None) -> None:
    """Write a detection data set in COCO's layout.

    ``root`` gains ``<split>/000000.jpg …`` and
    ``annotations/instances_<split>.json`` for each split. Every image is
    drawn from a random stream of its own, so no two splits share one.

    Args:
        root (Path): Folder to write to.
        num_images (dict[str, int]): Number of images of each split.
        size (int): Width and height of an image, in pixels. Defaults to 160.
        seed (int): Seed of all streams. Defaults to 0.
        categories (dict[int, str], optional): Name of each id. A class is
            then a shape of one colour. Defaults to None, :data:`CLASSES` in
            any colour.
    """
    num_classes = len(categories or CLASSES)
    categories = categories or dict(enumerate(CLASSES, 1))
    ids = list(categories)
    (root / 'annotations').mkdir(parents=True, exist_ok=True)
    for split, streams in _streams(num_images, seed):
        (root / split).mkdir(exist_ok=True)
        images: list[dict] = []
        annotations: list[dict] = []
        for i, rng in track_iter_progress(streams):
            image, labels, boxes = draw_image(rng, size, num_classes)
            name = f'{i:06d}.jpg'
            cv2.imwrite(str(root / split / name), image)
            images.append(dict(id=i, file_name=name, width=size, height=size))
            for label, (x1, y1, x2, y2) in zip(labels, boxes):
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=i,
                        category_id=ids[label],
                        bbox=[x1, y1, x2 - x1, y2 - y1],
                        area=(x2 - x1) * (y2 - y1),
                        iscrowd=0))
        content = dict(
            images=images,
            annotations=annotations,
            categories=[
                dict(id=i, name=name) for i, name in categories.items()
            ])
        path = root / 'annotations' / f'instances_{split}.json'
        path.write_text(json.dumps(content))


def coco_categories() -> dict[int, str]:
    """Return the 80 classes of COCO by their ids in its annotation files."""
    from mmdet.datasets import CocoDataset
    ids = [i for i in range(1, 91) if i not in _NO_COCO_IDS]
    return dict(zip(ids, CocoDataset.METAINFO['classes']))


def generate_ade(root: Path,
                 num_images: dict[str, int],
                 size: int = 160,
                 seed: int = 0) -> None:
    """Write a segmentation data set in the layout of ADEChallengeData2016.

    ``root`` gains ``images/<split>/*.jpg`` and ``annotations/<split>/*.png``,
    masks of 0 (unlabelled), 1 (background) and 2 to 4 (:data:`CLASSES`).
    Arguments are those of :func:`generate_coco`.
    """
    for split, streams in _streams(num_images, seed):
        images, masks = (
            root / kind / split for kind in ('images', 'annotations'))
        images.mkdir(parents=True, exist_ok=True)
        masks.mkdir(parents=True, exist_ok=True)
        for i, rng in track_iter_progress(streams):
            image, labels, boxes = draw_image(rng, size)
            mask = np.ones((size, size), np.uint8)
            mask[:2] = 0
            for label, box in zip(labels, boxes):
                draw_shape(mask, label, box, label + 2, cv2.LINE_8)
            cv2.imwrite(str(images / f'{i:06d}.jpg'), image)
            cv2.imwrite(str(masks / f'{i:06d}.png'), mask)


def generate_imagenet(root: Path,
                      num_images: dict[str, int],
                      size: int = 64,
                      seed: int = 0,
                      num_classes: int = 1000) -> None:
    """Write a classification data set in ImageNet's layout.

    ``root`` gains ``<split>/n00000000/*.jpg …``, one folder per class. A class
    is a shape of one colour. Arguments are those of :func:`generate_coco`, but
    ``num_images`` counts the images of each class.
    """
    for split_id, (split, count) in enumerate(num_images.items()):
        for label in track_iter_progress(list(range(num_classes))):
            folder = root / split / f'n{label:08d}'
            folder.mkdir(parents=True, exist_ok=True)
            color = _color_of(label)
            for i in range(count):
                rng = np.random.default_rng((seed, split_id, label, i))
                image = draw_background(rng, size)
                box = _random_box(rng, size)
                draw_shape(image, label % len(CLASSES), box, color)
                cv2.imwrite(str(folder / f'{i:06d}.jpg'), image)


def _streams(num_images: dict[str, int],
             seed: int) -> Iterator[tuple[str, list]]:
    """Yield each split with the index and random stream of its images."""
    for split_id, (split, count) in enumerate(num_images.items()):
        yield split, [(i, np.random.default_rng((seed, split_id, i)))
                      for i in range(count)]


def draw_image(
    rng: np.random.Generator,
    size: int,
    num_classes: int = len(CLASSES),
) -> tuple[np.ndarray, list[int], list[Box]]:
    """Draw an image with 1 to 4 shapes that do not overlap.

    Returns:
        tuple[ndarray, list[int], list[Box]]: The image (size, size, 3),
        uint8; the labels; the boxes as (x1, y1, x2, y2) in pixels, with x2
        and y2 outside the box.
    """
    image = draw_background(rng, size)
    labels: list[int] = []
    boxes: list[Box] = []
    for _ in range(rng.integers(1, 5)):
        for _ in range(20):  # look for a free place, then give up
            box = _random_box(rng, size)
            if not any(_overlap(box, other) for other in boxes):
                label = int(rng.integers(num_classes))
                color = (
                    _contrast(rng, image, box)
                    if num_classes == len(CLASSES) else _color_of(label))
                draw_shape(image, label % len(CLASSES), box, color)
                labels.append(label)
                boxes.append(box)
                break
    return image, labels, boxes


def draw_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw smooth colour noise with thin lines, (size, size, 3) uint8."""
    coarse = rng.integers(64, 192, (6, 6, 3)).astype(np.float32)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    np.add(
        image, rng.normal(0, 12, image.shape), out=image, casting='same_kind')
    image = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(4, 12)):
        start, end = rng.integers(0, size, (2, 2)).tolist()
        cv2.line(image, start, end, _color(rng), int(rng.integers(1, 3)),
                 cv2.LINE_AA)
    return image


def draw_shape(image: np.ndarray,
               label: int,
               box: Box,
               color,
               line_type: int = cv2.LINE_AA) -> None:
    """Fill the shape that touches all four sides of ``box``."""
    x1, y1, x2, y2 = box
    right, bottom = x2 - 1, y2 - 1
    name = CLASSES[label]
    if name == 'circle':
        center = ((x1 + right) // 2, (y1 + bottom) // 2)
        cv2.circle(image, center, (right - x1) // 2, color, -1, line_type)
    elif name == 'square':
        cv2.rectangle(image, (x1, y1), (right, bottom), color, -1)
    else:
        corners = np.array([[(x1 + right) // 2, y1], [right, bottom],
                            [x1, bottom]])
        cv2.fillPoly(image, [corners], color, line_type)


def _random_box(rng: np.random.Generator, size: int) -> Box:
    side = int(rng.integers(size // 6, size // 2))
    side -= 1 - side % 2  # odd, so that a circle has a centre
    x1, y1 = rng.integers(0, size - side, 2).tolist()
    return x1, y1, x1 + side, y1 + side


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _contrast(rng: np.random.Generator, image: np.ndarray,
              box: Box) -> list[int]:
    """Choose a colour that differs from what lies in ``box``."""
    x1, y1, x2, y2 = box
    behind = image[y1:y2, x1:x2].reshape(-1, 3).mean(0)
    colors = rng.integers(0, 256, (8, 3))
    distances = np.abs(colors - behind).sum(1)
    return colors[distances.argmax()].tolist()


def _color_of(label: int) -> list[int]:
    return _color(np.random.default_rng(label))


def _color(rng: np.random.Generator) -> list[int]:
    return rng.integers(0, 256, 3).tolist()
