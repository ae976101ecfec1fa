"""``mmcv.adjust_hue`` takes a negative ``hue_factor``.

Library: mmcv (and mmcv-lite), up to and including 2.2.0, on numpy >= 2.
Symptom: mmpretrain's ``ColorJitter`` with a ``hue`` ends in ``OverflowError:
Python integer -16 out of bounds for uint8``, in every other image or so: the
function trusts ``np.uint8`` to wrap a negative number, and numpy 2 refuses.
Upstream: no report known for mmcv; its continuation mended it in
https://github.com/VBTI-development/onedl-mmcv/pull/41
Ended by: a release of mmcv that wraps the number itself.
"""
import sys

import wrapt


class _HueFactor(float):
    """A hue factor, of which a multiple is a ``uint8`` as numpy 1 made it."""

    def __mul__(self, steps):
        return int(float(self) * steps) % 256


def _adjust_hue(wrapped, instance, args, kwargs):

    def again(img, hue_factor, *args, **kwargs):
        return wrapped(img, _HueFactor(hue_factor), *args, **kwargs)

    try:
        return wrapped(*args, **kwargs)
    except OverflowError:
        return again(*args, **kwargs)


@wrapt.when_imported('mmcv.image.photometric')
def _mend(photometric):
    mended = wrapt.FunctionWrapper(photometric.adjust_hue, _adjust_hue)
    # The packages have the function too if they were imported before.
    for name in ('mmcv.image.photometric', 'mmcv.image', 'mmcv'):
        if hasattr(sys.modules[name], 'adjust_hue'):
            sys.modules[name].adjust_hue = mended
