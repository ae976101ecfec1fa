"""The published order of operations, unoptimised.

It computes what :mod:`emo_mm.models.emo` computes, one operation per step as
the published network does it: channels first, windows by a 6-D permutation, a
written-out softmax, and the expansion on every position of the padded
windows, which are cropped last. Our block crops first and so computes less
where windows need padding; costs are compared with the paper's on this form,
and speed with its speed.
"""
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..models.emo import EWMHSA, ChannelsLast, iRMB
from ..models.layers import LayerNorm2d, PointwiseConv
from ..models.studies.ablations import iRMBWithoutConv
from .rewrite import Rules, as_conv, rewrite


def make_reference(model: nn.Module) -> nn.Module:
    """Write every EMO in a model in the published order, in place.

    Parameters and their names stay.
    """
    return rewrite(model, REFERENCE)


class ReferenceBlock(nn.Module):
    """An iRMB that expands its windows before it crops them.

    Args:
        block (iRMB): Whose parts are taken over.
    """

    def __init__(self, block: iRMB):
        super().__init__()
        self.skip = block.skip
        self.norm = rewrite(block.norm, REFERENCE)
        self.attn: Any = block.attn
        self.expand = rewrite(block.expand, REFERENCE)
        self.act = block.act
        self.dw_conv = block.dw_conv
        self.project = rewrite(block.project, REFERENCE)
        self.drop_path = block.drop_path

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        y = self.norm(x)
        if isinstance(self.attn, EWMHSA):
            y = self._attend_and_expand(y)
        else:
            y = self.act(self.expand(self.attn(y)))
        y = self.project(self.dw_conv(y))
        return x + self.drop_path(y) if self.skip else y

    def _attend_and_expand(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, λC, H, W)."""
        H, W = x.shape[2:]
        w = self.attn.window_size
        if H % w or W % w:
            x = F.pad(x, (0, -W % w, 0, -H % w))
        windows = _partition(x, w)
        x = self.act(self.expand(self._attend(windows)))
        x = _reverse(x, w, H + -H % w, W + -W % w)
        return x[:, :, :H, :W].contiguous()

    def _attend(self, x: Tensor) -> Tensor:
        """Mix the tokens of (N, C, w, w) windows."""
        N, C, w, _ = x.shape
        qk, head_dim = self.attn.qk, self.attn.head_dim
        q, k = F.conv2d(x, qk.weight[:, :, None, None], qk.bias).chunk(2, 1)
        q, k, v = (
            t.reshape(N, -1, head_dim, w * w).transpose(2, 3)
            for t in (q, k, x))
        A = q @ k.transpose(2, 3) * head_dim**-0.5
        A = F.dropout(A.softmax(-1), self.attn.attn_drop_rate, self.training)
        return (A @ v).transpose(2, 3).reshape(N, C, w, w)


def _partition(x: Tensor, w: int) -> Tensor:
    B, C, H, W = x.shape
    x = x.reshape(B, C, w, H // w, w, W // w)
    return x.permute(0, 3, 5, 1, 2, 4).contiguous().reshape(-1, C, w, w)


def _reverse(x: Tensor, w: int, H: int, W: int) -> Tensor:
    C = x.shape[1]
    x = x.reshape(-1, H // w, W // w, C, w, w)
    return x.permute(0, 3, 4, 1, 5, 2).contiguous().reshape(-1, C, H, W)


class ReferenceLayerNorm(nn.LayerNorm):
    """LayerNorm of channels brought last, and back.

    Args:
        norm (LayerNorm2d): Whose parameters are taken over.
    """

    def __init__(self, norm: LayerNorm2d):
        super().__init__(norm.normalized_shape, norm.eps, device='meta')
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each position of (B, C, H, W)."""
        x = super().forward(x.permute(0, 2, 3, 1).contiguous())
        return x.permute(0, 3, 1, 2).contiguous()


REFERENCE: Rules = {
    iRMB: ReferenceBlock,
    iRMBWithoutConv: ReferenceBlock,
    LayerNorm2d: ReferenceLayerNorm,
    PointwiseConv: as_conv,
    ChannelsLast: lambda module: nn.Identity(),
}
