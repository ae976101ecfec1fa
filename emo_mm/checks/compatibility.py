"""Do the model, its checkpoint and its data belong together?

What does not fit shows before the first iteration, not as an index error, a
wrong label or a bad figure hours later.
"""
from typing import Dict, Iterator, List, Sequence, Tuple

from mmengine.dataset import BaseDataset
from torch import Tensor, nn

from emo_mm.models.weights import (check_complete, count_tensors,  # noqa: F401
                                   extract_state_dict, load_weights, shorten)

# Masks that are read before a training on segmentation data.
_NUM_MASKS = 16
# Image labels that are looked at before a training of a classifier.
_NUM_LABELS = 10000


# --- Checkpoints ------------------------------------------------------------
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


# --- Data -------------------------------------------------------------------
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
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    warning = ''
    for name, num_classes in _heads(model):
        if not classes or num_classes == len(classes):
            continue
        text = (f'model.{name}.num_classes={num_classes}, but {field} has '
                f'{len(classes)} classes. Set the field: --cfg-options '
                f'model.{name}.num_classes={len(classes)}')
        if name != 'head' or num_classes < len(classes):
            raise ValueError(text)
        warning = text
    return warning


def check_same_labels(classes: Sequence[str], reference: Sequence[str],
                      field: str, source: str) -> None:
    """Compare the labels of classes with those that a model learns.

    Args:
        classes (sequence): Names of the classes of a data set, in order.
        reference (sequence): Likewise of what the model is trained on.
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
            other = 'no class'
            if name in reference:
                other = reference.index(name)
            raise ValueError(
                f'{field} gives {name!r} the label {label}, which is '
                f'{other} in {source}: they have '
                f'{len(classes)} and {len(reference)} classes, of which '
                f'{missing[:8]} are missing in the first. Give both the same '
                'classes in the same order. Where folders are the classes, '
                'both need the same ones: add empty folders, or list the '
                'pictures in an ann_file.')


def check_annotations(model: nn.Module, dataset, field: str) -> None:
    """Look for image labels and mask values that are no class of the model.

    Args:
        model (nn.Module): Of mmseg or mmpretrain; other data is not looked
            at, as boxes are labelled by the names of classes.
        dataset: What its data loader reads.
        field (str): Where the config has the data set.

    Raises:
        ValueError: If labels go beyond the classes, or a mask is missing.
    """
    data = _innermost(dataset)
    if not isinstance(data, BaseDataset):
        return
    if hasattr(data, 'get_gt_labels'):
        _check_image_labels(model, data, field)
    elif hasattr(data, 'reduce_zero_label'):
        _check_masks(model, data, field)


def _heads(model: nn.Module) -> Iterator[Tuple[str, int]]:
    """Names in the config, and classes, of the heads that label."""
    for name in ('head', 'bbox_head', 'mask_head', 'roi_head.bbox_head',
                 'decode_head', 'auxiliary_head'):
        head = model
        for part in name.split('.'):
            head = getattr(head, part, None)
        heads = head if isinstance(head, nn.ModuleList) else [head]
        for i, head in enumerate(heads):
            num_classes = getattr(head, 'num_classes', None)
            if isinstance(num_classes, int) and num_classes > 0:
                place = f'{name}.{i}' if len(heads) > 1 else name
                yield place, num_classes


def _innermost(dataset):
    """The first data set below wrappers such as RepeatDataset."""
    while True:
        inner = getattr(dataset, 'dataset', None)
        if inner is None:
            inner = next(iter(getattr(dataset, 'datasets', ())), None)
        if inner is None:
            return dataset
        dataset = inner


def _spread(dataset: BaseDataset, limit: int) -> List[int]:
    """At most ``limit`` indices, the first and the last among them."""
    # Not len(): with num_batch_per_epoch that is what mmengine will draw.
    count = BaseDataset.__len__(dataset)
    if count <= limit:
        return list(range(count))
    return [i * (count - 1) // (limit - 1) for i in range(limit)]


def _check_image_labels(model: nn.Module, dataset, field: str) -> None:
    for _, num_classes in _heads(model):
        for i in _spread(dataset, _NUM_LABELS):
            info = dataset.get_data_info(i)
            label = info.get('gt_label')
            if isinstance(label, int) and not 0 <= label < num_classes:
                raise ValueError(
                    f'{field}: {info.get("img_path")} has label {label}, but '
                    f'model.head.num_classes={num_classes}, so labels go from '
                    f'0 to {num_classes - 1}. Correct ann_file or the field.')


def _check_masks(model: nn.Module, dataset, field: str) -> None:
    """Read a few masks, evenly spread over the data set."""
    # They import this package's checks.
    from emo_mm.checks.data.masks import labels_of_mask
    from emo_mm.checks.data.images import MISSING, Task, read_picture
    backend_args = tuple(sorted((dataset.backend_args or {}).items())) or None
    num_classes = min((n for _, n in _heads(model)), default=0)
    for i in _spread(dataset, _NUM_MASKS):
        sample = dataset.get_data_info(i)
        path = sample.get('seg_map_path')
        if not path:
            return
        mask = read_picture(Task(path, True, backend_args))
        if mask.problem == MISSING:
            raise ValueError(
                f'{field}: {sample["img_path"]} has no mask: there is no '
                f'{path}. Check data_prefix.seg_map_path and seg_map_suffix='
                f'{dataset.seg_map_suffix!r}, or add the mask. {_SEE_ALL}')
        if mask.problem:
            raise ValueError(f'{field}: {path} cannot be read as a mask: '
                             f'{mask.problem}. {_SEE_ALL}')
        unknown = [
            value for value, label in labels_of_mask(sample, mask).items()
            if label != dataset.ignore_index and not 0 <= label < num_classes
        ]
        if unknown:
            raise ValueError(
                f'{field}: mask {path} has the values {unknown[:8]}, which '
                f'are no class: the heads have num_classes={num_classes}, '
                f'reduce_zero_label={dataset.reduce_zero_label} and '
                f'{dataset.ignore_index} is ignored. Correct the masks or '
                f'these fields. {_SEE_ALL}')


_SEE_ALL = 'tools/misc/check_dataset.py lists all such files.'
