"""DeiT with iRMB in place of its Transformer blocks (Tab. 3).

Everything but the blocks is mmpretrain's VisionTransformer. Importing that
takes seconds, so a config names this module in ``custom_imports``.

The paper prints the cost of the network and no more. What fits it: attention
among all tokens, before the expansion; a DW-Conv of 3 x 3; and the class
token stays, takes part in attention and linear layers, and passes by the
DW-Conv.
"""
import math
from functools import partial

import torch
from mmengine.registry import MODELS
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor, nn

from ..emo import EWMHSA, DWConv, iRMB
from ..layers import LayerNorm2d

_layer_norm = partial(LayerNorm2d, eps=1e-6)
_batch_norm = partial(nn.BatchNorm2d, eps=1e-6)


class TokenMHSA(EWMHSA):
    """Attention among all tokens, class token included."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, N, 1) to the same shape."""
        tokens = self.attend(x.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).unsqueeze(3)


class PatchConv(DWConv):
    """DW-Conv over the map of the patch tokens; the class token passes."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, λC, 1 + H * W, 1) to the same shape, H = W."""
        cls_token, patches = x[:, :, :1], x[:, :, 1:]
        side = math.isqrt(patches.shape[2])
        patches = super().forward(patches.reshape(*x.shape[:2], side, -1))
        return torch.cat([cls_token, patches.flatten(2).unsqueeze(3)], 2)


class TokeniRMB(iRMB):
    """iRMB on a sequence of a class token and a square map's patch tokens.

    Args:
        channels (int): C.
        num_heads (int): Heads of the attention.
        exp_ratio (float): Expansion ratio λ. Defaults to 4.
        drop_path_rate (float): Defaults to 0.
    """

    def __init__(self,
                 channels: int,
                 num_heads: int,
                 exp_ratio: float = 4,
                 drop_path_rate: float = 0.):
        super().__init__(
            channels,
            channels,
            exp_ratio,
            norm=_layer_norm(channels),
            norm_layer=_batch_norm,
            act_layer=nn.GELU,
            kernel_size=3,
            attn=TokenMHSA(channels, channels // num_heads),
            drop_path_rate=drop_path_rate)
        self.dw_conv = PatchConv(
            int(channels * exp_ratio), 3, _batch_norm, skip=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, C) to the same shape."""
        x = super().forward(tokens.transpose(1, 2).unsqueeze(3))
        return x.flatten(2).transpose(1, 2)


@MODELS.register_module()
class iRMBVisionTransformer(VisionTransformer):
    """mmpretrain's VisionTransformer with iRMBs for layers, for square images.

    Its arguments are those of the base class. λ is
    ``feedforward_channels / embed_dims`` of the arch: 4 for DeiT-Tiny.
    """

    def __init__(self, *args, drop_path_rate: float = 0., **kwargs):
        super().__init__(*args, **kwargs)
        channels = self.embed_dims
        rates = torch.linspace(0, drop_path_rate, self.num_layers).tolist()
        for i, rate in enumerate(rates):
            self.layers[i] = TokeniRMB(
                channels,
                self.arch_settings['num_heads'],
                self.arch_settings['feedforward_channels'] / channels,
                drop_path_rate=rate)

    def forward(self, x: Tensor) -> tuple:
        """Map (B, 3, S, S) to what ``out_type`` names."""
        if x.shape[2] != x.shape[3]:
            raise ValueError(f'input of {x.shape[2]} x {x.shape[3]}: '
                             'iRMBVisionTransformer takes square images.')
        return super().forward(x)
