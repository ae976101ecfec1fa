"""From a config and a checkpoint to a whole model and what describes it."""
import copy
from pathlib import Path
from typing import List, Optional, Tuple

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

import emo_mm

from ..checks.config import leaf_datasets, type_of
from ..checks.compatibility import check_complete
from ..models.weights import read_checkpoint
from .end_to_end import (WholeClassifier, WholeDetector, WholeModel,
                          WholeSegmenter)

# Heads by the kind of model that the config's default_scope builds.
SUPPORTED_HEADS = dict(
    mmpretrain=('head', ('LinearClsHead', ), WholeClassifier),
    mmdet=('bbox_head', ('SSDHead', 'RetinaHead'), WholeDetector),
    mmseg=('decode_head', ('ASPPHead', 'PSPHead', 'FCNHead'), WholeSegmenter),
)
STRIDE = 32


def load_model(cfg: Config, checkpoint: str) -> Tuple[nn.Module, List[str]]:
    """Build a config's model and fill all of it from a checkpoint.

    Args:
        cfg (Config): Of mmpretrain, mmdet or mmseg.
        checkpoint (str): Path or URL, as mmengine writes it.

    Returns:
        tuple: The model, in eval mode, and its class names.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the model is of a kind that is not exported, or the
            checkpoint does not fit it.
    """
    check_supported(cfg)
    init_default_scope(cfg.default_scope)
    # mmpretrain's configs have the preprocessor beside the model.
    settings = copy.deepcopy(cfg.model)
    if cfg.get('data_preprocessor'):
        settings.setdefault('data_preprocessor', cfg.data_preprocessor)
    model = MODELS.build(settings)
    loaded = read_checkpoint(checkpoint)
    check_complete(model, loaded, checkpoint)
    count = num_classes(model)
    classes = class_names(cfg, loaded.get('meta') or {}, count)
    return model.eval(), classes


def check_supported(cfg: Config) -> None:
    """Refuse what :mod:`emo_mm.deployment.end_to_end` does not compute.

    Raises:
        ValueError: It names the field, its value and what is possible.
    """
    scope = cfg.get('default_scope')
    if scope not in SUPPORTED_HEADS:
        raise ValueError(f'default_scope={scope!r} must be one of '
                         f'{", ".join(SUPPORTED_HEADS)}.')
    name, heads, _ = SUPPORTED_HEADS[scope]
    if not isinstance(cfg.get('model'), dict):
        raise ValueError(f'model={cfg.get("model")!r}: the config must '
                         'describe a model, as those in configs/ do.')
    head = cfg.model.get(name)
    kind = head.get('type') if isinstance(head, dict) else None
    if kind is None:
        raise ValueError(f'model.{name} is missing: of {scope}, models with '
                         f'one {name} are exported ({", ".join(heads)}).')
    kind = getattr(kind, '__name__', str(kind)).split('.')[-1]
    if kind not in heads:
        raise ValueError(f'model.{name}.type={kind!r} cannot be exported: its '
                         f'decoding is not known. Known are '
                         f'{", ".join(heads)}.')
    mode = (cfg.model.get('test_cfg') or {}).get('mode', 'whole')
    if scope == 'mmseg' and mode != 'whole':
        raise ValueError(
            f"model.test_cfg.mode={mode!r} cannot be exported, only 'whole': "
            '--cfg-options model.test_cfg.mode=whole')
    if scope == 'mmdet':
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


def make_whole(model: nn.Module, scope: str) -> WholeModel:
    """The whole model around what :func:`load_model` returns.

    Args:
        model (nn.Module): It is changed.
        scope (str): The config's ``default_scope``.

    Raises:
        ValueError: If a part of it is not exported.
    """
    if num_classes(model) < 2 and scope != 'mmdet':
        raise ValueError('A model of one class (by a threshold) cannot be '
                         'exported. Give it two: background and class.')
    if scope == 'mmdet':
        coder = type(model.bbox_head.bbox_coder).__name__
        if coder != 'DeltaXYWHBBoxCoder':
            raise ValueError(f'model.bbox_head.bbox_coder.type={coder!r} '
                             'cannot be exported, only DeltaXYWHBBoxCoder.')
    return SUPPORTED_HEADS[scope][2](model).eval()


