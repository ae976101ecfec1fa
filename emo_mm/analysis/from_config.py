"""The cost of a config's model, without its data set."""
from functools import partial
from typing import Tuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from emo_mm.models.literal import make_literal

from .flops import Cost, count_cost


def cost_of_config(cfg: Config, shape: Tuple[int, int]) -> Tuple[Cost, Cost]:
    """Costs of the model for one image.

    Args:
        cfg (Config): Of mmdet, mmseg or mmpretrain.
        shape (tuple[int, int]): Height and width of the image in pixels.

    Returns:
        tuple[Cost, Cost]: As the paper counts, on the published order of
        operations (:mod:`emo_mm.models.literal`), and as the model runs here,
        which is less where windows need padding.
    """
    model = build_model(cfg)
    inputs = (torch.rand(1, _in_channels(cfg), *shape), )
    as_run = count_cost(model, inputs)
    return count_cost(make_literal(model), inputs), as_run


def build_model(cfg: Config) -> nn.Module:
    """The config's model, whose forward pass takes images alone."""
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    model.forward = partial(model.forward, mode='tensor')
    return model


def default_shape(cfg: Config) -> Tuple[int, int]:
    """Height and width of the images that the model is tested on.

    The last crop or resize of the test pipeline, rounded up to what the
    model pads to.

    Raises:
        ValueError: If the pipeline names no size.
    """
    if 'crop_size' in cfg:  # mmseg tests on pictures of any size
        return tuple(cfg.crop_size)
    pipeline = cfg.test_dataloader.dataset.get('pipeline', [])
    for step in reversed(pipeline):
        if step['type'].endswith('CenterCrop'):
            return _pair(step['crop_size'])
        if step['type'] == 'Resize' and 'scale' in step:
            width, height = _pair(step['scale'])
            divisor = cfg.model.get('data_preprocessor',
                                    {}).get('pad_size_divisor', 1)
            return tuple(-(-size // divisor) * divisor
                         for size in (height, width))
    raise ValueError('test_dataloader.dataset.pipeline has no Resize or '
                     'CenterCrop. Give the size: --shape H W')


def _pair(size) -> Tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _in_channels(cfg: Config) -> int:
    return cfg.model.backbone.get('in_channels', 3)
