"""Let mmdet's recall accept images with different numbers of boxes.

Affects: mmdet <=3.3.0, onedl-mmdetection <=3.5.1
Beside: numpy >=1.24
Symptom: ``CocoMetric`` with ``proposal_fast`` and ``VOCMetric`` with
    ``recall`` end in ``ValueError: setting an array element with a sequence.
    The requested array has an inhomogeneous shape``: ``eval_recalls`` makes
    one array of the overlaps of all images, each of which has its own shape.
Upstream: https://github.com/open-mmlab/mmdetection/pull/5566, closed without
    a merge.
Ended by: a release whose ``eval_recalls`` keeps them as a list, or as an array
    of objects.
"""
import numpy as np
import wrapt

from .registry import Library, Patch


class _RaggedNumpy(wrapt.ObjectProxy):
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


def is_faulty(recall: Library) -> bool:
    """Evaluate an image with one box and one with two."""
    boxes = np.array([[0., 0., 9., 9.], [20., 20., 29., 29.]])
    images = [boxes[:1], boxes]
    try:
        recall.eval_recalls(images, images, [2], [0.5], logger='silent')
    except ValueError:
        return True
    return False


def apply(recall: Library) -> None:
    """Give the module, and it alone, that numpy."""
    recall.np = _RaggedNumpy(np)


PATCH = Patch(
    name='mmdet_recall_ragged',
    affects={
        'mmdet': '<=3.3.0',
        'onedl-mmdetection': '<=3.5.1'
    },
    module='mmdet.evaluation.functional.recall',
    is_faulty=is_faulty,
    apply=apply)
