"""Known blocks as instances of the Meta Mobile Block.

Each is a choice of the expansion ratio λ, the operator F and what normalises.
With the weights of the original block, each computes what that computes.
"""
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import LayerNorm2d
from .meta_mobile_block import MetaMobileBlock


class IRB(MetaMobileBlock):
    """Inverted residual block of MobileNetV2: F = depth-wise convolution.

    "MobileNetV2: Inverted Residuals and Linear Bottlenecks"
    (https://arxiv.org/abs/1801.04381). Every convolution is followed by a
    norm, all but the last by an activation too; with λ = 1 there is no
    ``MLP_e``.

    Args:
        in_channels (int): C of the input.
        out_channels (int): C of the output.
        exp_ratio (float): Expansion ratio λ. Defaults to 6.
        stride (int): Of the depth-wise convolution. Defaults to 1.
        kernel_size (int): Of the depth-wise convolution. Defaults to 3.
        norm_layer (Callable[[int], nn.Module]): Builds the norms. Defaults to
            ``nn.BatchNorm2d``.
        act_layer (Callable[[], nn.Module]): Builds the activations. Defaults
            to ``nn.ReLU6``.
        drop_path_rate (float): Defaults to 0.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 exp_ratio: float = 6,
                 stride: int = 1,
                 kernel_size: int = 3,
                 norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d,
                 act_layer: Callable[[], nn.Module] = nn.ReLU6,
                 drop_path_rate: float = 0.):
        mid_channels = int(in_channels * exp_ratio)
        mlp_e = nn.Identity()
        if exp_ratio != 1:
            mlp_e = nn.Sequential(
                nn.Conv2d(in_channels, mid_channels, 1, bias=False),
                norm_layer(mid_channels), act_layer())
        super().__init__(
            in_channels,
            out_channels,
            exp_ratio,
            operator=lambda channels: nn.Sequential(
                nn.Conv2d(
                    channels,
                    channels,
                    kernel_size,
                    stride,
                    padding=kernel_size // 2,
                    groups=channels,
                    bias=False), norm_layer(channels), act_layer()),
            mlp_e=mlp_e,
            mlp_s=nn.Sequential(
                nn.Conv2d(mid_channels, out_channels, 1, bias=False),
                norm_layer(out_channels)),
            drop_path_rate=drop_path_rate,
            skip=stride == 1 and in_channels == out_channels)


class FFN(MetaMobileBlock):
    """Feed-forward half of a pre-norm Transformer layer: F = identity.

    Args:
        channels (int): C.
        exp_ratio (float): Expansion ratio λ. Defaults to 4.
        act_layer (Callable[[], nn.Module]): Builds the activation. Defaults
            to ``nn.GELU``.
        norm_eps (float): Of the LayerNorm. Defaults to 1e-5.
        drop_path_rate (float): Defaults to 0.
    """

    def __init__(self,
                 channels: int,
                 exp_ratio: float = 4,
                 act_layer: Callable[[], nn.Module] = nn.GELU,
                 norm_eps: float = 1e-5,
                 drop_path_rate: float = 0.):
        super().__init__(
            channels,
            channels,
            exp_ratio,
            operator=lambda mid_channels: nn.Identity(),
            norm=LayerNorm2d(channels, eps=norm_eps),
            act_layer=act_layer,
            mlp_s=nn.Conv2d(int(channels * exp_ratio), channels, 1),
            drop_path_rate=drop_path_rate)


class MHSA(MetaMobileBlock):
    """Attention half of a pre-norm Transformer layer: F = self-attention.

    λ = 1 and ``MLP_e`` is the identity; ``MLP_s`` is the output projection.

    Args:
        channels (int): C.
        num_heads (int): Number of heads.
        norm_eps (float): Of the LayerNorm. Defaults to 1e-5.
        attn_drop_rate (float): Dropout on A. Defaults to 0.
        drop_path_rate (float): Defaults to 0.
    """

    def __init__(self,
                 channels: int,
                 num_heads: int,
                 norm_eps: float = 1e-5,
                 attn_drop_rate: float = 0.,
                 drop_path_rate: float = 0.):
        super().__init__(
            channels,
            channels,
            exp_ratio=1,
            operator=lambda mid_channels: SelfAttention(
                mid_channels, num_heads, attn_drop_rate),
            norm=LayerNorm2d(channels, eps=norm_eps),
            mlp_e=nn.Identity(),
            mlp_s=nn.Conv2d(channels, channels, 1),
            drop_path_rate=drop_path_rate)


class SelfAttention(nn.Module):
    """Multi-head attention among all positions, without output projection.

    Args:
        channels (int): C.
        num_heads (int): Number of heads.
        attn_drop_rate (float): Dropout on A. Defaults to 0.

    Raises:
        ValueError: If the heads do not divide the channels.
    """

    def __init__(self,
                 channels: int,
                 num_heads: int,
                 attn_drop_rate: float = 0.):
        super().__init__()
        if channels % num_heads:
            raise ValueError(f'num_heads={num_heads} must divide the '
                             f'{channels} channels.')
        self.num_heads = num_heads
        self.attn_drop_rate = attn_drop_rate
        self.qkv = nn.Linear(channels, 3 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        tokens = self.qkv(x.flatten(2).transpose(1, 2))
        q, k, v = tokens.unflatten(-1, (3, self.num_heads, -1)).unbind(2)
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(
            q, k, v, dropout_p=self.attn_drop_rate if self.training else 0.)
        return y.transpose(2, 3).reshape(x.shape)
