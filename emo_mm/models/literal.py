"""The published order of operations, unoptimised.

It computes what :mod:`emo_mm.models` computes, one operation per step as the
published network does it: windows by a 6-D permutation, a written-out
softmax, and the expansion on every position of the padded windows, which are
cropped last. Our blocks crop first and so compute less where windows need
padding; costs are compared with the paper's on this rendering.
"""
import torch.nn.functional as F
from torch import Tensor, nn

from .meta_mobile_block import EWMHSA, MetaMobileBlock


class LiteralExpansion(nn.Module):
    """``MLP_e`` with EW-MHSA, literally.

    Args:
        mlp_e (nn.Sequential): The expansion of an iRMB with attention, whose
            layers are shared under the same names.
    """

    def __init__(self, mlp_e: nn.Sequential):
        super().__init__()
        self.attn = mlp_e.attn
        self.conv = mlp_e.conv
        self.act = mlp_e.act

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, λC, H, W)."""
        H, W = x.shape[2:]
        w = self.attn.window_size
        x = F.pad(x, (0, -W % w, 0, -H % w))
        windows = _partition(x, w)
        x = self.act(self.conv(self._attend(windows)))
        x = _reverse(x, w, H + -H % w, W + -W % w)
        return x[:, :, :H, :W]

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
    return x.permute(0, 3, 5, 1, 2, 4).reshape(-1, C, w, w)


def _reverse(x: Tensor, w: int, H: int, W: int) -> Tensor:
    C = x.shape[1]
    x = x.reshape(-1, H // w, W // w, C, w, w)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(-1, C, H, W)


def make_literal(model: nn.Module) -> nn.Module:
    """Replace, in place, every iRMB of ``model`` by its literal rendering.

    Parameters and their names stay.
    """
    for module in model.modules():
        # Attention derived from EW-MHSA is another: it stays as it is.
        if (isinstance(module, MetaMobileBlock)
                and type(getattr(module.mlp_e, 'attn', None)) is EWMHSA):
            module.mlp_e = LiteralExpansion(module.mlp_e)
    return model
