"""From a model to its end-to-end form and what describes it."""
from pathlib import Path

from mmengine.config import Config
from torch import nn

import emo_mm
from emo_mm.apis import find_test_dataset, names_and_colors, read_metainfo
from emo_mm.libraries import library_of, num_classes

from .end_to_end import (
    EndToEndClassifier,
    EndToEndDetector,
    EndToEndModel,
    EndToEndSegmenter,
    Size,
)

END_TO_END = dict(
    classification=EndToEndClassifier,
    detection=EndToEndDetector,
    segmentation=EndToEndSegmenter)
STRIDE = 32


def check_supported(cfg: Config) -> None:
    """Refuse what :mod:`emo_mm.deployment.end_to_end` does not compute.

    Raises:
        ValueError: It names the field, its value and what is possible.
    """
    library = library_of(cfg)
    if not isinstance(cfg.get('model'), dict):
        raise ValueError(f'model={cfg.get("model")!r}: the config must '
                         'describe a model, as those in configs/ do.')
    field, known = library.head, library.exported_heads
    head = cfg.model.get(field)
    kind = head.get('type') if isinstance(head, dict) else None
    if kind is None:
        raise ValueError(f'model.{field} is missing: of {library.scope}, '
                         f'models with one {field} are exported '
                         f'({", ".join(known)}).')
    kind = getattr(kind, '__name__', str(kind)).split('.')[-1]
    if kind not in known:
        raise ValueError(f'model.{field}.type={kind!r} cannot be exported: '
                         'its decoding is not known. Known are '
                         f'{", ".join(known)}.')
    mode = (cfg.model.get('test_cfg') or {}).get('mode', 'whole')
    if library.task == 'segmentation' and mode != 'whole':
        raise ValueError(
            f"model.test_cfg.mode={mode!r} cannot be exported, only 'whole': "
            '--cfg-options model.test_cfg.mode=whole')
    if library.task == 'detection':
        _check_detector(cfg.model)


def _check_detector(model: dict) -> None:
    test_cfg = model.get('test_cfg') or {}
    kind = test_cfg.get('nms', {}).get('type')
    if kind != 'nms':
        raise ValueError(f"model.test_cfg.nms.type={kind!r} cannot be "
                         "exported, only 'nms'.")
    for field in ('nms_pre', 'max_per_img'):
        if test_cfg.get(field, -1) < 1:
            raise ValueError(
                f'model.test_cfg.{field}={test_cfg.get(field)} must be at '
                'least 1: exported models hold a fixed number of candidates.')


def make_end_to_end(model: nn.Module) -> EndToEndModel:
    """Return the end-to-end form of a model.

    Args:
        model (nn.Module): Of :func:`emo_mm.apis.init_model`. It is changed.

    Raises:
        ValueError: If a part of it cannot be exported.
    """
    library = library_of(model.cfg)
    head = getattr(model, library.head)
    if library.task == 'detection':
        coder = type(head.bbox_coder).__name__
        if coder != 'DeltaXYWHBBoxCoder':
            raise ValueError(f'model.bbox_head.bbox_coder.type={coder!r} '
                             'cannot be exported, only DeltaXYWHBBoxCoder.')
    elif getattr(head, 'out_channels', num_classes(head)) < 2:
        raise ValueError('A model of one class (by a threshold) cannot be '
                         'exported. Give it two: background and class.')
    return END_TO_END[library.task](model).eval()


def class_names(model: nn.Module) -> list[str]:
    """Return the names of a model's classes, or numbers where it has none.

    Args:
        model (nn.Module): Of :func:`emo_mm.apis.init_model`.

    Raises:
        ValueError: If there are names, but not as many as classes.
    """
    count = num_classes(getattr(model, library_of(model.cfg).head))
    names = model.dataset_meta['classes']
    if not names or len(names) != count:
        names = names_and_colors(read_metainfo(model.cfg))['classes']
    if not names:
        return [str(i) for i in range(count)]
    if len(names) != count:
        raise ValueError(
            f'test_dataloader.dataset names {len(names)} classes and the head '
            f'has {count}: set metainfo=dict(classes=(…)) there, or '
            'num_classes in the head.')
    return list(names)


