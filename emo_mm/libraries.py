"""What differs between mmdet, mmseg and mmpretrain, in one table."""
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config
from torch import nn


@dataclass(frozen=True)
class Library:
    """A library that configs are written for.

    Attributes:
        scope (str): The ``default_scope`` of its configs.
        distribution (str): What pip installs, with the library's tools.
        task (str): What its models do.
        head (str): Field of the config's model, and attribute of the model,
            that predicts.
        exported_heads (tuple[str]): Types of that head that can be exported.
        data_sample (str): Class of what a model predicts, 'module:name'.
        read_results (Callable): Arrays of a predicted data sample, by the
            names that exported models give to their results.
    """
    scope: str
    distribution: str
    task: str
    head: str
    exported_heads: tuple[str, ...]
    data_sample: str
    read_results: Callable[[Any], dict[str, np.ndarray]]

    def make_data_sample(self, size: tuple[int, int]):
        """Return the data sample of an image that was not resized.

        Args:
            size (tuple[int, int]): Height and width of the image.
        """
        return import_object(self.data_sample)(
            metainfo=dict(
                ori_shape=size, img_shape=size, scale_factor=(1., 1.)))


def _read_detection(sample) -> dict[str, np.ndarray]:
    found = sample.pred_instances
    return dict(
        boxes=found.bboxes.numpy(),
        scores=found.scores.numpy(),
        labels=found.labels.numpy())


def _read_segmentation(sample) -> dict[str, np.ndarray]:
    return dict(mask=sample.pred_sem_seg.data[0].numpy())


def _read_classification(sample) -> dict[str, np.ndarray]:
    return dict(probabilities=sample.pred_score.numpy())


_TABLE = (
    Library(
        scope='mmdet',
        distribution='mmdet',
        task='detection',
        head='bbox_head',
        exported_heads=('SSDHead', 'RetinaHead'),
        data_sample='mmdet.structures:DetDataSample',
        read_results=_read_detection),
    Library(
        scope='mmseg',
        distribution='mmsegmentation',
        task='segmentation',
        head='decode_head',
        exported_heads=('ASPPHead', 'PSPHead', 'FCNHead'),
        data_sample='mmseg.structures:SegDataSample',
        read_results=_read_segmentation),
    Library(
        scope='mmpretrain',
        distribution='mmpretrain',
        task='classification',
        head='head',
        exported_heads=('LinearClsHead', ),
        data_sample='mmpretrain.structures:DataSample',
        read_results=_read_classification),
)
LIBRARIES = {library.scope: library for library in _TABLE}

# Fields of a model's heads, those that predict before those that only help
# to train.
_HEADS = ('head', 'bbox_head', 'mask_head', 'roi_head.bbox_head',
          'decode_head', 'auxiliary_head')


def library_of(cfg: Config) -> Library:
    """Return the library that a config is written for.

    Raises:
        ValueError: If its ``default_scope`` is none of the three.
    """
    scope = cfg.get('default_scope')
    if scope not in LIBRARIES:
        raise ValueError(f'{cfg.filename or "config"}: default_scope='
                         f'{scope!r} must be one of {", ".join(LIBRARIES)}.')
    return LIBRARIES[scope]


def heads(model: nn.Module | dict) -> Iterator[tuple[str, Any]]:
    """Yield the field and the head for each head of a model.

    Args:
        model (nn.Module or dict): Of any of the libraries, or its config.

    Yields:
        tuple[str, nn.Module or dict]: Field, such as 'decode_head', or
        'decode_head.1' where there are several, and the head or its config.
    """
    for field in _HEADS:
        found = model
        for part in field.split('.'):
            found = _part(found, part)
        several = isinstance(found, (list, tuple, nn.ModuleList))
        found = list(found) if several else [found]
        for i, head in enumerate(found):
            if head is not None:
                yield (f'{field}.{i}' if len(found) > 1 else field), head


# Heads that predict other things than the classes of the data: objects, or
# boundaries.
_OTHER_HEADS = {'GARPNHead', 'RPNHead', 'STDCHead'}


def num_classes(head: nn.Module | dict) -> int:
    """Return the number of classes of a head or of its config, 0 if none."""
    kind = head.get('type') if isinstance(head, dict) else type(head)
    if getattr(kind, '__name__', str(kind)).split('.')[-1] in _OTHER_HEADS:
        return 0
    count = _part(head, 'num_classes')
    return count if isinstance(count, int) and count > 0 else 0


def _part(parent, name: str):
    if isinstance(parent, dict):
        return parent.get(name)
    return getattr(parent, name, None)


def import_object(path: str):
    """Import what a string 'module:name' names."""
    module, name = path.split(':')
    return getattr(importlib.import_module(module), name)
