"""Have ``MMSegInferencer`` draw a model's classes, never those of Cityscapes.

Affects: mmsegmentation <=1.2.2
Symptom: names and colours that the checkpoint lacks are those of Cityscapes,
    although the config names its data set. Where only the colours are missing
    it fails with ``AssertionError: The length of classes should be equal to
    palette``. Until the first image is drawn its visualizer has those of
    Cityscapes in any case, and ``classes`` and ``palette`` that it was given
    are forgotten at the first image.
Upstream: https://github.com/open-mmlab/mmsegmentation/issues/3334
Ended by: a release that falls back to the config's data set.
"""
import wrapt
from torch import nn

from .dataset_meta import find_dataset_meta
from .registry import Library, Patch


def _load_weights_to_model(wrapped, instance, args, kwargs):

    def load(model, checkpoint, cfg):
        wrapped(model, checkpoint, cfg)
        count = getattr(model, 'num_classes', 0)  # EncoderDecoder has it
        model.dataset_meta = find_dataset_meta((checkpoint or {}).get('meta'),
                                               cfg, count)

    return load(*args, **kwargs)


def _init(wrapped, instance, args, kwargs):
    wrapped(*args, **kwargs)
    # They are the third to the fifth argument.
    names = ('classes', 'palette', 'dataset_name')
    if any((*args[2:5], *map(kwargs.get, names))):
        instance.model.dataset_meta = dict(instance.visualizer.dataset_meta)
    else:
        instance.visualizer.set_dataset_meta(**instance.model.dataset_meta)


def is_faulty(mmseg_inferencer: Library) -> bool:
    """Load no weights into a model of two classes."""
    model = nn.Identity()
    model.num_classes = 2
    inferencer = object.__new__(mmseg_inferencer.MMSegInferencer)
    inferencer._load_weights_to_model(model, None, None)
    return len(model.dataset_meta['classes']) != 2


def apply(mmseg_inferencer: Library) -> None:
    """Set names and colours when the weights are loaded, and keep them."""
    wrapt.wrap_function_wrapper(mmseg_inferencer,
                                'MMSegInferencer._load_weights_to_model',
                                _load_weights_to_model)
    wrapt.wrap_function_wrapper(mmseg_inferencer, 'MMSegInferencer.__init__',
                                _init)


PATCH = Patch(
    name='mmseg_inferencer_names',
    affects={'mmsegmentation': '<=1.2.2'},
    module='mmseg.apis.mmseg_inferencer',
    is_faulty=is_faulty,
    apply=apply)
