"""Networks for inference: norms folded into the layers beside them.

What is folded is exact: BatchNorm in eval mode is a factor and a term for
each channel. LayerNorm stays as it is: zeros are padded after it, which its
term must not move, and the fused kernel applies both for nothing. So does
fused attention with the softmax scale.
"""
import copy
import sys

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .layers import PointwiseConv
from .meta_mobile_block import LocalConv, MetaMobileBlock

# Samples pass a stage in groups whose widest map is no larger: it stays in
# cache, and malloc gives the same memory again where it would ask the system
# for blank pages, which can cost more than the arithmetic.
GROUP_BYTES = 8 * 2**20


def switch_to_deploy(model: nn.Module) -> nn.Module:
    """Fold what can be folded in a whole model, in place.

    Every part that has a ``switch_to_deploy`` is switched (EMO, and
    mmpretrain's re-parameterised backbones), and the BatchNorm of every other
    ``mmcv.cnn.ConvModule`` is folded into its convolution.

    Args:
        model (nn.Module): A backbone, classifier, detector or segmenter, with
            its weights loaded.

    Returns:
        nn.Module: ``model``, in eval mode and without gradients.
    """
    model.eval().requires_grad_(False)
    _switch(model)
    return model


def _switch(module: nn.Module) -> None:
    # A model with such modules has imported mmcv, which is optional and slow.
    conv_module = getattr(sys.modules.get('mmcv.cnn'), 'ConvModule', ())
    if hasattr(module, 'switch_to_deploy'):
        module.switch_to_deploy()
    elif isinstance(module, conv_module):
        _fold_conv_module(module)
    else:
        for child in module.children():
            _switch(child)


def _fold_conv_module(module: nn.Module) -> None:
    order = ''.join(module.order)
    if (isinstance(module.norm, _BatchNorm) and type(module.conv) is nn.Conv2d
            and 'convnorm' in order):
        module.conv = fold_into_previous(module.conv, module.norm)
        setattr(module, module.norm_name, nn.Identity())


def fold_blocks(model: nn.Module) -> None:
    """Fold the norms of every block, and let it reuse memory, in place."""
    for module in model.modules():
        if isinstance(module, MetaMobileBlock):
            _fold_block(module)
        elif isinstance(module, LocalConv):
            _fold_local_conv(module)


def _fold_block(block: MetaMobileBlock) -> None:
    block.deployed = True
    # Attention takes the norm's output too, and so may a block that computes
    # another equation.
    expands = (
        type(block).forward is MetaMobileBlock.forward
        and isinstance(block.mlp_e, nn.Sequential)
        and isinstance(block.mlp_e[0], PointwiseConv))
    if expands and isinstance(block.norm, _BatchNorm):
        block.mlp_e[0] = fold_into_next(block.norm, block.mlp_e[0])
        block.norm = nn.Identity()
    for module in block.modules():
        if isinstance(module, nn.SiLU):
            module.inplace = True


def _fold_local_conv(local: LocalConv) -> None:
    local.deployed = True
    if isinstance(local.norm, _BatchNorm):
        local.conv = fold_into_previous(local.conv, local.norm)
        local.norm = nn.Identity()


def fold_into_previous(conv: nn.Conv2d, norm: _BatchNorm) -> nn.Conv2d:
    """A convolution that computes ``norm(conv(x))``."""
    return fuse_conv_bn_eval(conv.eval(), norm.eval()).requires_grad_(False)


def fold_into_next(norm: _BatchNorm, conv: nn.Conv2d) -> nn.Conv2d:
    """A 1x1 convolution that computes ``conv(norm(x))``."""
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    bias = conv.weight.flatten(1) @ shift
    if conv.bias is not None:
        bias = bias + conv.bias
    fused = copy.deepcopy(conv)
    fused.weight = nn.Parameter(conv.weight * scale[:, None, None], False)
    fused.bias = nn.Parameter(bias, False)
    return fused


def in_groups(stage: nn.Module, x: Tensor) -> Tensor:
    """``stage(x)``, as many samples at a time as :data:`GROUP_BYTES` allows.

    Args:
        stage (nn.Module): Its first convolution makes its widest map, as the
            expansion of a stage's first block does.
        x (Tensor): (B, C, H, W).
    """
    conv = next(m for m in stage.modules() if isinstance(m, nn.Conv2d))
    size = x[0, 0].numel() * conv.out_channels * x.element_size()
    group = max(1, GROUP_BYTES * conv.stride[0] * conv.stride[1] // size)
    if len(x) <= group:
        return stage(x)
    return torch.cat([stage(part) for part in x.split(group)])
