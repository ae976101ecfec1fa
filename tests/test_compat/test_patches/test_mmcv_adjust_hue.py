from types import SimpleNamespace

import numpy as np
import pytest
from mmcv.image import photometric

from emo_mm.compat.patches.mmcv_adjust_hue import PATCH, is_faulty


@pytest.fixture
def image():
    return np.random.RandomState(0).randint(0, 255, (8, 8, 3), np.uint8)


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_a_full_turn_in_two_directions(image, backend):
    """Hue is a circle: half of it back is half of it forth, nearly."""
    import mmcv
    back = mmcv.adjust_hue(image, -0.5, backend=backend).astype(int)
    forth = mmcv.adjust_hue(image, 0.5, backend=backend).astype(int)
    assert abs(back - forth).max() <= 12
    assert abs(back - image).max() > 100


@pytest.mark.parametrize('hue_factor', [-0.3, -0.001, 0., 0.001, 0.3])
def test_shifts_the_hue_channel_as_numpy_1_did(image, hue_factor):
    import cv2
    import mmcv
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL)
    shift = np.array(int(hue_factor * 255)).astype(np.uint8)
    hsv[..., 0] += shift
    expected = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)
    result = mmcv.adjust_hue(image, hue_factor, backend='cv2')
    assert np.array_equal(result, expected)


def test_still_refuses_what_is_out_of_range(image):
    import mmcv
    with pytest.raises(ValueError, match=r'hue_factor:0.6 is not in'):
        mmcv.adjust_hue(image, 0.6)


def test_color_jitter(image):
    from mmpretrain.datasets import ColorJitter
    jitter = ColorJitter(hue=(-0.2, -0.1))
    assert jitter(dict(img=image))['img'].shape == image.shape


def test_library_has_the_fault(undo, run_patch):
    undo(photometric, 'adjust_hue')
    if np.lib.NumpyVersion(np.__version__) >= '2.0.0':
        assert is_faulty(photometric)
    run_patch(PATCH, photometric)


def test_leaves_a_fixed_library(run_patch):

    def adjust_hue(img, hue_factor, backend=None):
        return img

    fixed = SimpleNamespace(adjust_hue=adjust_hue)
    run_patch(PATCH, fixed)
    assert fixed.adjust_hue is adjust_hue


def test_warns_where_it_does_not_help(assert_warns):

    def adjust_hue(img, hue_factor, backend=None):
        raise OverflowError

    assert_warns(PATCH, SimpleNamespace(adjust_hue=adjust_hue))
