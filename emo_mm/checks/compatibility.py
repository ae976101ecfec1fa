"""Do the model, its checkpoint and its data belong together?

What does not fit shows before the first iteration, not as an index error, a
wrong label or a bad figure hours later.
"""
from collections.abc import Iterator, Sequence

from mmengine.dataset import BaseDataset
from torch import nn

from emo_mm.libraries import heads, num_classes
from emo_mm.models.weights import (
    check_complete,
    count_tensors,
    extract_state_dict,
    load_weights,
    shorten,
)

from .data.findings import Finding
from .data.images import read_image
from .data.labels import check_image_labels
from .data.masks import check_masks
from .data.samples import spread_samples
from .data.sources import Source, classes_of, count_classes

__all__ = [
    'check_annotations', 'check_complete', 'check_num_classes',
    'check_same_labels', 'classes_of', 'describe_start'
]

# Masks that are read before a training on segmentation data.
_NUM_MASKS = 16
# Image labels that are looked at before a training of a classifier.
_NUM_LABELS = 10000


def describe_start(model: nn.Module, checkpoint: dict, name: str) -> str:
    """Fill a model before a training, and describe what it took.

    Args:
        model (nn.Module): The model.
        checkpoint (dict): As ``torch.load`` gives it.
        name (str): Where it was read from.

    Returns:
        str: A text for the log, with every tensor that was not loaded.

    Raises:
        ValueError: If nothing fits.
    """
    unfilled = load_weights(model, extract_state_dict(checkpoint, prefix=''))
    count = count_tensors(model)
    if len(unfilled) == count:
        raise ValueError(
            f'load_from={name!r} has none of the {count} tensors of the '
            f'model.\n{shorten(unfilled)}\nA backbone alone is given as '
            f'model.backbone.init_cfg.checkpoint={name}.')
    text = (f'load_from={name!r} fills {count - len(unfilled)} of {count} '
            'tensors.')
    if unfilled:
        text += ' Not loaded, they start anew:\n  ' + '\n  '.join(unfilled)
    return text


def check_num_classes(model: nn.Module, dataset, field: str) -> str:
    """Compare the classes of a model's heads with those of a data set.

    Args:
        model (nn.Module): Of mmdet, mmseg or mmpretrain.
        dataset: What its data loader reads.
        field (str): Where the config has the data set.

    Returns:
        str: A warning, or ''. A classifier may have outputs to spare.

    Raises:
        ValueError: If a head has too few classes or, in detection and
            segmentation, another number.
    """
    wanted = len(classes_of(dataset))
    warning = ''
    for name, head in heads(model):
        found = num_classes(head)
        if not wanted or not found or found == wanted:
            continue
        text = (f'model.{name}.num_classes={found}, but {field} has '
                f'{wanted} classes. Set the field: --cfg-options '
                f'model.{name}.num_classes={wanted}')
        if name != 'head' or found < wanted:
            raise ValueError(text)
        warning = text
    return warning


def check_same_labels(classes: Sequence[str], reference: Sequence[str],
                      field: str, source: str) -> None:
    """Compare the labels of classes with those that a model learns.

    Args:
        classes (Sequence[str]): Names of a data set's classes, in order.
        reference (Sequence[str]): Those that the model is trained on.
        field (str): Where the config has the data set.
        source (str): Where ``reference`` is from.

    Raises:
        ValueError: If a class is unknown there or has another label. Where
            all are unknown they are taken for other names of the same.
    """
    reference = list(reference)
    if not set(reference) & set(classes):
        return
    for label, name in enumerate(classes):
        # By label, as a name may stand for two: ImageNet has two 'crane's.
        if reference[label:label + 1] != [name]:
            missing = [name for name in reference if name not in classes]
            other = reference.index(name) if name in reference else 'no class'
            raise ValueError(
                f'{field} gives {name!r} the label {label}, which is '
                f'{other} in {source}: they have '
                f'{len(classes)} and {len(reference)} classes, of which '
                f'{missing[:8]} are missing in the first. Give both the same '
                'classes in the same order. Where folders are the classes, '
                'both need the same ones: add empty folders, or list the '
                'images in an ann_file.')


def check_annotations(model: nn.Module, dataset, field: str) -> None:
    """Look for image labels and mask values that are no class of the model.

    Samples are spread over the data set. Boxes are not looked at: they are
    labelled by the names of classes.

    Args:
        model (nn.Module): Of mmseg or mmpretrain.
        dataset: What its data loader reads.
        field (str): Where the config has the data set.

    Raises:
        ValueError: If labels go beyond the classes, or a mask is missing.
    """
    data = _innermost(dataset)
    if not isinstance(data, BaseDataset):
        return
    count = count_classes(model)
    source = Source(field, dataset=data, num_classes=count)
    if hasattr(data, 'get_gt_labels'):
        source.samples = spread_samples(data, _NUM_LABELS)
        _raise_first(
            field, check_image_labels(source),
            f'With model.head.num_classes={count}, labels go from 0 to '
            f'{count - 1}. Correct ann_file or the field.')
    elif hasattr(data, 'reduce_zero_label'):
        source.samples = spread_samples(data, _NUM_MASKS)
        masks = filter(None, map(source.mask_file, source.samples))
        _raise_first(
            field,
            check_masks(source, {mask: read_image(mask)
                                 for mask in masks}),
            f'The data set has seg_map_suffix={data.seg_map_suffix!r}, '
            f'reduce_zero_label={data.reduce_zero_label} and ignore_index='
            f'{data.ignore_index}, the heads have num_classes={count}. '
            'Correct the masks or these fields, or data_prefix.seg_map_path. '
            'tools/misc/check_dataset.py lists all such files.')


def _raise_first(field: str, findings: Iterator[Finding], remedy: str) -> None:
    for finding in findings:
        if finding.level == 'error':
            raise ValueError(f'{field}: {finding.kind}: {finding}.\n{remedy}')


def _innermost(dataset):
    """Return the first data set below wrappers such as RepeatDataset."""
    while True:
        inner = getattr(dataset, 'dataset', None)
        if inner is None:
            inner = next(iter(getattr(dataset, 'datasets', ())), None)
        if inner is None:
            return dataset
        dataset = inner
