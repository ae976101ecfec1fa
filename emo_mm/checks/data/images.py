"""Read images as training does, but without its leniency."""
import hashlib
import io
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import PIL.ImageFile
from mmengine.fileio import get
from mmengine.utils import track_parallel_progress, track_progress
from PIL import Image, UnidentifiedImageError

MISSING = 'there is no such file'
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class ImageFile:
    """An image or a mask to read.

    Attributes:
        path (str): Path, or what the file backend takes for one.
        is_mask (bool): Whether pixels are labels. Defaults to False.
        backend_args (tuple, optional): Items of the arguments of mmengine's
            file backend. Defaults to None.
    """
    path: str
    is_mask: bool = False
    backend_args: tuple | None = None


@dataclass(frozen=True)
class ImageContent:
    """What an image file holds.

    Attributes:
        problem (str): Why it cannot be used; '' if it can.
        size (tuple[int, int]): Width and height as training sees them.
        rotated (bool): Whether EXIF swaps width and height on loading.
        digest (bytes): Hash of the pixels, so that other metadata or another
            lossless format do not hide a duplicate. Images only.
        values (tuple[int]): The different values. Masks only.
    """
    problem: str = ''
    size: tuple[int, int] = (0, 0)
    rotated: bool = False
    digest: bytes = b''
    values: tuple[int, ...] = ()


# What read_images returns, and the checks look up.
Images = dict[ImageFile, ImageContent]


def read_images(files: Iterable[ImageFile], workers: int = 0) -> Images:
    """Read each file once, with a progress bar on stderr.

    Args:
        files (Iterable[ImageFile]): The files; repeated ones are read once.
        workers (int): Number of processes; 0 reads in this one. Defaults
            to 0.
    """
    files = list(dict.fromkeys(files))
    if not files:
        return {}
    if workers > 0:
        contents = track_parallel_progress(
            read_image, files, workers, chunksize=8, file=sys.stderr)
    else:
        contents = track_progress(read_image, files, file=sys.stderr)
    return dict(zip(files, contents))


def read_image(file: ImageFile) -> ImageContent:
    """Decode a whole file. What fails is told in ``problem``."""
    backend_args = dict(file.backend_args) if file.backend_args else None
    try:
        content = get(file.path, backend_args=backend_args)
        if not content:
            return ImageContent('the file is empty')
        image = decode(content)
        return _describe_mask(image) if file.is_mask else _describe(image)
    except FileNotFoundError:
        return ImageContent(MISSING)
    except Exception as error:  # Decoders raise nearly anything.
        text = ' '.join(f'{error}'.split())
        return ImageContent(text or type(error).__name__)


def decode(content: bytes) -> Image.Image:
    """Decode all pixels of an encoded image.

    OpenCV fills what is cut off with grey where Pillow raises. OpenCV reads
    what Pillow does not know, or takes for an attack because of its size.

    Raises:
        OSError: If the image cannot be decoded as a whole.
    """
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of large images and odd EXIF
        try:
            image = Image.open(io.BytesIO(content))
            image.load()
            return image
        except (UnidentifiedImageError, Image.DecompressionBombError):
            pixels = cv2.imdecode(
                np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            if pixels is None:
                raise OSError(
                    'no image that Pillow or OpenCV could read') from None
            return Image.fromarray(pixels)


def size_as_loaded(image: Image.Image) -> tuple[int, int]:
    """Return width and height after the rotation that EXIF asks for."""
    return image.size[::-1] if is_rotated(image) else image.size


def is_rotated(image: Image.Image) -> bool:
    """Tell whether EXIF swaps the sides, as mmcv does when it loads."""
    return image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)


def _describe(image: Image.Image) -> ImageContent:
    rotated, size = is_rotated(image), size_as_loaded(image)
    if image.mode == 'P':  # the same indices may be other colours
        image = image.convert('RGBA')
    digest = hashlib.sha1(f'{image.mode}{image.size}'.encode())
    digest.update(image.tobytes())
    return ImageContent(size=size, rotated=rotated, digest=digest.digest())


def _describe_mask(image: Image.Image) -> ImageContent:
    # As mmcv loads masks: palette indices, no EXIF.
    labels = np.asarray(image)
    if labels.ndim != 2:
        return ImageContent(f'it has {labels.shape[-1]} channels instead of '
                            'one with a label in each pixel')
    values = np.unique(labels).tolist()
    return ImageContent(size=image.size, values=tuple(map(int, values)))
