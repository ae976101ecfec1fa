"""Read pictures as training does, but without its leniency."""
import hashlib
import io
import sys
import warnings
from dataclasses import dataclass
from typing import Dict, Iterable, Optional, Tuple

import cv2
import numpy as np
from mmengine.fileio import get
from mmengine.utils import track_parallel_progress, track_progress
from PIL import Image, ImageFile, UnidentifiedImageError

MISSING = 'there is no such file'
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Task:
    """A file to read; ``backend_args`` as mmengine's file backends take."""
    path: str
    is_mask: bool = False
    backend_args: Optional[tuple] = None


@dataclass(frozen=True)
class Picture:
    """What a file holds.

    Args:
        problem (str): Why it cannot be used; '' if it can.
        size (tuple): (width, height) as training sees it.
        turned (bool): Whether EXIF swaps width and height on loading.
        digest (bytes): Of the pixels, so that other metadata or another
            lossless format do not hide a duplicate. Images only.
        values (tuple): The different values. Masks only.
    """
    problem: str = ''
    size: Tuple[int, int] = (0, 0)
    turned: bool = False
    digest: bytes = b''
    values: Tuple[int, ...] = ()


def read_pictures(tasks: Iterable[Task],
                  workers: int = 0) -> Dict[Task, Picture]:
    """Read each file once, with a progress bar on stderr.

    Args:
        tasks (iterable): The files. Repeated ones are read once.
        workers (int): Number of processes; 0 reads in this one. Defaults
            to 0.
    """
    tasks = list(dict.fromkeys(tasks))
    if not tasks:
        return {}
    if workers > 0:
        pictures = track_parallel_progress(
            read_picture, tasks, workers, chunksize=8, file=sys.stderr)
    else:
        pictures = track_progress(read_picture, tasks, file=sys.stderr)
    return dict(zip(tasks, pictures))


def read_picture(task: Task) -> Picture:
    """Decode a whole file; what fails is told in ``problem``."""
    backend_args = dict(task.backend_args) if task.backend_args else None
    try:
        content = get(task.path, backend_args=backend_args)
        if not content:
            return Picture('the file is empty')
        image = decode(content)
        return _read_mask(image) if task.is_mask else _read_image(image)
    except FileNotFoundError:
        return Picture(MISSING)
    except Exception as error:  # Decoders raise nearly anything.
        return Picture(f'{error}' or type(error).__name__)


def decode(content: bytes) -> Image.Image:
    """All pixels of an encoded image.

    OpenCV fills what is cut off with grey; Pillow tells of it. OpenCV is
    left what Pillow does not know or takes for an attack by its size.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of large pictures and odd EXIF
        try:
            image = Image.open(io.BytesIO(content))
            image.load()
            return image
        except (UnidentifiedImageError, Image.DecompressionBombError):
            pixels = cv2.imdecode(
                np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            if pixels is None:
                raise OSError('no image that Pillow or OpenCV could read')
            return Image.fromarray(pixels)


def is_turned(image: Image.Image) -> bool:
    """Whether EXIF swaps the sides. mmcv follows it when it loads."""
    return image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)


def size_as_loaded(image: Image.Image) -> Tuple[int, int]:
    """Width and height after the EXIF orientation."""
    return image.size[::-1] if is_turned(image) else image.size


def _read_image(image: Image.Image) -> Picture:
    turned, size = is_turned(image), size_as_loaded(image)
    if image.mode == 'P':  # the same indices may be other colours
        image = image.convert('RGBA')
    digest = hashlib.sha1(f'{image.mode}{image.size}'.encode())
    digest.update(image.tobytes())
    return Picture(size=size, turned=turned, digest=digest.digest())


def _read_mask(image: Image.Image) -> Picture:
    # As mmcv loads masks: palette indices, no EXIF.
    labels = np.asarray(image)
    if labels.ndim != 2:
        return Picture(f'it has {labels.shape[-1]} channels instead of one '
                       'with a label in each pixel')
    values = np.unique(labels).tolist()
    return Picture(size=image.size, values=tuple(int(v) for v in values))
