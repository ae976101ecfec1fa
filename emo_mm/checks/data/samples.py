"""Look at the files of some samples when a run starts.

A wrong prefix or a missing folder shows here, not in a worker an epoch later.
Larger data sets are looked at in part, so that the start stays short;
``tools/misc/check_dataset.py`` decodes every file.
"""
import logging
import os
import re
from collections.abc import Iterator

import cv2
import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.logging import print_log
from PIL import Image

from .findings import Finding, error, summarize, warning
from .images import ImageFile, is_rotated, read_image

# How many samples of a data set are looked at.
NUM_SAMPLES = 100
_TOOL = 'tools/misc/check_dataset.py lists all such files.'
# What ends a file that is complete, by how it begins.
_ENDS = {b'\xff\xd8': b'\xff\xd9', b'\x89PNG': b'IEND\xaeB`\x82'}


# --- Data sets and their files ----------------------------------------------
def find_datasets(dataset, field: str) -> Iterator[tuple[str, BaseDataset]]:
    """Yield field and data set for those below wrappers."""
    # mmengine's num_batch_per_epoch wraps what the config names.
    dataset = getattr(dataset, '_dataset', dataset)
    child = getattr(dataset, 'dataset', None)
    children = getattr(dataset, 'datasets', None)
    if child is not None:
        yield from find_datasets(child, f'{field}.dataset')
    elif isinstance(children, (list, tuple)):
        for i, child in enumerate(children):
            yield from find_datasets(child, f'{field}.datasets.{i}')
    elif isinstance(dataset, BaseDataset):
        yield field, dataset


def spread_samples(dataset: BaseDataset, limit: int) -> list[dict]:
    """Return up to ``limit`` samples, the first and the last among them."""
    # Not len(): with num_batch_per_epoch that is what mmengine will draw.
    count = BaseDataset.__len__(dataset)
    number = min(count, limit)
    indices = [i * (count - 1) // max(1, number - 1) for i in range(number)]
    return [dataset.get_data_info(i) for i in indices]


def find_files(dataset: BaseDataset, sample: dict) -> list[ImageFile]:
    """Return what a pipeline decodes of a sample: image and semantic mask.

    Those that a transform of the user's reads are left out.
    """
    return [
        ImageFile(sample[key], is_mask, backend_args)
        for key, is_mask, backend_args in _find_loaders(dataset)
        if isinstance(sample.get(key), str)
    ]


def _find_loaders(dataset: BaseDataset) -> Iterator[tuple]:
    """Yield key, whether it is a mask's, and the file backend's arguments."""
    for transform in getattr(dataset.pipeline, 'transforms', ()):
        if getattr(transform, 'file_client_args', None):
            continue
        args = getattr(transform, 'backend_args', None)
        items = tuple(sorted(args.items())) if args else None
        if _is_of_library(transform, 'LoadImageFromFile.transform'):
            yield 'img_path', False, items
        if (_is_of_library(transform, 'LoadAnnotations._load_seg_map')
                and getattr(transform, 'with_seg', False)):
            yield 'seg_map_path', True, items


def _is_of_library(transform, name: str) -> bool:
    """Tell whether a transform has a method as a library wrote it.

    Importing the libraries for this would take seconds.
    """
    method = getattr(type(transform), name.partition('.')[2], None)
    module = getattr(method, '__module__', '').partition('.')[0]
    return (getattr(method, '__qualname__', '') == name
            and module in ('mmcv', 'mmdet', 'mmseg', 'mmpretrain'))


def is_local(file: ImageFile) -> bool:
    """Tell whether mmengine reads a file from the machine's own folders."""
    args = dict(file.backend_args) if file.backend_args else None
    backend = get_file_backend(
        file.path, backend_args=args, enable_singleton=True)
    return isinstance(backend, LocalBackend)


# --- At the start of a run ---------------------------------------------------
def check_samples(dataset, field: str) -> None:
    """Look for missing and unreadable files of up to 100 samples.

    A training goes on without images that cannot be read (see
    :mod:`.reading`), so that only a warning tells of them. Validations and
    tests need every image.

    Args:
        dataset: What a data loader reads.
        field (str): Where the config has it.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files cannot be read, in a training all of them.
    """
    is_training = field.startswith('train')
    for name, data in find_datasets(dataset, field):
        samples = spread_samples(data, NUM_SAMPLES)
        findings = list(check_files(data, samples))
        missing = [f for f in findings if f.kind.startswith('missing')]
        broken = [f for f in findings if f.kind.startswith('unreadable')]
        masks = [f for f in findings if f.kind.startswith('instance')]
        if masks:
            raise ValueError(_describe(name, data, masks, len(samples)))
        if missing:
            raise FileNotFoundError(
                _describe(name, data, missing, len(samples)))
        sizes = [f for f in findings if f.kind.startswith('mask of another')]
        if sizes and not is_training:
            raise ValueError(_describe(name, data, sizes, len(samples)))
        if broken and (not is_training or len(broken) >= len(samples)):
            raise ValueError(
                _describe(name, data, broken, len(samples)) +
                ' Replace these files, or take them out of the data.')
        if findings:
            text = f'{name}:\n{summarize(findings)}\n{_TOOL}'
            if is_training:
                text += (' A training leaves out what cannot be read, and '
                         'counts it.')
            print_log(text, logger='current', level=logging.WARNING)


def check_files(dataset: BaseDataset,
                samples: list[dict]) -> Iterator[Finding]:
    """Check that files are there, begin as images do, and are complete."""
    for sample in samples:
        if _loads_masks(dataset):
            yield from _check_masks(sample)
        for file in filter(is_local, find_files(dataset, sample)):
            kind = 'mask' if file.is_mask else 'image'
            if not os.path.isfile(file.path):
                yield error(f'missing {kind}', file.path,
                            explain_missing(file.path))
                continue
            whole = ends_well(file) and _opens(file)
            problem = '' if whole else read_image(file).problem
            if problem:
                how = 'cut' if _is_lenient(dataset, file) else 'unreadable'
                yield error(f'{how} {kind}', file.path, problem)
            else:
                yield from _check_size(dataset, file, sample)


def _loads_masks(dataset: BaseDataset) -> bool:
    return any(
        getattr(transform, 'with_mask', False)
        and _is_of_library(transform, 'LoadAnnotations._load_masks')
        # LoadPanopticAnnotations takes masks from the panoptic map.
        and _is_of_library(transform, 'LoadAnnotations.transform')
        for transform in dataset.pipeline.transforms)


def _check_masks(sample: dict) -> Iterator[Finding]:
    """Check that each instance has a mask, whatever file it is from."""
    without = [
        instance for instance in sample.get('instances', ())
        if 'mask' not in instance
    ]
    if without:
        yield error(
            'instance without a mask', sample.get('img_path', ''),
            f'{len(without)} of {len(sample["instances"])}, but with_mask='
            'True in the pipeline needs one')


def _check_size(dataset: BaseDataset, file: ImageFile,
                sample: dict) -> Iterator[Finding]:
    """Compare the size of an image or mask with what it belongs to."""
    size = _read_size(dataset, file)
    if file.is_mask:
        image = sample.get('img_path', '')
        other = _read_size(dataset, ImageFile(image)) if image else None
        if size and other and size != other:
            yield error('mask of another size than its image', file.path,
                        '{}x{}, {}x{} in {}'.format(*size, *other, image))
        return
    annotated = (sample.get('width'), sample.get('height'))
    if size and all(annotated) and size != annotated:
        yield warning(
            'image of another size than annotated', file.path,
            '{}x{}, {}x{} in the annotation'.format(*size, *annotated))


def _read_size(dataset: BaseDataset, file: ImageFile):
    """Return width and height as they are loaded; None if unknown."""
    try:
        with Image.open(file.path) as image:
            turned = (not file.is_mask and _turns(dataset)
                      and is_rotated(image))
            return image.size[::-1] if turned else image.size
    except Exception:  # What OpenCV alone can read, or another storage.
        return None


def _turns(dataset: BaseDataset) -> bool:
    """Tell whether a pipeline turns images as EXIF says."""
    return any(
        getattr(transform, 'color_type', '') in ('color', 'grayscale')
        for transform in dataset.pipeline.transforms)


def _describe(field: str, dataset: BaseDataset, findings: list[Finding],
              number: int) -> str:
    first = findings[0]
    return (f'{field}: {first.kind}: {first}. {len(findings)} of {number} '
            f'samples that were looked at have one. The data set has '
            f'ann_file={dataset.ann_file!r} and data_prefix='
            f'{dict(dataset.data_prefix)}. {_TOOL}')


# --- One file ---------------------------------------------------------------
def ends_well(file: ImageFile) -> bool | None:
    """Tell by its first and last bytes whether a file is complete.

    Returns:
        bool or None: None for formats whose end has no mark. What has none
        though it should may just have something behind it.
    """
    with open(file.path, 'rb') as stream:
        head = stream.read(4)
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - 8))
        tail = stream.read()
    if not head:
        return False
    ends = [end for begin, end in _ENDS.items() if head.startswith(begin)]
    return tail.endswith(ends[0]) if ends else None


