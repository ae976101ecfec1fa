import numpy as np
import pytest

import emo_mm.compat  # noqa: F401

BOXES = np.array([[0, 0, 9, 9], [20, 20, 29, 29], [40, 40, 49, 49]], float)


@pytest.mark.parametrize('found', [(3, 2), (2, 3), (3, 3)])
@pytest.mark.parametrize('present', [(1, 2), (2, 2), (1, 3), (0, 3)])
def test_recall_over_two_images(present, found):
    from mmdet.evaluation import eval_recalls
    recalls = eval_recalls(
        gts=[BOXES[:count] for count in present],
        proposals=[BOXES[:count] for count in found],
        proposal_nums=[3],
        iou_thrs=[0.5],
        logger='silent')
    hits = sum(map(min, present, found))
    assert recalls[0, 0] == pytest.approx(hits / sum(present))


def test_numpy_itself_is_unchanged():
    import mmdet.evaluation  # noqa: F401
    with pytest.raises(ValueError):
        np.array([BOXES[:1], BOXES[:2]])
