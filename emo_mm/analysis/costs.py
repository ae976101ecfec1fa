"""Parameters and multiply-adds, counted by fvcore."""
import warnings
from dataclasses import dataclass

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from mmengine.config import Config
from torch import nn

from emo_mm.apis import build_model
from emo_mm.inference import make_reference

# Products of two activations; layers with weights are other operators.
_PRODUCTS = ('scaled_dot_product_attention', 'matmul', 'bmm', 'einsum')


@dataclass(frozen=True)
class Cost:
    """Cost of a model for one input.

    Attributes:
        params (int): Number of parameters.
        flops (int): Multiply-adds as fvcore counts them.
        flops_without_attention_products (int): ``flops`` less the products
            ``q kᵀ`` and ``A v``, as the paper's downstream tables count.
    """
    params: int
    flops: int
    flops_without_attention_products: int


def cost_of_config(cfg: Config, shape: tuple[int, int]) -> tuple[Cost, Cost]:
    """Count the cost of a config's model for one image, without its data set.

    Args:
        cfg (Config): Of mmdet, mmseg or mmpretrain.
        shape (tuple[int, int]): Height and width of the image in pixels.

    Returns:
        tuple[Cost, Cost]: As the paper counts, on the published order of
        operations (:mod:`emo_mm.inference.reference`), and as the model runs
        here, which is less where windows need padding.
    """
    model = build_model(cfg)
    channels = cfg.model.backbone.get('in_channels', 3)
    inputs = (torch.rand(1, channels, *shape), )
    as_run = count_cost(model, inputs)
    return count_cost(make_reference(model), inputs), as_run


def count_cost(model: nn.Module, inputs: tuple) -> Cost:
    """Count the cost of ``model(*inputs)`` in eval mode.

    Args:
        model (nn.Module): Set to eval mode for the count; its mode is
            restored.
        inputs (tuple): Arguments of the forward pass, with a batch size of 1.
    """
    counter = count_flops(model, inputs)
    flops = int(counter.total())
    products = sum(int(counter.by_operator()[name]) for name in _PRODUCTS)
    return Cost(count_params(model), flops, flops - products)


def count_params(model: nn.Module) -> int:
    """Return the number of parameters of a model."""
    return sum(p.numel() for p in model.parameters())


def count_flops(model: nn.Module, inputs: tuple) -> FlopCountAnalysis:
    """Return fvcore's finished count of ``model(*inputs)``, also by module.

    Args:
        model (nn.Module): As in :func:`count_cost`.
        inputs (tuple): Its arguments.
    """
    training = model.training
    model.eval()
    counter = FlopCountAnalysis(model, inputs)
    counter.set_op_handle('aten::scaled_dot_product_attention',
                          _attention_products)
    counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counter.tracer_warnings('none')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            counter.total()  # counts once, and keeps the result
    finally:
        model.train(training)
    return counter


def _attention_products(inputs: list, outputs: list) -> int:
    """Count both products of attention, for which fvcore has no handler.

    q is (…, L, d), k (…, S, d) and v (…, S, e): L·S·d and L·S·e each.
    """
    q, k, v = (get_shape(value) for value in inputs[:3])
    batch = 1
    for size in q[:-2]:
        batch *= size
    return batch * q[-2] * k[-2] * (q[-1] + v[-1])
