"""The published order of operations, unoptimised.

It computes what :mod:`emo_mm.models` computes, one operation per step as the
published network does it: channels first, windows by a 6-D permutation, a
written-out softmax, and the expansion on every position of the padded
windows, which are cropped last. Our blocks crop first and so compute less
where windows need padding; costs are compared with the paper's on this
rendering, and speed with its speed.
"""
import torch.nn.functional as F
from torch import Tensor, nn

from .emo import EMO
from .layers import LayerNorm2d, PointwiseConv
from .meta_mobile_block import EWMHSA


class LiteralExpansion(nn.Sequential):
    """``MLP_e`` with EW-MHSA, literally."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, λC, H, W)."""
        H, W = x.shape[2:]
        w = self.attn.window_size
        if H % w or W % w:
            x = F.pad(x, (0, -W % w, 0, -H % w))
        windows = _partition(x, w)
        x = self.act(self.conv(self._attend(windows)))
        x = _reverse(x, w, H + -H % w, W + -W % w)
        return x[:, :, :H, :W].contiguous()

    def _attend(self, x: Tensor) -> Tensor:
        """(N, C, w, w) windows to the same shape."""
        N, C, w, _ = x.shape
        qk = self.attn.qk
        q, k = F.conv2d(x, qk.weight[:, :, None, None], qk.bias).chunk(2, 1)
        q, k, v = (
            t.reshape(N, -1, self.attn.head_dim, w * w).transpose(2, 3)
            for t in (q, k, x))
        A = q @ k.transpose(2, 3) * self.attn.head_dim**-0.5
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


class LiteralLayerNorm(LayerNorm2d):
    """LayerNorm of channels brought last, and back."""

    def forward(self, x: Tensor) -> Tensor:
        x = nn.LayerNorm.forward(self, x.permute(0, 2, 3, 1).contiguous())
        return x.permute(0, 3, 1, 2).contiguous()


def make_literal(model: nn.Module) -> nn.Module:
    """Render, in place, every EMO in ``model`` literally.

    Parameters and their names stay.
    """
    for module in model.modules():
        if type(module) is LayerNorm2d:
            module.__class__ = LiteralLayerNorm
        elif type(module) is PointwiseConv:
            module.__class__ = nn.Conv2d
        elif isinstance(module, EMO):
            module.channels_last = False
        # Attention derived from EW-MHSA is another: it stays as it is.
        elif (isinstance(module, nn.Sequential)
              and type(getattr(module, 'attn', None)) is EWMHSA):
            module.__class__ = LiteralExpansion
    return model
