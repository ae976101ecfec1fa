from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmpretrain.evaluation.metrics import retrieval

from emo_mm.compat.patches.mmpretrain_retrieval_in1d import PATCH, is_faulty

SAMPLES = [
    dict(pred_score=torch.tensor([.1, .9, .5]), gt_label=torch.tensor([2])),
    dict(pred_score=torch.tensor([.1, .9, .5]), gt_label=torch.tensor([1])),
]


def evaluate(metric):
    metric.process({}, SAMPLES)
    return metric.evaluate(len(SAMPLES))


def test_recall():
    from mmpretrain.evaluation import RetrievalRecall
    assert evaluate(RetrievalRecall(topk=(1, 2))) == {
        'retrieval/Recall@1': 50.,
        'retrieval/Recall@2': 100.
    }


@pytest.mark.parametrize('mode, expected', [('IR', 75.), ('integrate', 62.5)])
def test_average_precision(mode, expected):
    from mmpretrain.evaluation import RetrievalAveragePrecision
    metric = RetrievalAveragePrecision(topk=3, mode=mode)
    assert evaluate(metric)['retrieval/mAP@3'] == pytest.approx(expected)


def test_numpy_itself_is_unchanged():
    if hasattr(np, 'in1d'):
        assert retrieval.np is np
    else:
        assert retrieval.np.mean is np.mean


def test_library_has_the_fault(monkeypatch, run_patch):
    monkeypatch.setattr(retrieval, 'np', np)
    assert is_faulty(retrieval) == (not hasattr(np, 'in1d'))
    run_patch(PATCH, retrieval)
    assert retrieval.np.in1d([1, 2], [2]).tolist() == [0, 1]


def make_library(calculate):
    return SimpleNamespace(
        RetrievalRecall=SimpleNamespace(calculate=calculate), np=np)


def test_leaves_a_fixed_library(run_patch):
    fixed = make_library(lambda *args: [100.])
    run_patch(PATCH, fixed)
    assert fixed.np is np


def test_warns_where_it_does_not_help(assert_warns):

    def calculate(*args):
        raise AttributeError("no attribute 'in1d'")

    assert_warns(PATCH, make_library(calculate))