def _opens(file: ImageFile) -> bool:
    """Tell whether the header is an image's, of a usual size."""
    try:
        Image.open(file.path).close()
    except Exception:  # What OpenCV alone can read, or nothing can.
        return False
    return True


def _is_lenient(dataset: BaseDataset, file: ImageFile) -> bool:
    """Tell whether a pipeline makes something of a broken image."""
    backends = [
        getattr(transform, 'imdecode_backend', '')
        for transform in dataset.pipeline.transforms
        if _is_of_library(transform, 'LoadImageFromFile.transform')
    ]
    if file.is_mask or backends != ['cv2']:
        return False
    try:
        pixels = np.fromfile(file.path, np.uint8)
        return cv2.imdecode(pixels, cv2.IMREAD_COLOR) is not None
    except cv2.error:
        return False


def explain_missing(path: str) -> str:
    """Say what is there in place of a file that is missing; '' if nothing."""
    for other, advice in _other_spellings(path):
        if os.path.isfile(other):
            return f'{other} is there: {advice}'
    return ''


def _other_spellings(path: str) -> Iterator[tuple[str, str]]:
    """Yield paths that may be meant, and what to do if one is."""
    slashes = path.replace('\\', '/')
    backslashes = 'write / in place of the backslashes in ann_file'
    twice = ('a folder is named twice, so leave it out of data_prefix or of '
             'the names in ann_file')
    yield slashes, backslashes
    # A run of folders that is repeated right after itself.
    once = re.sub(r'((?:(?<=/)|^)(?:[^/]+/)+?)(?:\./)?\1', r'\1', slashes)
    yield once, f'{backslashes}; {twice}' if '\\' in path else twice
    folder, name = os.path.split(slashes)
    stem = os.path.splitext(name)[0]
    yield os.path.join(folder, stem), 'its suffix is added twice'
    for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if os.path.splitext(entry)[0].lower() == stem.lower():
            yield os.path.join(folder, entry), 'correct case and suffix'
        yield (os.path.join(folder, entry, name),
               'the name lacks a folder, so add it to data_prefix')
