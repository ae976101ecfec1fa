"""Cost and maximum path length of operators, by formula (Tab. 2, Fig. 6).

An operator acts on a map of C channels and W x W positions, L = W². FLOPs are
those of the paper's table: multiplications and additions are counted apart,
so a multiply-add is two, and the softmax of attention is three per entry of
one head's A. Biases, norms, activations and sums are left out of the FLOPs,
not out of the parameters. (Everywhere else in this project FLOPs are
multiply-adds, as in the paper's other tables.)

The maximum path length is how many layers of the operator it takes for the
two farthest positions to meet, as the paper gives its order; infinite where
they never do.
"""
import math
from dataclasses import dataclass
from typing import Dict

import torch
from torch import Tensor, nn

from emo_mm.models import EMO, NormGlobalAveragePooling
from emo_mm.models.emo import EWMHSA, iRMB

from .flops import count_flops


@dataclass(frozen=True)
class Complexity:
    """What an operator costs on a map.

    Attributes:
        params (int): Number of parameters.
        flops (int): Multiplications plus additions.
        path_length (float): Maximum path length in layers.
    """
    params: int
    flops: int
    path_length: float


def mhsa(C: int, W: int) -> Complexity:
    """Attention among all positions, with q, k, v and output projections."""
    L = W**2
    return Complexity(4 * (C + 1) * C, 8 * C**2 * L + _attention(C, L, L), 1)


def window_mhsa(C: int, W: int, w: int) -> Complexity:
    """Attention within windows of w x w, which never exchange anything."""
    L = W**2
    return Complexity(4 * (C + 1) * C, 8 * C**2 * L + _attention(C, L, w**2),
                      1 if w >= W else math.inf)


def conv(C: int, W: int, k: int, G: int = 1) -> Complexity:
    """Convolution k x k with G groups and bias, C to C channels.

    Raises:
        ValueError: If G does not divide C.
    """
    if C % G:
        raise ValueError(f'G={G} groups must divide C={C} channels.')
    return Complexity((C * k**2 // G + 1) * C, 2 * C * k**2 // G * W**2 * C,
                      _path_length(W, k - 1))


def dw_conv(C: int, W: int, k: int) -> Complexity:
    """Depth-wise convolution k x k with bias."""
    return conv(C, W, k, G=C)


def ew_mhsa(C: int, W: int, w: int) -> Complexity:
    """EW-MHSA before the expansion, as EMO has it.

    q and k come from C channels, and C channels are mixed: v is the block's
    ``MLP_e``, and ``MLP_s`` its output projection, neither counted here.
    """
    L = W**2
    return Complexity(2 * (C + 1) * C, 4 * C**2 * L + _attention(C, L, w**2),
                      1 if w >= W else math.inf)


def irmb(C: int, W: int, w: int, k: int, exp_ratio: float = 4) -> Complexity:
    """The whole iRMB: norm, EW-MHSA, expansion λ, DW-Conv, norm, projection.

    Its path length is that of the cascade of EW-MHSA and DW-Conv.
    """
    L, mid = W**2, int(C * exp_ratio)
    attention = ew_mhsa(C, W, w)
    params = (2 * C + attention.params + (C + 1) * mid + k**2 * mid + 2 * mid +
              mid * C)
    flops = attention.flops + 2 * (C * mid + k**2 * mid + mid * C) * L
    return Complexity(params, flops, _path_length(W, k - 1 + 2 * w))


def complexity(C: int,
               W: int,
               w: int = 7,
               k: int = 3,
               G: int = 1,
               exp_ratio: float = 4) -> Dict[str, Complexity]:
    """Complexity of every operator of the paper's Tab. 2.

    Args:
        C (int): Channels.
        W (int): Width and height of the map, in positions.
        w (int): Width of a window. Defaults to 7.
        k (int): Kernel of convolutions. Defaults to 3.
        G (int): Groups of the convolution. Defaults to 1.
        exp_ratio (float): Expansion ratio λ of the iRMB. Defaults to 4.

    Raises:
        ValueError: If a value cannot be. The message names it.
    """
    for name, value in dict(C=C, W=W, w=w, k=k, G=G).items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f'{name}={value!r} must be an int of at least 1.')
    if W % w:
        raise ValueError(f'w={w}: windows must fill the map, of W={W}.')
    if not math.isfinite(exp_ratio) or C * exp_ratio < 1:
        raise ValueError(f'exp_ratio={exp_ratio!r} must be finite and leave '
                         f'a channel of C={C}.')
    return {
        'MHSA': mhsa(C, W),
        'W-MHSA': window_mhsa(C, W, w),
        'Conv': conv(C, W, k, G),
        'DW-Conv': dw_conv(C, W, k),
        'EW-MHSA': ew_mhsa(C, W, w),
        'iRMB': irmb(C, W, w, k, exp_ratio),
    }


def _attention(C: int, L: int, num_keys: int) -> int:
    """Both products, and the softmax of one head."""
    return 4 * C * L * num_keys + 3 * L * num_keys


def _path_length(W: int, reach: int) -> float:
    """Layers to span W, when each sees ``reach`` / 2 further to either side.

    A kernel of 1 reaches nothing.
    """
    return 2 * W / reach if reach else math.inf


# --- Fig. 6 -----------------------------------------------------------------
@dataclass(frozen=True)
class Share:
    """Part of a classifier's cost, from 0 to 1."""
    params: float
    flops: float


def operator_shares(arch='5m', size: int = 224) -> Dict[str, Share]:
    """Shares of DW-Conv and of MHSA in a classifier's cost (Fig. 6).

    The figure's percentages fit when DW-Conv means the depth-wise convolution
    with its norm in blocks with a skip, and MHSA means the q and k layers and
    the products of attention.

    Args:
        arch (str | dict): Of :class:`EMO`.
        size (int): Width and height of the image. Defaults to 224.
    """
    model = _Classifier(arch)
    names = {module: name for name, module in model.named_modules()}
    image = torch.rand(1, 3, size, size)
    flops = count_flops(model, (image, )).by_module()
    parts = {
        'DW-Conv': [
            m.dw_conv for m in model.modules()
            if isinstance(m, iRMB) and m.skip
        ],
        'MHSA': [m for m in model.modules() if isinstance(m, EWMHSA)],
    }
    total = _num_params(model)
    return {
        key:
        Share(
            sum(map(_num_params, modules)) / total,
            sum(flops[names[m]] for m in modules) / flops[''])
        for key, modules in parts.items()
    }


class _Classifier(nn.Module):

    def __init__(self, arch):
        super().__init__()
        self.backbone = EMO(arch)
        width = self.backbone.feature_widths[-1]
        self.neck = NormGlobalAveragePooling(width)
        self.head = nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.neck(self.backbone(x))[0])


def _num_params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
