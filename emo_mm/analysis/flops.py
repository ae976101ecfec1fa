"""Parameters and multiply-adds, counted by fvcore."""
import warnings
from dataclasses import dataclass
from typing import List, Tuple

from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import nn

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


def count_cost(model: nn.Module, inputs: Tuple) -> Cost:
    """Count the cost of ``model(*inputs)`` in eval mode.

    Args:
        model (nn.Module): Set to eval mode for the count; its mode is
            restored.
        inputs (tuple): Arguments of the forward pass, the batch size being 1.
    """
    counter = count_flops(model, inputs)
    flops = int(counter.total())
    products = sum(int(counter.by_operator()[name]) for name in _PRODUCTS)
    params = sum(p.numel() for p in model.parameters())
    return Cost(params, flops, flops - products)


def count_flops(model: nn.Module, inputs: Tuple) -> FlopCountAnalysis:
    """fvcore's finished count of ``model(*inputs)``, also by module.

    Arguments are those of :func:`count_cost`.
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


def _attention_products(inputs: List, outputs: List) -> int:
    """Both products of attention, which fvcore has no handler for.

    q is (…, L, d), k (…, S, d) and v (…, S, e): L·S·d and L·S·e each.
    """
    q, k, v = (get_shape(value) for value in inputs[:3])
    batch = 1
    for size in q[:-2]:
        batch *= size
    return batch * q[-2] * k[-2] * (q[-1] + v[-1])
