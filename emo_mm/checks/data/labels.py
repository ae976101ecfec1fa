"""Checks of classes, and of the labels of whole images."""
from collections.abc import Iterator, Sequence

from .findings import Finding, error, warning
from .images import Images
from .masks import labels_of_mask
from .sources import Source


def check_image_labels(source: Source) -> Iterator[Finding]:
    """Check that the labels of whole images are classes."""
    for sample in source.samples:
        for label in _image_labels(sample):
            if source.num_classes and not 0 <= label < source.num_classes:
                yield error(
                    'unknown class', sample.get('img_path', source.field),
                    f'label {label}; there are {source.num_classes} classes')


def check_unused_classes(source: Source, images: Images) -> Iterator[Finding]:
    """Warn of classes without an example."""
    used = _used_labels(source, images)
    if not used:  # Test data may have no annotations at all.
        return
    for label, name in enumerate(source.classes):
        if label not in used:
            yield warning('class without examples', source.field, repr(name))


def check_same_classes(sources: Sequence[Source]) -> Iterator[Finding]:
    """Check that labels of all splits mean the same."""
    with_classes = [source for source in sources if source.classes]
    for source in with_classes[1:]:
        first = with_classes[0]
        if source.classes != first.classes:
            differ = sorted({*source.classes} ^ {*first.classes}) or 'in order'
            yield error('different classes', source.field,
                        f'other classes than in {first.field}: {differ}')


def _image_labels(sample: dict) -> Sequence[int]:
    label = sample.get('gt_label', ())
    return [label] if isinstance(label, int) else list(label)


def _used_labels(source: Source, images: Images) -> set[int]:
    used: set[int] = set()
    for sample in source.samples:
        used.update(_image_labels(sample))
        used.update(instance['bbox_label']
                    for instance in sample.get('instances', ())
                    if 'bbox_label' in instance)
        file = source.mask_file(sample)
        if file is not None:
            used.update(labels_of_mask(sample, images[file]).values())
    return used
