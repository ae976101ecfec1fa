"""mmdet's recall takes images with different numbers of boxes.

Library: mmdet, up to and including 3.3.0, on numpy >= 1.24.
Symptom: ``CocoMetric`` with ``proposal_fast`` and ``VOCMetric`` with
``recall`` end in ``ValueError: setting an array element with a sequence. The
requested array has an inhomogeneous shape``: ``eval_recalls`` makes one array
of the overlaps of all images, which have a shape each.
Upstream: https://github.com/open-mmlab/mmdetection/pull/5566, closed without
a merge.
Ended by: a release whose ``eval_recalls`` keeps them as a list, or as an array
of objects.
"""
import numpy as np
import wrapt


class _NumpyWithRagged(wrapt.ObjectProxy):
    """numpy, whose ``array`` makes one of objects if it can make no other."""

    @staticmethod
    def array(values, *args, **kwargs):
        try:
            return np.array(values, *args, **kwargs)
        except ValueError:
            array = np.empty(len(values), dtype=object)
            for i, value in enumerate(values):
                array[i] = value
            return array


@wrapt.when_imported('mmdet.evaluation.functional.recall')
def _mend(recall):
    recall.np = _NumpyWithRagged(np)
