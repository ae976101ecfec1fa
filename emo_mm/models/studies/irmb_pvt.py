"""PVT with iRMB in place of its Transformer blocks (Tab. 3).

Everything but the blocks is mmdet's PyramidVisionTransformer. Importing that
takes seconds, so a config names this module in ``custom_imports``.

The paper prints the cost of the network and no more. What fits it: the
attention keeps PVT's spatial reduction of keys and values, blocks keep PVT's
expansion ratios (8, 8, 4, 4; with 4 in all stages it would be 11.4 M and
1402 M), and the DW-Conv is 3 x 3.
"""
from functools import partial

import torch
import torch.nn.functional as F
from mmdet.models.backbones import PyramidVisionTransformer
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..emo import iRMB
from ..layers import LayerNorm2d

_layer_norm = partial(LayerNorm2d, eps=1e-6)
_batch_norm = partial(nn.BatchNorm2d, eps=1e-6)


class SpatialReductionMHSA(nn.Module):
    """Attention of EW-MHSA with PVT's spatial reduction of keys and values.

    Args:
        channels (int): C.
        num_heads (int): Heads of the attention.
        sr_ratio (int): Width of the patches that become one key.
    """

    def __init__(self, channels: int, num_heads: int, sr_ratio: int):
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(channels, channels)
        self.k = nn.Linear(channels, channels)
        self.reduction = nn.Identity()
        if sr_ratio > 1:
            self.reduction = nn.Sequential(
                nn.Conv2d(channels, channels, sr_ratio, sr_ratio),
                _layer_norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        v = self.reduction(x).flatten(2).transpose(1, 2)
        q = self.q(x.flatten(2).transpose(1, 2))
        q, k, v = (
            tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for tokens in (q, self.k(v), v))
        y = F.scaled_dot_product_attention(q, k, v)
        return y.transpose(2, 3).reshape(x.shape)


class PVTiRMB(iRMB):
    """iRMB with the interface of PVT's layer."""

    def forward(  # type: ignore[override]
            self, tokens: Tensor, hw_shape: tuple) -> Tensor:
        """Map tokens (B, H * W, C) to the same shape."""
        x = tokens.transpose(1, 2).unflatten(2, hw_shape)
        return super().forward(x).flatten(2).transpose(1, 2)


@MODELS.register_module()
class iRMBPyramidVisionTransformer(PyramidVisionTransformer):
    """mmdet's PyramidVisionTransformer with iRMBs for encoder layers.

    Its arguments are those of the base class; λ is ``mlp_ratios``.
    """

    def __init__(self,
                 *args,
                 mlp_ratios=(8, 8, 4, 4),
                 drop_path_rate: float = 0.1,
                 **kwargs):
        super().__init__(*args, mlp_ratios=mlp_ratios, **kwargs)
        rates = torch.linspace(0, drop_path_rate,
                               sum(self.num_layers)).tolist()
        for stage, (_, layers, _) in enumerate(self.layers):
            channels = self.embed_dims * self.num_heads[stage]
            for i in range(1, len(layers)):  # 0 is the position embedding
                layers[i] = PVTiRMB(
                    channels,
                    channels,
                    mlp_ratios[stage],
                    norm=_layer_norm(channels),
                    norm_layer=_batch_norm,
                    act_layer=nn.GELU,
                    kernel_size=3,
                    attn=SpatialReductionMHSA(channels, self.num_heads[stage],
                                              self.sr_ratios[stage]),
                    drop_path_rate=rates.pop(0))
