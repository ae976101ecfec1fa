"""A convolution that applies its activation, for inference."""
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# What oneDNN calls an activation, and what computes it elsewhere.
_NAMES = {
    type(None): 'none',
    nn.Identity: 'none',
    nn.SiLU: 'swish',
    nn.GELU: 'gelu'
}
_FUNCTIONS = {
    'none': lambda x: x,
    'swish': lambda x: F.silu(x, inplace=True),
    'gelu': F.gelu,
}


@cache
def onednn_operators() -> tuple[Callable, Callable] | None:
    """Return oneDNN's fused convolution and what lays its weights out.

    Both operators are private ones of torch, which Inductor uses too: where
    torch does not have them, convolutions and activations run one after the
    other.

    Returns:
        tuple[Callable, Callable] | None: None without oneDNN, and on ARM,
        where another library computes convolutions and fuses nothing.
    """
    try:
        operators = torch.ops.mkldnn
        if (not torch.backends.mkldnn.is_available()
                or operators._is_mkldnn_acl_supported()):
            return None
        return (operators._convolution_pointwise.default,
                operators._reorder_convolution_weight.default)
    except AttributeError:
        return None


class FusedConv(nn.Conv2d):
    """A convolution and its activation, for inference.

    On a CPU oneDNN computes both in one pass, from weights that are laid out
    in the first call for each magnitude of the map. Elsewhere this is a
    convolution, and the activation.

    Args:
        conv (nn.Conv2d): Whose parameters are taken over.
        act (nn.Module, optional): An ``nn.SiLU``, ``nn.GELU`` or
            ``nn.Identity``. Defaults to None, none.
    """

    def __init__(self, conv: nn.Conv2d, act: nn.Module | None = None):
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
        self._packed: dict[int, Tensor] = {}

    @staticmethod
    def fuses(act: nn.Module) -> bool:
        """Tell whether ``act`` is an activation that can be applied."""
        exact = getattr(act, 'approximate', 'none') == 'none'
        return type(act) in _NAMES and exact

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H', W')."""
        operators = onednn_operators() if self._suits_onednn(x) else None
        if operators is None:
            return _FUNCTIONS[self.act](self._plain(x))
        convolve, reorder = operators
        return convolve(x, self._pack(x, reorder), self.bias, self.padding,
                        self.stride, self.dilation, self.groups, self.act, [],
                        'none')

    def _plain(self, x: Tensor) -> Tensor:
        if self.kernel_size != (1, 1) or is_recorded():
            return super().forward(x)
        # As models.layers.PointwiseConv.
        x = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return x.permute(0, 3, 1, 2)

    def _pack(self, x: Tensor, reorder: Callable) -> Tensor:
        """Return the weights as oneDNN wants them for maps of this magnitude.

        Those for 512 x 512 images make images of 64 x 64 take twice the time.
        """
        magnitude = (x.numel() // self.in_channels).bit_length()
        if magnitude not in self._packed:
            self._packed[magnitude] = reorder(self.weight, self.padding,
                                              self.stride, self.dilation,
                                              self.groups, x.shape)
        return self._packed[magnitude]

    def _suits_onednn(self, x: Tensor) -> bool:
        # The operator has no gradient, and no rule for autocast.
        return (not is_recorded() and x.device.type == 'cpu'
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


def is_recorded() -> bool:
    """Tell whether a compiler or an exporter records the forward pass."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()