def num_classes(model: nn.Module) -> int:
    """Number of classes of a classifier, detector or segmenter."""
    for name in ('bbox_head', 'decode_head', 'head'):
        if hasattr(model, name):
            head = getattr(model, name)
            # A segmenter of one class by a threshold has one channel.
            return getattr(head, 'out_channels', head.num_classes)
    raise ValueError('The model has no head.')


def class_names(cfg: Config, meta: dict, count: int) -> List[str]:
    """Names of the classes, of the checkpoint or else of the config's data.

    Args:
        cfg (Config): Its ``test_dataloader.dataset`` names classes.
        meta (dict): The checkpoint's ``meta``.
        count (int): How many the head has.

    Raises:
        ValueError: If the names are not as many.
    """
    names = (meta.get('dataset_meta') or {}).get('classes')
    if not names or len(names) != count:
        names = _names_of_data(cfg)
    if not names:
        return [str(i) for i in range(count)]
    if len(names) != count:
        raise ValueError(
            f'test_dataloader.dataset names {len(names)} classes and the head '
            f'has {count}: set metainfo=dict(classes=(…)) there, or '
            'num_classes in the head.')
    return [str(name) for name in names]


def _names_of_data(cfg: Config) -> Optional[List[str]]:
    dataset = _test_dataset(cfg)
    if not dataset.get('type'):
        return None
    metainfo = dict(dataset.get('metainfo') or {})
    return type_of(dataset)._load_metainfo(metainfo).get('classes')


def _test_dataset(cfg: Config) -> dict:
    """Settings of the test data, below any wrapper."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    return next(leaf_datasets(dataset, 'test_dataloader.dataset'), ('', {}))[1]


def describe(cfg: Config, whole: WholeModel, classes: List[str],
             size: Tuple[int, int], dynamic: bool, precision: str,
             input_type: str) -> dict:
    """What travels with an exported model.

    Args:
        cfg (Config): The model's.
        whole (WholeModel): The model.
        classes (list[str]): Names of its classes.
        size (tuple[int, int]): Height and width of its input.
        dynamic (bool): Whether it takes other sizes.
        precision (str): In which it computes.
        input_type (str): 'uint8' or 'float32'.

    Returns:
        dict: Plain values only.
    """
    height, width = size
    metadata = dict(
        emo_mm=emo_mm.__version__,
        config=Path(cfg.filename or 'config').stem,
        task=whole.task,
        classes=classes,
        input=dict(
            name='image',
            dtype=input_type,
            layout='NCHW' if whole.channels_first else 'HWC',
            channels='RGB',
            range=[0, 255],
            height=height,
            width=width,
            dynamic=dynamic),
        # For information: it is done inside the model.
        normalisation=dict(
            mean=[round(x, 4) for x in whole.mean.flatten().tolist()],
            std=[round(x, 4) for x in whole.std.flatten().tolist()]),
        resize=test_resize(cfg, size),
        precision=precision,
        outputs=list(whole.output_names))
    if isinstance(whole, WholeDetector):
        metadata['nms'] = dict(
            inside=whole.with_nms,
            score_threshold=whole.settings.get('score_thr', 0),
            iou_threshold=whole.settings.nms.iou_threshold,
            class_agnostic=whole.settings.nms.get('class_agnostic', False),
            min_size=whole.settings.get('min_bbox_size', -1),
            candidates=whole.settings.nms_pre,
            max_boxes=whole.settings.max_per_img)
        if not whole.with_nms:
            metadata['outputs'] = ['boxes', 'scores']
            metadata['nms']['levels'] = [len(p) for p in whole.fixed_priors]
    return metadata


def test_resize(cfg: Config, size: Tuple[int, int]) -> dict:
    """How the config's test pipeline brings a picture to its size.

    Args:
        cfg (Config): The model's.
        size (tuple[int, int]): Height and width of the export.

    Returns:
        dict: ``mode`` is 'crop' (short edge, then a centre crop), 'stretch',
        'fit' (keeping the aspect) or 'none'.
    """
    dataset = _test_dataset(cfg)
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


def check_size(size: Tuple[int, int]) -> None:
    """Refuse an input smaller than a cell of the last map.

    Raises:
        ValueError: If it is.
    """
    if min(size) < STRIDE:
        raise ValueError(
            f'--shape {size[0]} {size[1]}: height and width must be at least '
            f'{STRIDE}, the stride of the last map.')
