"""Have ``ImageClassificationInferencer`` name classes as its config does.

Affects: mmpretrain <=1.2.0
Symptom: with a checkpoint without names, names are those of the data set's
    class, such as ImageNet's, although the config gives that data set others
    by ``metainfo`` or ``classes``; so are those of a model with other classes
    than the data set's. Where a model has outputs to spare and predicts one,
    it fails with ``IndexError``.
Upstream: no report is known.
Ended by: a release whose ``get_model`` reads the config's ``metainfo``.
"""
import wrapt
from torch import nn

from .dataset_meta import find_dataset_meta
from .registry import Library, Patch


def _init(wrapped, instance, args, kwargs):
    wrapped(*args, **kwargs)
    given = args[3] if len(args) > 3 else kwargs.get('classes')
    count = getattr(getattr(instance.model, 'head', None), 'num_classes', 0)
    if given is not None or not count:
        return
    meta = getattr(instance.model, '_dataset_meta', None)
    if meta is _class_metainfo(instance.config):  # not the checkpoint's
        meta = None
    instance.classes = find_dataset_meta(
        meta, instance.config, count, spare=True)['classes']


def _class_metainfo(cfg) -> dict | None:
    """Return what ``get_model`` takes where the checkpoint has no names."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    kind = dataset.get('type')
    if isinstance(kind, str):
        from mmpretrain.registry import DATASETS
        kind = DATASETS.get(kind)
    return getattr(kind, 'METAINFO', None)


def is_faulty(image_classification: Library) -> bool:
    """Give a data set other names than those of its class."""
    from mmengine.dataset import BaseDataset
    from mmengine.model import BaseModel

    class Data(BaseDataset):
        METAINFO = dict(classes=('of the class', ) * 2)

    class Inferencer(image_classification.ImageClassificationInferencer):

        def _init_pipeline(self, cfg):
            return None

    class Model(BaseModel):

        def forward(self, inputs):
            return inputs

    model = Model()
    model.head = nn.Identity()
    model.head.num_classes = 2
    model._dataset_meta = Data.METAINFO
    names = ('of the config', ) * 2
    model._config = dict(
        test_dataloader=dict(
            dataset=dict(type=Data, metainfo=dict(classes=names))))
    return Inferencer(model).classes != names


def apply(image_classification: Library) -> None:
    """Set the names once the model is there."""
    wrapt.wrap_function_wrapper(image_classification,
                                'ImageClassificationInferencer.__init__',
                                _init)


PATCH = Patch(
    name='mmpretrain_inferencer_names',
    affects={'mmpretrain': '<=1.2.0'},
    module='mmpretrain.apis.image_classification',
    is_faulty=is_faulty,
    apply=apply)
