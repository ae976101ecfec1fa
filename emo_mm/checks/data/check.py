"""Find in the data of a config what would crash or spoil a training.

Errors are what stops a run or makes its result wrong; warnings are what may
be meant.
"""
from collections import Counter
from dataclasses import replace
from typing import Dict, Iterable, Iterator, List, Sequence, Set, Tuple

from mmengine.config import ConfigDict
from mmengine.fileio import load
from mmengine.registry import init_default_scope

from .boxes import check_coco, check_instances
from .findings import Finding, error, warning
from .masks import check_masks, used_labels
from .images import MISSING, read_pictures
from .sources import Source, find_sources, load_source

LOOPS = ('train', 'val', 'test')


def check_datasets(cfg: ConfigDict,
                   loops: Sequence[str] = LOOPS,
                   workers: int = 0) -> Tuple[List[Finding], Dict[str, int]]:
    """Check the data sets of a config, down through wrappers.

    Args:
        cfg (ConfigDict): A config of mmdet, mmseg or mmpretrain.
        loops (sequence): Whose data. Defaults to ('train', 'val', 'test').
        workers (int): Number of processes that decode images; 0 decodes in
            this one. Defaults to 0.

    Returns:
        tuple: The findings, and the number of images of each split.

    Raises:
        ValueError: If the config has no data for these loops.
    """
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    sources = find_sources(cfg, loops)
    findings = []
    for source in sources:
        findings += _of(source, load_source(source, cfg.get('model') or {}))
        findings += _of(source, check_annotations(source))
    loaded = [source for source in sources if source.dataset is not None]
    pictures = read_pictures(
        (task for source in loaded for task in source.tasks()), workers)
    for source in loaded:
        findings += _of(source, check_images(source, pictures))
        findings += _of(source, check_masks(source, pictures))
        findings += _of(source, check_unused_classes(source, pictures))
    findings += check_same_classes(loaded)
    findings += check_duplicates(loaded, pictures)
    counts = Counter()
    for source in loaded:
        counts[source.split] += len(source.samples)
    return findings, dict(counts)


def _of(source: Source, findings: Iterable[Finding]) -> List[Finding]:
    return [replace(finding, split=source.split) for finding in findings]


def check_annotations(source: Source) -> Iterator[Finding]:
    """Check boxes and labels; a COCO file even if it does not load."""
    ann_file = source.coco_file
    if ann_file is not None:
        try:
            content = load(ann_file)
        except (OSError, ValueError):
            return  # load_source tells.
        if not isinstance(content, dict):
            return
        # Panoptic files have no boxes but segments.
        if not any('segments_info' in annotation
                   for annotation in content.get('annotations', ())):
            yield from check_coco(content, ann_file)
            return
    for sample in source.samples:
        if 'instances' in sample:
            yield from check_instances(sample, source.num_classes)
        for label in _image_labels(sample):
            if source.num_classes and not 0 <= label < source.num_classes:
                yield error(
                    'unknown class', sample.get('img_path', source.field),
                    f'label {label}; there are {source.num_classes} classes')


def _image_labels(sample: dict) -> Sequence[int]:
    """The classes of an image as a whole."""
    label = sample.get('gt_label', ())
    return [label] if isinstance(label, int) else list(label)


def check_images(source: Source, pictures: Dict) -> Iterator[Finding]:
    """Check that images can be read and have the size that is annotated."""
    for sample in source.samples:
        task = source.image_task(sample)
        if task is None:
            continue
        picture = pictures[task]
        if picture.problem == MISSING:
            yield error('missing image', task.path)
            continue
        if picture.problem:
            yield error('unreadable image', task.path, picture.problem)
            continue
        annotated = (sample.get('width'), sample.get('height'))
        if all(annotated) and annotated != picture.size:
            turned = ' after its EXIF rotation' if picture.turned else ''
            yield error(
                'image of another size than annotated', task.path,
                '{}x{}{}, {}x{} in the annotation'.format(
                    *picture.size, turned, *annotated))


def check_unused_classes(source: Source, pictures: Dict) -> Iterator[Finding]:
    """Warn of classes without an example."""
    used = used_labels(source, pictures) | _used_labels(source.samples)
    if not used:  # Test data may have no annotations at all.
        return
    for label, name in enumerate(source.classes):
        if label not in used:
            yield warning('class without examples', source.field, repr(name))


def _used_labels(samples: List[dict]) -> Set[int]:
    used: Set[int] = set()
    for sample in samples:
        used.update(_image_labels(sample))
        for instance in sample.get('instances', ()):
            used.add(instance.get('bbox_label'))
    return used


def check_same_classes(sources: List[Source]) -> Iterator[Finding]:
    """Labels of splits with other classes mean different things."""
    first = next((source for source in sources if source.classes), None)
    for source in sources:
        if source.classes and source.classes != first.classes:
            here, there = set(source.classes), set(first.classes)
            differ = sorted(here ^ there) or 'in order'
            yield error('different classes', source.field,
                        f'other classes than in {first.field}: {differ}')


def check_duplicates(sources: List[Source],
                     pictures: Dict) -> Iterator[Finding]:
    """Look for the same pixels in train and another split, or twice in one."""
    first_of: Dict[str, Dict[bytes, str]] = {}
    for source in sources:
        firsts = first_of.setdefault(source.split, {})
        for task in filter(None, map(source.image_task, source.samples)):
            digest = pictures[task].digest
            if not digest:
                continue
            if digest in firsts:
                yield replace(
                    _duplicate(task.path, firsts[digest]), split=source.split)
            firsts.setdefault(digest, task.path)
    train = {
        digest: path
        for split, firsts in first_of.items() if 'train' in split.split(', ')
        for digest, path in firsts.items()
    }
    for split, firsts in first_of.items():
        # A source that train reads too shares all its images.
        others = [loop for loop in split.split(', ') if loop != 'train']
        if not others:
            continue
        kind = f'same picture in train and {" and ".join(others)}'
        for digest, path in firsts.items():
            if digest in train:
                yield error(kind, path, f'in train as {train[digest]}')


def _duplicate(path: str, first: str) -> Finding:
    same = 'listed twice' if path == first else f'same pixels as {first}'
    return warning('same picture twice in a split', path, same)
