"""The operators of ``mmcv._ext`` on torchvision and torch.

mmcv-lite is mmcv without the compiled module ``mmcv._ext``, so importing
``mmcv.ops`` fails, and with it mmdet and mmseg. This package replaces that
module: it has the operators that common detectors and segmenters call, with
the names, signatures and semantics that ``mmcv.ops`` 2.x expects. It runs on
every device that torchvision's operators run on.

Any other operator can be looked up, since mmcv checks at import that all of
its operators exist, but not called.
"""
from collections.abc import Callable
from typing import NoReturn

from .boxes import bbox_overlaps, nms, nms_match, softnms
from .deformable import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
    ms_deform_attn_backward,
    ms_deform_attn_forward,
)
from .focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from .info import get_compiler_version, get_compiling_cuda_version
from .roi import (
    roi_align_backward,
    roi_align_forward,
    roi_pool_backward,
    roi_pool_forward,
)

__all__ = [
    'bbox_overlaps', 'deform_conv_backward_input',
    'deform_conv_backward_parameters', 'deform_conv_forward',
    'get_compiler_version', 'get_compiling_cuda_version',
    'modulated_deform_conv_backward', 'modulated_deform_conv_forward',
    'ms_deform_attn_backward', 'ms_deform_attn_forward', 'nms', 'nms_match',
    'roi_align_backward', 'roi_align_forward', 'roi_pool_backward',
    'roi_pool_forward', 'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward', 'softmax_focal_loss_backward',
    'softmax_focal_loss_forward', 'softnms'
]


def __getattr__(name: str) -> Callable[..., NoReturn]:
    """Return a function that raises, for an operator that is not here.

    Python itself looks up names such as ``__path__`` or ``__wrapped__`` on
    modules and must learn that they do not exist.
    """
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def missing(*args, **kwargs) -> NoReturn:
        raise NotImplementedError(
            f'operator {name!r} is not among those that emo_mm supplies in '
            "place of mmcv's compiled operators; install the full mmcv: "
            'pip uninstall mmcv-lite && pip install "mmcv>=2.0.0rc4,<2.2.0" '
            '(compiles C++; needs a compiler)')

    missing.__name__ = missing.__qualname__ = name
    return missing
