"""A convolution that applies its activation, for inference."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import PointwiseConv, is_recorded

# What oneDNN calls an activation, and what computes it elsewhere.
_NAMES = {type(None): 'none', nn.SiLU: 'swish', nn.GELU: 'gelu'}
_FUNCTIONS = {
    'none': lambda x: x,
    'swish': lambda x: F.silu(x, inplace=True),
    'gelu': F.gelu,
}

# On ARM its convolutions are those of another library, which fuses nothing.
_HAS_ONEDNN = (
    torch.backends.mkldnn.is_available()
    and not torch.ops.mkldnn._is_mkldnn_acl_supported())


class FusedConv(nn.Conv2d):
    """A convolution and its activation, for inference.

    On a CPU oneDNN computes both in one pass, from weights that are laid out
    in the first call for each magnitude of the map: torch.compile uses the
    same operator. Elsewhere this is a convolution, and the activation.

    Args:
        conv (nn.Conv2d): Whose parameters it takes over.
        act (nn.Module, optional): An ``nn.SiLU`` or ``nn.GELU``. Defaults to
            None.
    """

    def __init__(self, conv: nn.Conv2d, act: Optional[nn.Module] = None):
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
            bias=conv.bias is not None,
            device='meta')  # nothing to initialise
        self.weight, self.bias = conv.weight, conv.bias
        self.act = _NAMES[type(act)]
        self._packed = {}

    @staticmethod
    def fuses(act: nn.Module) -> bool:
        """Whether ``act`` is an activation that can be applied on the way."""
        exact = getattr(act, 'approximate', 'none') == 'none'
        return type(act) in _NAMES and exact

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, C_out, H', W')."""
        if not self._runs_in_onednn(x):
            conv = PointwiseConv if self.kernel_size == (1, 1) else nn.Conv2d
            return _FUNCTIONS[self.act](conv.forward(self, x))
        return torch.ops.mkldnn._convolution_pointwise(
            x, self._pack(x), self.bias, self.padding, self.stride,
            self.dilation, self.groups, self.act, [], 'none')

    def _pack(self, x: Tensor) -> Tensor:
        """The weights as oneDNN wants them for maps of about this size: those
        for 512 x 512 images make images of 64 x 64 take twice the time."""
        magnitude = (x.numel() // self.in_channels).bit_length()
        if magnitude not in self._packed:
            pack = torch.ops.mkldnn._reorder_convolution_weight
            self._packed[magnitude] = pack(self.weight, self.padding,
                                           self.stride, self.dilation,
                                           self.groups, x.shape)
        return self._packed[magnitude]

    def _runs_in_onednn(self, x: Tensor) -> bool:
        # The operator has no gradient, and no rule for autocast.
        return (_HAS_ONEDNN and not is_recorded() and x.device.type == 'cpu'
                and x.dtype is torch.float32
                and self.weight.dtype is torch.float32
                and not torch.is_autocast_enabled('cpu')
                and not (x.requires_grad and torch.is_grad_enabled()))

    # What is laid out belongs to the weights of one time and device, and
    # cannot be copied.
    def _apply(self, *args, **kwargs):
        self._packed = {}
        return super()._apply(*args, **kwargs)

    def _load_from_state_dict(self, *args, **kwargs):
        self._packed = {}
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self):
        return dict(self.__dict__, _packed={})

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, act={self.act}'
