"""Find in the data of a config what would crash or spoil a training.

Errors stop a run or make its result wrong; warnings may be intended.
"""
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from .boxes import check_coco, check_instances
from .coco import check_use, find_coco_files, forget_files, read_coco
from .findings import Finding, error, warning
from .images import MISSING, Images, read_images
from .labels import (
    check_image_labels,
    check_same_classes,
    check_unused_classes,
)
from .masks import check_masks, check_unused_masks
from .samples import explain_missing
from .sources import Source, find_sources, load_source

LOOPS = ('train', 'val', 'test')


def check_datasets(cfg: ConfigDict,
                   loops: Sequence[str] = LOOPS,
                   workers: int = 0) -> tuple[list[Finding], dict[str, int]]:
    """Check the data sets of a config, down through wrappers.

    Args:
        cfg (ConfigDict): A config of mmdet, mmseg or mmpretrain.
        loops (Sequence[str]): Whose data. Defaults to ('train', 'val',
            'test').
        workers (int): Number of processes that decode images; 0 decodes in
            this one. Defaults to 0.

    Returns:
        tuple[list[Finding], dict[str, int]]: The findings, and the number of
        images of each split.

    Raises:
        ValueError: If the config has no data for these loops.
    """
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    sources = find_sources(cfg, loops)
    findings: list[Finding] = []

    def add(source: Source, *checks: Iterator[Finding]) -> None:
        for check in checks:
            findings.extend(replace(f, split=source.split) for f in check)

    for source in sources:
        add(source, load_source(source,
                                cfg.get('model') or {}),
            check_annotations(source))
    loaded = [source for source in sources if source.dataset is not None]
    images = read_images(
        (file for source in loaded for file in source.files()), workers)
    for source in loaded:
        add(source, check_images(source, images), check_masks(source, images),
            check_unused_masks(source), check_unused_classes(source, images))
    findings += check_uses(cfg, loops)
    forget_files()
    findings += check_same_classes(loaded)
    findings += check_duplicates(loaded, images)
    counts: Counter = Counter()
    for source in loaded:
        counts[source.split] += len(source.samples)
    return findings, dict(counts)


def check_annotations(source: Source) -> Iterator[Finding]:
    """Check boxes and labels, of a COCO file even if it does not load."""
    ann_file = source.coco_file
    if ann_file is not None:
        try:
            content = read_coco(ann_file)
        except (OSError, ValueError):
            return  # load_source tells.
        if not _is_panoptic(content):
            yield from check_coco(content, ann_file)
            return
    for sample in source.samples:
        if 'instances' in sample:
            yield from check_instances(sample, source.num_classes)
    yield from check_image_labels(source)


def _is_panoptic(content) -> bool:
    """Tell whether a file has segments in place of boxes."""
    annotations = content.get('annotations') if isinstance(content,
                                                           dict) else None
    return isinstance(annotations, list) and any(
        isinstance(annotation, dict) and 'segments_info' in annotation
        for annotation in annotations)


def check_uses(cfg: ConfigDict, loops: Sequence[str]) -> Iterator[Finding]:
    """Check what pipelines and metrics need of COCO files."""
    found: dict[Finding, list[str]] = {}
    is_sound: dict[str, bool] = {}
    for loop in loops:
        for file in find_coco_files(cfg, loop):
            try:
                content = read_coco(file.path)
            except ValueError:
                continue  # load_source tells.
            if file.path not in is_sound:
                is_sound[file.path] = not any(
                    f.stops for f in check_coco(content, file.path))
            if not is_sound[file.path]:
                continue  # check_annotations tells, or its own source.
            for finding in check_use(file, content):
                splits = found.setdefault(finding, [])
                if loop not in splits:
                    splits.append(loop)
    for finding, splits in found.items():
        yield replace(finding, split=', '.join(splits))


def check_images(source: Source, images: Images) -> Iterator[Finding]:
    """Check that images can be read and have the size that is annotated."""
    for sample in source.samples:
        file = source.image_file(sample)
        if file is None:
            continue
        image = images[file]
        annotated = (sample.get('width'), sample.get('height'))
        if image.problem == MISSING:
            yield error('missing image', file.path, explain_missing(file.path))
        elif image.problem:
            yield error('unreadable image', file.path, image.problem)
        elif all(annotated) and annotated != image.size:
            rotated = ' after its EXIF rotation' if image.rotated else ''
            yield error(
                'image of another size than annotated', file.path,
                '{}x{}{}, {}x{} in the annotation'.format(
                    *image.size, rotated, *annotated))


def check_duplicates(sources: Sequence[Source],
                     images: Images) -> Iterator[Finding]:
    """Look for the same pixels in train and another split, or twice in one."""
    paths: dict[str, dict[bytes, str]] = defaultdict(dict)
    for source in sources:
        seen = paths[source.split]
        for file in filter(None, map(source.image_file, source.samples)):
            digest = images[file].digest
            if digest in seen:
                first = seen[digest]
                same = ('listed twice'
                        if file.path == first else f'same pixels as {first}')
                found = warning('same image twice in a split', file.path, same)
                yield replace(found, split=source.split)
            elif digest:
                seen[digest] = file.path
    train = {
        digest: path
        for split, seen in paths.items() if 'train' in split.split(', ')
        for digest, path in seen.items()
    }
    for split, seen in paths.items():
        # A data set that train reads too shares all its images.
        others = [loop for loop in split.split(', ') if loop != 'train']
        for digest, path in seen.items():
            if others and digest in train:
                yield error(f'same image in train and {" and ".join(others)}',
                            path, f'in train as {train[digest]}')
