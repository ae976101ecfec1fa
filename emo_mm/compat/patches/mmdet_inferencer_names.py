"""Have ``DetInferencer`` draw a model's classes, never those of COCO.

Affects: mmdet <=3.3.0
Symptom: names that the checkpoint lacks are those of COCO, although the
    config names its data set. Where the data set's palette has fewer colours
    than there are classes, it fails with ``AssertionError: The length of
    palette should not be less than `num_classes```.
Upstream: https://github.com/open-mmlab/mmdetection/issues/10302 of the
    palette; no report is known of the names.
Ended by: a release that falls back to the config's data set, and completes
    palettes.
"""
import wrapt
from torch import nn

from .dataset_meta import find_dataset_meta
from .registry import Library, Patch


def _load_weights_to_model(wrapped, instance, args, kwargs):

    def load(model, checkpoint, cfg):
        wrapped(model, checkpoint, cfg)
        meta = find_dataset_meta((checkpoint or {}).get('meta'), cfg,
                                 _num_classes(model))
        if instance.palette != 'none':
            del meta['palette']  # somebody asked for another
        # Of a model whose head is unknown, the visualizer draws numbers.
        meta['classes'] = meta['classes'] or None
        model.dataset_meta = dict(model.dataset_meta, **meta)

    return load(*args, **kwargs)


def _num_classes(model: nn.Module) -> int:
    """Return the number of classes of a detector, 0 if it is unknown."""
    owner = getattr(model, 'roi_head', model)
    head = getattr(owner, 'bbox_head', None)
    if isinstance(head, nn.ModuleList):  # a cascade
        head = head[-1]
    return getattr(head, 'num_classes', 0)


def is_faulty(inference: Library) -> bool:
    """Load no weights into a model of two classes."""
    from mmdet.apis.det_inferencer import DetInferencer
    model = nn.Identity()
    model.bbox_head = nn.Identity()
    model.bbox_head.num_classes = 2
    inferencer = object.__new__(DetInferencer)
    inferencer.palette = 'random'
    inferencer._load_weights_to_model(model, None, None)
    return len(model.dataset_meta['classes']) != 2


def apply(inference: Library) -> None:
    """Set names and colours when the weights are loaded."""
    wrapt.wrap_function_wrapper('mmdet.apis.det_inferencer',
                                'DetInferencer._load_weights_to_model',
                                _load_weights_to_model)


# ``module`` is imported after the inferencer's: this package may be imported
# from within that one, by its way to mmcv's operators.
PATCH = Patch(
    name='mmdet_inferencer_names',
    affects={'mmdet': '<=3.3.0'},
    module='mmdet.apis.inference',
    is_faulty=is_faulty,
    apply=apply)
