"""mmpretrain's retrieval metrics find ``np.in1d``.

Library: mmpretrain, up to and including 1.2.0, on numpy >= 2.4.
Symptom: ``RetrievalRecall`` and ``RetrievalAveragePrecision`` end in
``AttributeError: module 'numpy' has no attribute 'in1d'``.
Upstream: no report known for mmpretrain; numpy took the function away in
https://github.com/numpy/numpy/pull/29978
Ended by: a release of mmpretrain that uses ``np.isin``.
"""
import numpy as np
import wrapt


class _NumpyWithIn1d(wrapt.ObjectProxy):
    """numpy and ``in1d``, so that numpy itself stays as it is."""

    @staticmethod
    def in1d(ar1, ar2, **kwargs):
        return np.isin(np.ravel(ar1), ar2, **kwargs)


@wrapt.when_imported('mmpretrain.evaluation.metrics.retrieval')
def _mend(retrieval):
    if not hasattr(np, 'in1d'):
        retrieval.np = _NumpyWithIn1d(np)
