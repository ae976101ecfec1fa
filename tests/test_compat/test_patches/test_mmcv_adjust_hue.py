import numpy as np
import pytest

import emo_mm.compat  # noqa: F401

ORDER = """
{first}
{second}
import numpy as np
import mmcv
from mmcv.image import photometric
for module in (mmcv, mmcv.image, photometric):
    module.adjust_hue(np.zeros((1, 1, 3), np.uint8), -0.1, backend='cv2')
"""


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


@pytest.mark.parametrize('first, second', [
    ('import emo_mm.compat', 'import mmcv'),
    ('import mmcv', 'import emo_mm.compat'),
])
def test_order_of_imports(run_python, first, second):
    run_python(ORDER.format(first=first, second=second))