def describe(model: nn.Module, end_to_end: EndToEndModel, size: Size,
             dynamic: bool, precision: str, input_type: str) -> dict:
    """Describe an exported model for whoever runs it.

    Args:
        model (nn.Module): Of :func:`emo_mm.apis.init_model`.
        end_to_end (EndToEndModel): What is exported of it.
        size (tuple[int, int]): Height and width of its input.
        dynamic (bool): Whether it takes other sizes.
        precision (str): In which it computes.
        input_type (str): 'uint8' or 'float32'.

    Returns:
        dict: Plain values only.
    """
    metadata = dict(
        describe_network(end_to_end, size, dynamic, precision, input_type),
        config=Path(model.cfg.filename or 'config').stem,
        classes=class_names(model),
        resize=find_resize(model.cfg, size))
    palette = model.dataset_meta['palette']
    if palette and len(palette) == len(metadata['classes']):
        metadata['palette'] = [list(color) for color in palette]
    return metadata


def describe_network(end_to_end: EndToEndModel, size: Size, dynamic: bool,
                     precision: str, input_type: str) -> dict:
    """Return the part of :func:`describe` that needs no config."""
    height, width = size
    metadata: dict = dict(
        emo_mm=emo_mm.__version__,
        config='network',
        task=end_to_end.task,
        input=dict(
            name='image',
            dtype=input_type,
            layout='NCHW' if end_to_end.channels_first else 'HWC',
            channels='RGB',
            range=[0, 255],
            height=height,
            width=width,
            dynamic=dynamic),
        # For information: it is done inside the model.
        normalisation=dict(
            mean=[round(x, 4) for x in end_to_end.mean.flatten().tolist()],
            std=[round(x, 4) for x in end_to_end.std.flatten().tolist()]),
        resize=dict(mode='none', filter='bilinear', antialias=False),
        precision=precision,
        outputs=list(end_to_end.output_names))
    if isinstance(end_to_end, EndToEndDetector):
        settings = end_to_end.settings
        metadata['nms'] = dict(
            inside=end_to_end.with_nms,
            score_threshold=settings.get('score_thr', 0),
            iou_threshold=settings.nms.iou_threshold,
            class_agnostic=settings.nms.get('class_agnostic', False),
            min_size=settings.get('min_bbox_size', -1),
            candidates=settings.nms_pre,
            max_boxes=settings.max_per_img)
        if not end_to_end.with_nms:
            metadata['outputs'] = ['boxes', 'scores']
            metadata['nms']['levels'] = [
                len(level) for level in end_to_end.fixed_priors or ()
            ]
    return metadata


def find_resize(cfg: Config, size: Size) -> dict:
    """Return how the config's test pipeline resizes an image.

    Args:
        cfg (Config): The model's.
        size (tuple[int, int]): Height and width of the export.

    Returns:
        dict: ``mode`` is 'crop' (short edge, then a centre crop), 'stretch',
        'fit' (keeping the aspect) or 'none'.
    """
    dataset = find_test_dataset(cfg)
    height, width = size
    how = dict(mode='none', filter='bilinear', antialias=False)
    for step in dataset.get('pipeline') or ():
        if step.get('type') not in ('Resize', 'ResizeEdge'):
            continue
        how['filter'] = step.get('interpolation', 'bilinear')
        how['antialias'] = step.get('backend', 'cv2') == 'pillow'
        scale = step.get('scale')
        if step['type'] == 'ResizeEdge':
            return dict(
                how, mode='crop', short=scale, height=height, width=width)
        if not step.get('keep_ratio', False):
            return dict(how, mode='stretch', height=height, width=width)
        if isinstance(scale, (tuple, list)):
            return dict(how, mode='fit', long=max(scale), short=min(scale))
    return how


def check_size(size: Size) -> None:
    """Refuse an input smaller than a cell of the last map.

    Raises:
        ValueError: If it is.
    """
    if min(size) < STRIDE:
        raise ValueError(
            f'--shape {size[0]} {size[1]}: height and width must be at least '
            f'{STRIDE}, the stride of the last map.')
