from types import SimpleNamespace

import numpy as np
import pytest
from mmdet.evaluation.functional import recall

from emo_mm.compat.patches.mmdet_recall_ragged import PATCH, is_faulty

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
    with pytest.raises(ValueError):
        np.array([BOXES[:1], BOXES[:2]])


def test_library_has_the_fault(monkeypatch, run_patch):
    monkeypatch.setattr(recall, 'np', np)
    assert is_faulty(recall)
    run_patch(PATCH, recall)


def test_leaves_a_fixed_library(run_patch):
    fixed = SimpleNamespace(eval_recalls=lambda *args, logger: None, np=np)
    run_patch(PATCH, fixed)
    assert fixed.np is np


def test_warns_where_it_does_not_help(assert_warns):

    def eval_recalls(*args, logger):
        raise ValueError

    assert_warns(PATCH, SimpleNamespace(eval_recalls=eval_recalls))
