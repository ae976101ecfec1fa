import numpy as np
import pytest
import torch

import emo_mm.compat  # noqa: F401

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
    from mmpretrain.evaluation.metrics import retrieval
    if hasattr(np, 'in1d'):
        assert retrieval.np is np
    else:
        assert retrieval.np.mean is np.mean


def test_mmpretrain_imported_first(run_python):
    run_python('import mmpretrain.evaluation, emo_mm.compat\n'
               'from mmpretrain.evaluation.metrics import retrieval\n'
               'assert retrieval.np.in1d([1, 2], [2]).tolist() == [0, 1]\n')
