"""Let ``mmcv.adjust_hue`` accept a negative ``hue_factor``.

Affects: mmcv <=2.2.0, mmcv-lite <=2.2.0
Beside: numpy >=2
Symptom: mmpretrain's ``ColorJitter`` with a ``hue`` ends in ``OverflowError:
    Python integer -16 out of bounds for uint8`` for about every other image:
    the function trusts ``np.uint8`` to wrap a negative number, and numpy 2
    refuses.
Upstream: no report known for mmcv; onedl-mmcv, its continuation, fixed it in
    https://github.com/VBTI-development/onedl-mmcv/pull/41
Ended by: a release of mmcv that wraps the number itself.
"""
import sys

import numpy as np
import wrapt

from .registry import Library, Patch


class _HueFactor(float):
    """A hue factor whose multiples are ``uint8`` values, as in numpy 1."""

    def __mul__(self, steps):
        return int(float(self) * steps) % 256


def _adjust_hue(wrapped, instance, args, kwargs):

    def retry(img, hue_factor, *args, **kwargs):
        return wrapped(img, _HueFactor(hue_factor), *args, **kwargs)

    try:
        return wrapped(*args, **kwargs)
    except OverflowError:
        return retry(*args, **kwargs)


def is_faulty(photometric: Library) -> bool:
    """Shift the hue of one pixel backwards."""
    pixel = np.zeros((1, 1, 3), np.uint8)
    try:
        photometric.adjust_hue(pixel, -0.1, backend='cv2')
    except OverflowError:
        return True
    return False


def apply(photometric: Library) -> None:
    """Wrap the function here and where packages have imported it."""
    original = photometric.adjust_hue
    patched = wrapt.FunctionWrapper(original, _adjust_hue)
    photometric.adjust_hue = patched
    for name in ('mmcv.image', 'mmcv'):
        package: Library = sys.modules.get(name)
        if getattr(package, 'adjust_hue', None) is original:
            package.adjust_hue = patched


PATCH = Patch(
    name='mmcv_adjust_hue',
    affects={
        'mmcv': '<=2.2.0',
        'mmcv-lite': '<=2.2.0'
    },
    module='mmcv.image.photometric',
    is_faulty=is_faulty,
    apply=apply)
