"""The cost of a config's model, without its data set."""
from functools import partial
from typing import Tuple

import torch
from mmengine.config import Config
from torch import nn

from emo_mm.apis import build_model
from emo_mm.inference import make_reference

from .flops import Cost, count_cost


def cost_of_config(cfg: Config, shape: Tuple[int, int]) -> Tuple[Cost, Cost]:
    """Costs of the model for one image.

    Args:
        cfg (Config): Of mmdet, mmseg or mmpretrain.
        shape (tuple[int, int]): Height and width of the image in pixels.

    Returns:
        tuple[Cost, Cost]: As the paper counts, on the published order of
        operations (:mod:`emo_mm.inference.reference`), and as the model runs here,
        which is less where windows need padding.
    """
    model = build_network(cfg)
    inputs = (torch.rand(1, _in_channels(cfg), *shape), )
    as_run = count_cost(model, inputs)
    return count_cost(make_reference(model), inputs), as_run


def build_network(cfg: Config) -> nn.Module:
    """Build the config's model, whose forward pass takes images alone."""
    model = build_model(cfg)
    model.forward = partial(model.forward, mode='tensor')
    return model


def _in_channels(cfg: Config) -> int:
    return cfg.model.backbone.get('in_channels', 3)
