"""Networks for inference: norms folded into the layers beside them.

What is folded is exact: BatchNorm in eval mode is a factor and a term for
each channel. LayerNorm stays as it is: zeros are padded after it, which its
term must not move, and the fused kernel applies both for nothing. So does
fused attention with the softmax scale.
"""
import copy
import os
import shutil
import sys
import warnings
from typing import Callable

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
# The same for compiled networks, whose layers write less. glibc asks the
# system for every block from 32 MiB up (DEFAULT_MMAP_THRESHOLD_MAX).
COMPILED_GROUP_BYTES = 24 * 2**20


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


def compile_deployed(model: nn.Module) -> Callable:
    """Switch a model to deploy and compile it, for inference.

    On a CPU the compiled model takes a large batch a few images at a time, as
    :data:`COMPILED_GROUP_BYTES` allows.

    Args:
        model (nn.Module): As :func:`switch_to_deploy` takes it, on the device
            that it will run on.

    Returns:
        Callable: Maps (B, 3, H, W) images to the outputs of ``model``:
        tensors, perhaps in tuples or lists. To be called in
        ``torch.inference_mode()``. On a CPU without C++ compiler it is
        ``model`` itself, with a warning.
    """
    from .emo import EMO  # imports this module
    switch_to_deploy(model)
    if next(model.parameters()).device.type != 'cpu':
        return torch.compile(model)
    if not has_cpp_compiler():
        warnings.warn('torch.compile needs a C++ compiler on a CPU: install '
                      'g++ or clang++. Until then the model runs deployed, '
                      'but not compiled.')
        return model
    # Freezing lays the weights out once, which gains a tenth.
    compiled = torch.compile(model, options=dict(freezing=True))
    backbone = next((m for m in model.modules() if isinstance(m, EMO)), None)
    if backbone is None:
        return compiled
    # Maps are widest where stage 1 expands those of the stem, of stride 2.
    expansion = _first_conv(backbone.stages[:2][-1])

    def run(images: Tensor):
        size = images[0, 0].numel() * expansion.out_channels // 4
        group = COMPILED_GROUP_BYTES // (size * images.element_size())
        return _in_parts(compiled, images, group)

    return run


def has_cpp_compiler() -> bool:
    """Whether torch.compile finds what it needs on a CPU."""
    compilers = (os.environ.get('CXX'), 'g++', 'clang++')
    return any(compiler and shutil.which(compiler) for compiler in compilers)


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
    conv = _first_conv(stage)
    size = x[0, 0].numel() * conv.out_channels * x.element_size()
    group = GROUP_BYTES * conv.stride[0] * conv.stride[1] // size
    return _in_parts(stage, x, group)


def _first_conv(module: nn.Module) -> nn.Conv2d:
    return next(m for m in module.modules() if isinstance(m, nn.Conv2d))


def _in_parts(call: Callable, x: Tensor, size: int):
    """``call(x)``, ``size`` samples at a time, at least one."""
    if len(x) <= size:
        return call(x)
    return _concatenate([call(part) for part in x.split(max(1, size))])


def _concatenate(outputs: list):
    """Tensors, or sequences of them, joined along their first dimension."""
    if isinstance(outputs[0], Tensor):
        return torch.cat(outputs)
    return type(outputs[0])(_concatenate(parts) for parts in zip(*outputs))
