"""Replacement of modules by rules."""
from collections.abc import Callable, Mapping

from torch import nn

from ..models.layers import PointwiseConv

Rules = Mapping[type, Callable[..., nn.Module]]


def rewrite(module: nn.Module, rules: Rules) -> nn.Module:
    """Replace modules, in place, by what the rule of their type returns.

    Types are compared exactly, as a subclass may compute another equation. A
    module without a rule stays, and its children are looked at; what a rule
    returns is not looked at again.

    Args:
        module (nn.Module): The root.
        rules (Mapping[type, Callable]): From a type to a function that takes
            a module of it and returns what replaces it.

    Returns:
        nn.Module: ``module``, or what its own rule returned.
    """
    rule = rules.get(type(module))
    if rule is not None:
        return rule(module)
    for name, child in module.named_children():
        setattr(module, name, rewrite(child, rules))
    return module


def as_conv(pointwise: PointwiseConv) -> nn.Conv2d:
    """Return the plain convolution that a PointwiseConv computes."""
    conv = nn.Conv2d(
        pointwise.in_channels,
        pointwise.out_channels,
        1,
        bias=pointwise.bias is not None,
        device='meta')  # nothing to initialise
    conv.weight, conv.bias = pointwise.weight, pointwise.bias
    return conv
