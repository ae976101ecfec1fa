"""``SSDHead`` has a ``loss_cls``.

Library: mmdet 3.2.0 to 3.3.0.
Symptom: each SSD prediction ends in ``AttributeError: 'SSDHead' object has no
attribute 'loss_cls'``: ``BaseDenseHead._predict_by_feat_single`` reads it, but
``SSDHead.__init__`` skips the ``AnchorHead.__init__`` that would set it.
Upstream: https://github.com/open-mmlab/mmdetection/issues/11780
Ended by: a release that sets ``loss_cls``. None has been made; the pull
request https://github.com/open-mmlab/mmdetection/pull/11524 is open.
"""
import wrapt


def _init(wrapped, instance, args, kwargs):
    wrapped(*args, **kwargs)
    # Set on the instance: on the class it would hide a `loss_cls` that is a
    # submodule. ``None`` has no `custom_cls_channels`, all that is read of it.
    if not hasattr(instance, 'loss_cls'):
        instance.loss_cls = None


@wrapt.when_imported('mmdet.models.dense_heads.ssd_head')
def _mend(ssd_head):
    wrapt.wrap_function_wrapper(ssd_head, 'SSDHead.__init__', _init)
