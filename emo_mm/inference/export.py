"""The form of a network that other runtimes can take."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.emo import EWMHSA, ChannelsLast
from ..models.layers import PointwiseConv
from .fold import fold
from .rewrite import Rules, as_conv, rewrite


def make_exportable(model: nn.Module, channels_last: bool = True) -> nn.Module:
    """Fold the norms of a model and write it as other runtimes need it.

    A recorded graph holds for every input size, no tensor of EMO has more
    than 4 dimensions, and 1x1 convolutions are convolutions, which runtimes
    fuse with what lies around them. A model of this form stays as it is.

    Args:
        model (nn.Module): A backbone, classifier, detector or segmenter, with
            its weights loaded. It is changed.
        channels_last (bool): Whether maps keep that memory format where
            PyTorch runs the graph. Defaults to True.

    Returns:
        nn.Module: ``model``, in eval mode and without gradients.
    """
    rules = dict(EXPORT)
    if not channels_last:
        rules[ChannelsLast] = lambda module: nn.Identity()
    return rewrite(fold(model), rules)


class ExportableAttention(EWMHSA):
    """EW-MHSA by reshapes of rank 4 at most, for every input size.

    Args:
        attn (EWMHSA): Whose weights are taken over.
    """

    def __init__(self, attn: EWMHSA):
        super().__init__(attn.qk.in_features, attn.head_dim, attn.window_size)
        self.qk = attn.qk

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        H, W = x.shape[2:]
        w = self.window_size
        padded_H, padded_W = (H + w - 1) // w * w, (W + w - 1) // w * w
        x = F.pad(
            x.permute(0, 2, 3, 1), (0, 0, 0, padded_W - W, 0, padded_H - H))
        tokens = self.attend(rank4_partition(x, w))
        x = rank4_reverse(tokens, w, padded_H, padded_W)
        return x[:, :H, :W].permute(0, 3, 1, 2)


def rank4_partition(x: Tensor, window_size: int) -> Tensor:
    """Compute :func:`emo_mm.models.emo.window_partition` in two copies."""
    B, H, W, C = x.shape
    w, n1, n2 = window_size, H // window_size, W // window_size
    x = x.reshape(B, w, n1, W * C).permute(0, 2, 1, 3)
    x = x.reshape(B * n1, w * w, n2, C).permute(0, 2, 1, 3)
    return x.reshape(B * n1 * n2, w * w, C)


def rank4_reverse(tokens: Tensor, window_size: int, H: int, W: int) -> Tensor:
    """Compute :func:`emo_mm.models.emo.window_reverse` in two copies."""
    C = tokens.shape[-1]
    w, n1, n2 = window_size, H // window_size, W // window_size
    x = tokens.reshape(-1, n2, w * w, C).permute(0, 2, 1, 3)
    x = x.reshape(-1, n1, w, W * C).permute(0, 2, 1, 3)
    return x.reshape(-1, H, W, C)


class MatmulAdaptiveAvgPool2d(nn.Module):
    """``nn.AdaptiveAvgPool2d`` as two matrix products.

    The cells' borders are computed in the graph, so that it holds for every
    input size; runtimes have no such pooling.

    Args:
        output_size (int): Height and width of the output.
    """

    def __init__(self, output_size: int):
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, output_size, output_size)."""
        H, W = x.shape[2:]
        rows, columns = self._weights(H, x), self._weights(W, x)
        return rows @ x @ columns.transpose(0, 1)

    def _weights(self, size: int, x: Tensor) -> Tensor:
        """Return each position's share in each cell, (output_size, size)."""
        n = self.output_size
        cells = torch.arange(n, device=x.device)[:, None]
        start = cells * size // n
        end = ((cells + 1) * size + n - 1) // n
        positions = torch.arange(size, device=x.device)
        inside = (positions >= start) & (positions < end)
        return (inside / (end - start)).to(x.dtype)


class GlobalAvgPool2d(nn.Module):
    """``nn.AdaptiveAvgPool2d(1)`` as a mean."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, 1, 1)."""
        return x.mean((2, 3), keepdim=True)


def _pool(pool: nn.AdaptiveAvgPool2d) -> nn.Module:
    if pool.output_size in (1, (1, 1)):
        return GlobalAvgPool2d()
    return MatmulAdaptiveAvgPool2d(pool.output_size)


EXPORT: Rules = {
    EWMHSA: ExportableAttention,
    PointwiseConv: as_conv,
    nn.AdaptiveAvgPool2d: _pool,
}
