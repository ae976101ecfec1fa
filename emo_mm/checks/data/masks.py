"""Checks of semantic segmentation masks."""
import os.path as osp
from collections.abc import Iterator

from mmengine.fileio import list_dir_or_file

from ..config import shorten
from .findings import Finding, error, warning
from .images import MISSING, ImageContent, Images
from .samples import explain_missing
from .sources import Source


def check_masks(source: Source, images: Images) -> Iterator[Finding]:
    """Check the mask of each image.

    Args:
        source (Source): A data set that may name masks.
        images (dict): Contents of its masks. Sizes are compared with those
            of its images that are there, too.
    """
    for sample in source.samples:
        file = source.mask_file(sample)
        if file is None:
            continue
        mask, image_file = images[file], source.image_file(sample)
        image = images.get(image_file) if image_file else None
        if mask.problem == MISSING:
            hint = explain_missing(file.path)
            yield error(
                'image without a mask', sample['img_path'],
                f'there is no {file.path}' + (f', but {hint}' if hint else ''))
        elif mask.problem:
            yield error('unreadable mask', file.path, mask.problem)
        else:
            if image and not image.problem and mask.size != image.size:
                yield error(
                    'mask of another size than its image', file.path,
                    '{}x{}, {}x{} in {}'.format(*mask.size, *image.size,
                                                sample['img_path']))
            yield from _check_values(source, sample, mask)


def _check_values(source: Source, sample: dict,
                  mask: ImageContent) -> Iterator[Finding]:
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
            f'{shorten(unknown)}; there are {source.num_classes} classes'
            f'{zero}, and {ignored} is ignored')
    if set(labels.values()) == {ignored}:
        yield warning('mask that is ignored as a whole', where)


def labels_of_mask(sample: dict, mask: ImageContent) -> dict[int, int]:
    """Return the label that mmseg's LoadAnnotations makes of each value.

    Values that do not fit into 8 bits, which it would wrap, keep theirs.

    Args:
        sample (dict): What a data set of mmseg gives for an image.
        mask (ImageContent): The image's mask.
    """
    labels = {}
    for value in mask.values:
        label = value
        if sample.get('reduce_zero_label') and value <= 255:
            label = 255 if value in (0, 255) else value - 1
        labels[value] = (sample.get('label_map') or {}).get(label, label)
    return labels


def check_unused_masks(source: Source) -> Iterator[Finding]:
    """Warn of masks without an image, unless a list chooses the images."""
    prefixes = getattr(source.dataset, 'data_prefix', None) or {}
    folder = prefixes.get('seg_map_path')
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
