"""Compiled code of the fast form."""
import math
import os
import shutil
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..models.emo import EMO
from .fast import concatenate, first_conv, switch_to_deploy

# Images pass a compiled network in groups whose widest map is no larger, as
# in emo_mm.inference.fast, but through all stages at once.
COMPILED_GROUP_BYTES = 20 * 2**20


def compile_deployed(model: nn.Module) -> Callable:
    """Switch a model to deploy and compile it, for inference.

    On a CPU each size of images has code of its own, which holds the weights:
    later changes of them do not reach it. From the ninth size on
    (``torch._dynamo.config.recompile_limit``) the model runs deployed. For
    images of many sizes, ``torch.compile(model)`` after
    :func:`emo_mm.inference.switch_to_deploy` makes one code, a little slower.
    A large batch is taken a few images at a time, as
    :data:`COMPILED_GROUP_BYTES` allows.

    Args:
        model (nn.Module): As :func:`emo_mm.inference.switch_to_deploy` takes
            it, on the device that it will run on.

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
        warnings.warn(
            'torch.compile needs a C++ compiler on a CPU: install g++ or '
            'clang++. Until then the model runs deployed, but not compiled.',
            stacklevel=2)
        return model
    from torch._inductor import config as inductor_config  # slow to import

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
            return _in_equal_groups(compiled, images,
                                    _group_size(backbone, images))

    return run


def has_cpp_compiler() -> bool:
    """Tell whether torch.compile finds what it needs on a CPU."""
    compilers = (os.environ.get('CXX'), 'g++', 'clang++')
    return any(compiler and shutil.which(compiler) for compiler in compilers)


def _group_size(backbone: EMO, images: Tensor) -> int:
    """Return how many images a compiled network takes at a time."""
    # Maps are widest where stage 1 expands those of the stem, of stride 2.
    channels = first_conv(backbone.stages[:2][-1]).out_channels
    size = images[0, 0].numel() // 4 * channels * images.element_size()
    return max(1, COMPILED_GROUP_BYTES // size)


def _in_equal_groups(call: Callable, x: Tensor, size: int):
    """Compute ``call(x)`` in groups of one size, at most ``size`` samples.

    A compiled call has code of its own for each number of samples, so the
    last group is filled up with samples that are dropped again.
    """
    groups = math.ceil(len(x) / size)
    if groups == 1:
        return call(x)
    size = math.ceil(len(x) / groups)
    filled = torch.cat([x, x[:groups * size - len(x)]])
    outputs = [call(group) for group in filled.split(size)]
    return concatenate(outputs, len(x))
