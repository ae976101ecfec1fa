"""Checks of semantic segmentation masks."""
import os.path as osp
from typing import Dict, Iterator, List, Set, Tuple

from mmengine.fileio import list_dir_or_file

from .findings import Finding, error, warning
from .images import MISSING, Picture
from .sources import Source


def check_masks(source: Source, pictures: Dict) -> Iterator[Finding]:
    """Check the mask of each image.

    Args:
        source (Source): A data set that names masks.
        pictures (dict): What ``read_pictures`` gives.
    """
    for sample in source.samples:
        task = source.mask_task(sample)
        if task is None:
            continue
        mask, image = pictures[task], pictures[source.image_task(sample)]
        if mask.problem == MISSING:
            yield error('image without a mask', sample['img_path'],
                        f'there is no {task.path}')
        elif mask.problem:
            yield error('unreadable mask', task.path, mask.problem)
        else:
            if not image.problem and mask.size != image.size:
                yield error(
                    'mask of another size than its image', task.path,
                    f'{_text(mask.size)}, {_text(image.size)} in '
                    f'{sample["img_path"]}')
            yield from _check_values(source, sample, mask)
    yield from _check_unused_masks(source)


def _text(size: Tuple[int, int]) -> str:
    return f'{size[0]}x{size[1]}'


def _check_values(source: Source, sample: dict,
                  mask: Picture) -> Iterator[Finding]:
    labels = labels_of_mask(sample, mask)
    ignored = getattr(source.dataset, 'ignore_index', 255)
    unknown = [
        value for value, label in labels.items()
        if label != ignored and not 0 <= label < source.num_classes
    ]
    where = sample['seg_map_path']
    if unknown and source.num_classes:
        zero = ', of which 0 is ignored' if sample['reduce_zero_label'] else ''
        yield error(
            'mask values beyond the classes', where,
            f'{_shorten(unknown)}; there are {source.num_classes} classes'
            f'{zero}, and {ignored} is ignored')
    if set(labels.values()) == {ignored}:
        yield warning('mask that is ignored as a whole', where)


def labels_of_mask(sample: dict, mask: Picture) -> Dict[int, int]:
    """The label that mmseg's LoadAnnotations makes of each value.

    Values that do not fit into 8 bits, which it would wrap, keep theirs.

    Args:
        sample (dict): What a data set of mmseg gives for an image.
        mask (Picture): The mask of it.
    """
    labels = {}
    for value in mask.values:
        label = value
        if sample.get('reduce_zero_label') and value <= 255:
            label = 255 if value in (0, 255) else value - 1
        labels[value] = (sample.get('label_map') or {}).get(label, label)
    return labels


def used_labels(source: Source, pictures: Dict) -> Set[int]:
    """All labels that the masks of a data set have."""
    used: Set[int] = set()
    for sample in source.samples:
        task = source.mask_task(sample)
        if task is not None:
            used.update(labels_of_mask(sample, pictures[task]).values())
    return used


def _shorten(values: List[int], limit: int = 8) -> str:
    more = f' and {len(values) - limit} more' if len(values) > limit else ''
    return ', '.join(map(str, values[:limit])) + more


def _check_unused_masks(source: Source) -> Iterator[Finding]:
    """A list file chooses; a folder of images is meant to be used whole."""
    folder = source.dataset.data_prefix.get('seg_map_path')
    suffix = getattr(source.dataset, 'seg_map_suffix', None)
    if not folder or not suffix or source.cfg.get('ann_file'):
        return
    # With ``indices``, too, the rest is left out on purpose.
    if source.cfg.get('indices') is not None or not osp.isdir(folder):
        return
    used = {osp.normpath(s['seg_map_path']) for s in source.samples}
    for name in sorted(
            list_dir_or_file(
                folder, list_dir=False, suffix=suffix, recursive=True)):
        path = osp.join(folder, name)
        if osp.normpath(path) not in used:
            yield warning(
                'mask without an image', path, 'there is no image '
                f'{name[:-len(suffix)]}{source.dataset.img_suffix}')
