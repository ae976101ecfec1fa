"""Give ``SSDHead`` the ``loss_cls`` that its prediction reads.

Affects: mmdet >=3.2.0,<=3.3.0, onedl-mmdetection <=3.5.1
Symptom: each SSD prediction ends in ``AttributeError: 'SSDHead' object has no
    attribute 'loss_cls'``: ``BaseDenseHead._predict_by_feat_single`` reads it,
    but ``SSDHead.__init__`` skips the ``AnchorHead.__init__`` that sets it.
Upstream: https://github.com/open-mmlab/mmdetection/issues/11780
Ended by: a release that sets ``loss_cls``. The pull request
    https://github.com/open-mmlab/mmdetection/pull/11524 is open.
"""
from types import SimpleNamespace

import torch
import wrapt

from .registry import Library, Patch, replaced


def _init(wrapped, instance, args, kwargs):
    wrapped(*args, **kwargs)
    # Set on the instance: on the class it would hide a `loss_cls` that is a
    # submodule. ``None`` has no `custom_cls_channels`, all that is read of it.
    if not hasattr(instance, 'loss_cls'):
        instance.loss_cls = None


def is_faulty(ssd_head: Library) -> bool:
    """Predict one box with a head that has no layers."""
    from mmdet.models.task_modules import (
        DeltaXYWHBBoxCoder,
        SSDAnchorGenerator,
    )
    from mmengine.config import ConfigDict
    anchors = SSDAnchorGenerator(
        scale_major=False,
        input_size=2,
        strides=[1],
        ratios=([2], ),
        min_sizes=[1],
        max_sizes=[2])
    # Parts are handed over, as the registry is not complete yet.
    with replaced(ssd_head, TASK_UTILS=SimpleNamespace(build=lambda x: x)):
        head = ssd_head.SSDHead(
            1, (), anchor_generator=anchors, bbox_coder=DeltaXYWHBBoxCoder())
    try:
        head._predict_by_feat_single(
            cls_score_list=[torch.zeros(2, 1, 1)],
            bbox_pred_list=[torch.zeros(4, 1, 1)],
            score_factor_list=[None],
            mlvl_priors=[torch.zeros(1, 4)],
            img_meta=dict(img_shape=(2, 2)),
            cfg=ConfigDict(nms_pre=1, score_thr=0.),
            with_nms=False)
    except AttributeError as error:
        if 'loss_cls' not in str(error):
            raise
        return True
    return False


def apply(ssd_head: Library) -> None:
    """Set ``loss_cls`` where the constructor did not."""
    wrapt.wrap_function_wrapper(ssd_head, 'SSDHead.__init__', _init)


PATCH = Patch(
    name='mmdet_ssd_loss_cls',
    affects={
        'mmdet': '>=3.2.0,<=3.3.0',
        'onedl-mmdetection': '<=3.5.1'
    },
    module='mmdet.models.dense_heads.ssd_head',
    is_faulty=is_faulty,
    apply=apply)
