"""The Meta Mobile Block and its instance in EMO, the iRMB.

Source of all equations: "Rethinking Mobile Block for Efficient
Attention-based Models", ICCV 2023 (https://arxiv.org/abs/2301.01146).
"""
import math
from collections import OrderedDict
from typing import Callable, Optional

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import (DropPath, PointwiseConv, SqueezeExcite, is_exported,
                     is_recorded)

NormLayer = Callable[[int], nn.Module]


class MetaMobileBlock(nn.Module):
    """One residual around ``MLP_e``, an efficient operator F and ``MLP_s``.

    ``X_e = MLP_e(norm(X))``, C to λC channels; ``X_f = F(X_e)``;
    ``X_s = MLP_s(X_f)``, λC to C channels; ``Y = X + X_s`` (Eq. 1 to 3).

    F = identity gives the FFN of a Transformer, F = depth-wise convolution
    the inverted residual block, F = self-attention with λ = 1 the MHSA: see
    :mod:`emo_mm.models.instances`.

    Args:
        in_channels (int): C of the input.
        out_channels (int): C of the output.
        exp_ratio (float): Expansion ratio λ.
        operator (Callable[[int], nn.Module]): Builds F for λC channels. F
            maps (B, λC, H, W) to (B, λC, H', W').
        norm (nn.Module, optional): Normalises the input of ``MLP_e``.
            Defaults to None.
        mlp_e (nn.Module, optional): Replaces the 1x1 convolution with bias
            and ``act_layer`` that expands C to λC. Defaults to None.
        act_layer (Callable[[], nn.Module]): Activation of ``MLP_e``.
            Defaults to ``nn.SiLU``.
        mlp_s (nn.Module, optional): Replaces the 1x1 convolution without
            bias that shrinks λC to C_out. Defaults to None.
        drop_path_rate (float): Probability of dropping the block's branch.
            Defaults to 0.
        skip (bool, optional): Whether X is added. Defaults to None, which
            means "where C stays".
    """

    deployed = False  # see emo_mm.models.deploy

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 exp_ratio: float,
                 operator: Callable[[int], nn.Module],
                 norm: Optional[nn.Module] = None,
                 mlp_e: Optional[nn.Module] = None,
                 act_layer: Callable[[], nn.Module] = nn.SiLU,
                 mlp_s: Optional[nn.Module] = None,
                 drop_path_rate: float = 0.,
                 skip: Optional[bool] = None):
        super().__init__()
        mid_channels = int(in_channels * exp_ratio)
        if mlp_e is None:
            mlp_e = expansion(in_channels, mid_channels, act_layer)
        if mlp_s is None:
            mlp_s = PointwiseConv(mid_channels, out_channels, bias=False)
        self.skip = in_channels == out_channels if skip is None else skip
        self.norm = nn.Identity() if norm is None else norm
        self.mlp_e = mlp_e
        self.operator = operator(mid_channels)
        self.mlp_s = mlp_s
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, C_out, H', W')."""
        y = self.mlp_s(self.operator(self.mlp_e(self.norm(x))))
        if not self.skip:
            return y
        return y.add_(x) if self.deployed else x + self.drop_path(y)


def expansion(in_channels: int,
              mid_channels: int,
              act_layer: Callable[[], nn.Module],
              attn: Optional[nn.Module] = None) -> nn.Sequential:
    """``MLP_e``: a 1x1 convolution with bias and an activation.

    Args:
        in_channels (int): C.
        mid_channels (int): λC.
        act_layer (Callable[[], nn.Module]): Builds the activation.
        attn (nn.Module, optional): Attention that mixes the C channels'
            tokens first, see :class:`EWMHSA`. Defaults to None.
    """
    layers = OrderedDict() if attn is None else OrderedDict(attn=attn)
    layers['conv'] = PointwiseConv(in_channels, mid_channels)
    layers['act'] = act_layer()
    return nn.Sequential(layers)


def window_partition(x: Tensor, window_size: int) -> Tensor:
    """Split a map into windows that each span the whole of it.

    Unlike Swin's, a window is a strided grid: with n = H / w, row i of window
    k is row ``i * n + k`` of the map. Exported reshapes have rank 4 at most,
    which mobile runtimes ask for. Elsewhere one copy does.

    Args:
        x (Tensor): (B, H, W, C), H and W multiples of ``window_size`` w.

    Returns:
        Tensor: Tokens of each window, (B * H/w * W/w, w * w, C).
    """
    B, H, W, C = x.shape
    w, n1, n2 = window_size, H // window_size, W // window_size
    if is_exported():
        x = x.reshape(B, w, n1, W * C).permute(0, 2, 1, 3)
        x = x.reshape(B * n1, w * w, n2, C).permute(0, 2, 1, 3)
    else:
        x = x.reshape(B, w, n1, w, n2, C).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(B * n1 * n2, w * w, C)


def window_reverse(tokens: Tensor, window_size: int, H: int, W: int) -> Tensor:
    """Inverse of :func:`window_partition`.

    Args:
        tokens (Tensor): (B * H/w * W/w, w * w, C).

    Returns:
        Tensor: (B, H, W, C).
    """
    C = tokens.shape[-1]
    w, n1, n2 = window_size, H // window_size, W // window_size
    if is_exported():
        x = tokens.reshape(-1, n2, w * w, C).permute(0, 2, 1, 3)
        x = x.reshape(-1, n1, w, W * C).permute(0, 2, 1, 3)
    else:
        x = tokens.reshape(-1, n1, n2, w, w, C).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(-1, H, W, C)


class EWMHSA(nn.Module):
    """Attention of EW-MHSA, applied to the map before its expansion.

    The paper's EW-MHSA (Eq. 4) takes q and k from the C channels of the block
    and v from the λC expanded ones. Mixing tokens commutes with a per-token
    linear layer, so the published network mixes the C channels and expands
    the result: ``v(A x)`` in place of ``A v(x)``, at 1/λ of the cost. The
    layer v is the ``MLP_e`` that follows this module.

    There is no mask: where the map is padded to a multiple of the window,
    padded tokens serve as keys, as in the published network.

    Args:
        channels (int): C.
        head_dim (int): Channels of a head; C / head_dim heads.
        window_size (int): Width w of a window. Defaults to 7.
        attn_drop_rate (float): Dropout on A. Defaults to 0.
    """

    def __init__(self,
                 channels: int,
                 head_dim: int,
                 window_size: int = 7,
                 attn_drop_rate: float = 0.):
        super().__init__()
        self.head_dim = head_dim
        self.window_size = window_size
        self.attn_drop_rate = attn_drop_rate
        self.qk = nn.Linear(channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        H, W = x.shape[2:]
        w = self.window_size
        # Rounded up by a division: with a modulo, torch.compile spends
        # minutes on the arithmetic of symbolic sizes.
        padded_H, padded_W = (H + w - 1) // w * w, (W + w - 1) // w * w
        x = x.permute(0, 2, 3, 1)
        # A recorded graph has to hold for other sizes.
        if is_recorded() or padded_H != H or padded_W != W:
            x = F.pad(x, (0, 0, 0, padded_W - W, 0, padded_H - H))
        tokens = self._attend(window_partition(x, w))
        x = window_reverse(tokens, w, padded_H, padded_W)
        return x[:, :H, :W].permute(0, 3, 1, 2)

    def _attend(self, tokens: Tensor) -> Tensor:
        """Multi-head attention within windows of (N, w * w, C) tokens."""
        q, k = self.qk(tokens).chunk(2, dim=-1)
        q, k, v = (self._split_heads(t) for t in (q, k, tokens))
        # The default scale is head_dim ** -0.5.
        tokens = F.scaled_dot_product_attention(
            q, k, v, dropout_p=self.attn_drop_rate if self.training else 0.)
        return tokens.transpose(1, 2).flatten(2)

    def _split_heads(self, tokens: Tensor) -> Tensor:
        """(N, L, C) to (N, heads, L, head_dim)."""
        return tokens.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def extra_repr(self) -> str:
        return f'head_dim={self.head_dim}, window_size={self.window_size}'


class LocalConv(nn.Module):
    """Depth-wise convolution, BatchNorm, SiLU, and a skip where asked for.

    Args:
        channels (int): λC.
        kernel_size (int): k.
        stride (int): Defaults to 1.
        norm_layer (Callable[[int], nn.Module]): Builds the norm.
        skip (bool): Whether the input is added. Defaults to False.
        use_se (bool): Whether squeeze-and-excitation follows. Defaults to
            False.
    """

    deployed = False  # see emo_mm.models.deploy

    def __init__(self,
                 channels: int,
                 kernel_size: int,
                 norm_layer: NormLayer,
                 stride: int = 1,
                 skip: bool = False,
                 use_se: bool = False):
        super().__init__()
        self.skip = skip
        self.conv = nn.Conv2d(
            channels,
            channels,
            kernel_size,
            stride,
            padding=math.ceil((kernel_size - stride) / 2),
            groups=channels,
            bias=False)
        self.norm = norm_layer(channels)
        self.act = nn.SiLU()
        self.se = SqueezeExcite(channels) if use_se else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm(self.conv(x)))
        if self.skip:
            y = y.add_(x) if self.deployed else x + y
        return self.se(y)


class iRMB(MetaMobileBlock):
    """Inverted Residual Mobile Block: F = (DW-Conv with skip) ∘ EW-MHSA.

    Without attention F is the depth-wise convolution alone.

    Args:
        in_channels (int): C of the input.
        out_channels (int): C of the output.
        exp_ratio (float): Expansion ratio λ.
        norm (nn.Module): Normalises the input.
        norm_layer (Callable[[int], nn.Module]): Builds the norm that follows
            the depth-wise convolution.
        act_layer (Callable[[], nn.Module]): Activation of the expansion.
        kernel_size (int): Kernel of the depth-wise convolution.
        stride (int): Stride of the depth-wise convolution. Defaults to 1.
        attn (nn.Module, optional): An :class:`EWMHSA`. Defaults to None.
        drop_path_rate (float): Defaults to 0.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 exp_ratio: float,
                 norm: nn.Module,
                 norm_layer: NormLayer,
                 act_layer: Callable[[], nn.Module],
                 kernel_size: int,
                 stride: int = 1,
                 attn: Optional[nn.Module] = None,
                 drop_path_rate: float = 0.):
        skip = in_channels == out_channels and stride == 1
        super().__init__(
            in_channels,
            out_channels,
            exp_ratio,
            operator=lambda channels: LocalConv(
                channels, kernel_size, norm_layer, stride, skip=skip),
            norm=norm,
            mlp_e=expansion(in_channels, int(in_channels * exp_ratio),
                            act_layer, attn),
            drop_path_rate=drop_path_rate,
            skip=skip)
