"""Give mmpretrain's retrieval metrics the ``np.in1d`` that they call.

Affects: mmpretrain <=1.2.0
Beside: numpy >=2.4
Symptom: ``RetrievalRecall`` and ``RetrievalAveragePrecision`` end in
    ``AttributeError: module 'numpy' has no attribute 'in1d'``.
Upstream: no report known for mmpretrain; numpy removed the function in
    https://github.com/numpy/numpy/pull/29978
Ended by: a release of mmpretrain that uses ``np.isin`` (onedl-mmpretrain
    1.3.6, its continuation, uses ``torch.isin``).
"""
import numpy as np
import wrapt

from .registry import Library, Patch


class _NumpyWithIn1d(wrapt.ObjectProxy):
    """numpy and ``in1d``, so that numpy itself stays as it is."""

    @staticmethod
    def in1d(ar1, ar2, **kwargs):
        return np.isin(np.ravel(ar1), ar2, **kwargs)


def is_faulty(retrieval: Library) -> bool:
    """Calculate the recall of one prediction."""
    try:
        retrieval.RetrievalRecall.calculate([[0]], [[0]], 1, True, True)
    except AttributeError as error:
        if 'in1d' not in str(error):
            raise
        return True
    return False


def apply(retrieval: Library) -> None:
    """Give the module, and it alone, that numpy."""
    retrieval.np = _NumpyWithIn1d(np)


PATCH = Patch(
    name='mmpretrain_retrieval_in1d',
    affects={'mmpretrain': '<=1.2.0'},
    module='mmpretrain.evaluation.metrics.retrieval',
    is_faulty=is_faulty,
    apply=apply)
