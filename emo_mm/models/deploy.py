"""Networks for inference: norms and activations folded into convolutions.

What is folded is exact: BatchNorm in eval mode is a factor and a term for
each channel. LayerNorm stays as it is: zeros are padded after it, which its
term must not move, and the fused kernel applies both for nothing. So does
fused attention with the softmax scale.
"""
import copy
import math
import os
import shutil
import sys
import warnings
from typing import Callable, Optional

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .fused_conv import FusedConv
from .layers import PointwiseConv, SqueezeExcite
from .meta_mobile_block import LocalConv, MetaMobileBlock

# Samples pass a stage in groups whose widest map is no larger: it stays in
# cache, and malloc gives the same memory again where it would ask the system
# for blank pages, which can cost more than the arithmetic.
GROUP_BYTES = 8 * 2**20
# The same for compiled networks, which take a batch through all stages.
COMPILED_GROUP_BYTES = 20 * 2**20


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

    On a CPU each size of images has code of its own, which holds the weights:
    later changes of them do not reach it. From the ninth size on
    (``torch._dynamo.config.recompile_limit``) the model runs deployed. For
    images of many sizes, ``torch.compile(model)`` after
    :func:`switch_to_deploy` makes one code, a little slower. A large batch is
    taken a few images at a time, as :data:`COMPILED_GROUP_BYTES` allows.

    Args:
        model (nn.Module): As :func:`switch_to_deploy` takes it, on the device
            that it will run on.

    Returns:
        Callable: Maps (B, 3, H, W) images to the outputs of ``model``:
        tensors, perhaps in tuples or lists. To be called in
        ``torch.inference_mode()``. On a CPU without C++ compiler it is
        ``model`` itself, with a warning.
    """
    switch_to_deploy(model)
    if next(model.parameters()).device.type != 'cpu':
        return torch.compile(model)
    if not has_cpp_compiler():
        warnings.warn('torch.compile needs a C++ compiler on a CPU: install '
                      'g++ or clang++. Until then the model runs deployed, '
                      'but not compiled.')
        return model
    from torch._inductor import config as inductor_config  # slow to import

    from .emo import EMO  # imports this module

    # Frozen code for all sizes computed wrong maps with torch 2.11: stages 3
    # and 4, after images of 224 x 224, for 320 x 256. The wrapper in C++
    # calls the kernels without Python in between.
    compiled = torch.compile(
        model, dynamic=False, options=dict(cpp_wrapper=True))
    backbone = next((m for m in model.modules() if isinstance(m, EMO)), None)

    def run(images: Tensor):
        # Freezing lays the weights out once, and lets convolutions apply the
        # activation after them. Among ``options`` it would have no effect:
        # who records the graph asks the global setting, on every new size.
        with inductor_config.patch(freezing=True):
            if backbone is None:
                return compiled(images)
            return _in_equal_parts(compiled, images,
                                   _compiled_group(backbone, images))

    return run


def _compiled_group(backbone: nn.Module, images: Tensor) -> int:
    """Images that a compiled network takes at a time."""
    # Maps are widest where stage 1 expands those of the stem, of stride 2.
    channels = _first_conv(backbone.stages[:2][-1]).out_channels
    size = images[0, 0].numel() // 4 * channels * images.element_size()
    return max(1, COMPILED_GROUP_BYTES // size)


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
        elif isinstance(module, SqueezeExcite):
            module.deployed = True


def _fold_block(block: MetaMobileBlock) -> None:
    block.deployed = True
    mlp_e, mlp_s = block.mlp_e, block.mlp_s
    if isinstance(mlp_e, nn.Sequential):
        # Attention takes the norm's output too, and so may a block that
        # computes another equation.
        expands = (
            type(block).forward is MetaMobileBlock.forward
            and isinstance(mlp_e[0], PointwiseConv))
        if expands and isinstance(block.norm, _BatchNorm):
            mlp_e[0] = fold_into_next(block.norm, mlp_e[0])
            block.norm = nn.Identity()
        _fuse_act(mlp_e)
    if isinstance(mlp_s, PointwiseConv):
        block.mlp_s = FusedConv(mlp_s)


def _fold_local_conv(local: LocalConv) -> None:
    local.deployed = True
    if isinstance(local.norm, _BatchNorm):
        local.conv = fold_into_previous(local.conv, local.norm)
        local.norm = nn.Identity()
    if isinstance(local.norm, nn.Identity):
        _fuse_act(local)


def _fuse_act(module: nn.Module) -> None:
    """Let ``module.conv`` apply ``module.act``."""
    conv, act = getattr(module, 'conv', None), getattr(module, 'act', None)
    if isinstance(conv, nn.Conv2d) and FusedConv.fuses(act):
        module.conv, module.act = FusedConv(conv, act), nn.Identity()


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


def _in_equal_parts(call: Callable, x: Tensor, size: int):
    """``call(x)``, at most ``size`` samples at a time, as many each time: a
    compiled call has code of its own for each number."""
    parts = math.ceil(len(x) / size)
    if parts == 1:
        return call(x)
    size = math.ceil(len(x) / parts)
    filled = torch.cat([x, x[:parts * size - len(x)]])
    outputs = [call(part) for part in filled.split(size)]
    return _concatenate(outputs, len(x))


def _concatenate(outputs: list, length: Optional[int] = None):
    """Tensors, or sequences of them, joined along their first dimension.

    ``length`` cuts what they are joined to.
    """
    if isinstance(outputs[0], Tensor):
        return torch.cat(outputs)[:length]
    return type(outputs[0])(
        _concatenate(parts, length) for parts in zip(*outputs))
