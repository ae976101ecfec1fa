"""Cost and maximum path length of operators, by formula (Tab. 2, Fig. 6).

An operator acts on a map of C channels and W x W positions, L = W². FLOPs are
counted as in the paper's table: multiplications and additions separately, so
a multiply-add is two, and the softmax of attention is three per entry of one
head's A. Biases, norms, activations and sums count as parameters, but not as
FLOPs. (Everywhere else in this project FLOPs are multiply-adds, as in the
paper's other tables.)

The maximum path length is how many layers of the operator it takes until the
two farthest positions meet, to the order that the paper gives; infinite where
they never do.
"""
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emo_mm.models import EMO, NormGlobalAveragePooling
from emo_mm.models.emo import EWMHSA, iRMB

from .costs import count_flops, count_params


@dataclass(frozen=True)
class Complexity:
    """Cost of an operator on a map.

    Attributes:
        params (int): Number of parameters.
        flops (int): Multiplications plus additions.
        path_length (float): Maximum path length in layers.
    """
    params: int
    flops: int
    path_length: float


def mhsa(C: int, W: int) -> Complexity:
    """Return the cost of attention among all positions.

    It has q, k, v and output projections.
    """
    L = W**2
    return Complexity(4 * (C + 1) * C, 8 * C**2 * L + _attention(C, L, L), 1)


def window_mhsa(C: int, W: int, w: int) -> Complexity:
    """Return the cost of attention within windows of w x w.

    Windows never exchange anything.
    """
    L = W**2
    return Complexity(4 * (C + 1) * C, 8 * C**2 * L + _attention(C, L, w**2),
                      1 if w >= W else math.inf)


def conv(C: int, W: int, k: int, G: int = 1) -> Complexity:
    """Return the cost of a k x k convolution with G groups and a bias.

    Raises:
        ValueError: If G does not divide C.
    """
    if C % G:
        raise ValueError(f'G={G} groups must divide C={C} channels.')
    return Complexity((C * k**2 // G + 1) * C, 2 * C * k**2 // G * W**2 * C,
                      _path_length(W, k - 1))


def dw_conv(C: int, W: int, k: int) -> Complexity:
    """Return the cost of a k x k depth-wise convolution with a bias."""
    return conv(C, W, k, G=C)


def ew_mhsa(C: int, W: int, w: int) -> Complexity:
    """Return the cost of EW-MHSA before the expansion, as EMO has it.

    q and k come from C channels, and C channels are mixed. v is the block's
    expansion and the output projection that of the block; neither is counted
    here.
    """
    L = W**2
    return Complexity(2 * (C + 1) * C, 4 * C**2 * L + _attention(C, L, w**2),
                      1 if w >= W else math.inf)


def irmb(C: int, W: int, w: int, k: int, exp_ratio: float = 4) -> Complexity:
    """Return the cost of a whole iRMB.

    That is norm, EW-MHSA, expansion λ, DW-Conv, norm and projection. Its
    path length is that of the cascade of EW-MHSA and DW-Conv.
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
               exp_ratio: float = 4) -> dict[str, Complexity]:
    """Return the complexity of every operator of the paper's Tab. 2.

    Args:
        C (int): Channels.
        W (int): Width and height of the map, in positions.
        w (int): Width of a window. Defaults to 7.
        k (int): Kernel of convolutions. Defaults to 3.
        G (int): Groups of the convolution. Defaults to 1.
        exp_ratio (float): Expansion ratio λ of the iRMB. Defaults to 4.

    Raises:
        ValueError: If a value is out of range. The message names it.
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
    """Return the FLOPs of both products, and of the softmax of one head."""
    return 4 * C * L * num_keys + 3 * L * num_keys


def _path_length(W: int, reach: int) -> float:
    """Return the layers it takes to span W.

    Each layer sees ``reach`` / 2 further to either side.

    A kernel of 1 reaches nothing.
    """
    return 2 * W / reach if reach else math.inf


# --- Fig. 6 -----------------------------------------------------------------
@dataclass(frozen=True)
class Share:
    """Part of a classifier's cost, between 0 and 1."""
    params: float
    flops: float


def operator_shares(arch: str | dict = '5m',
                    size: int = 224) -> dict[str, Share]:
    """Return the shares of DW-Conv and MHSA in a classifier's cost (Fig. 6).

    The figure's percentages fit when DW-Conv means the depth-wise convolution
    with its norm in blocks with a skip, and MHSA means the q and k layers and
    the products of attention.

    Args:
        arch (str | dict): As :class:`EMO` takes it. Defaults to '5m'.
        size (int): Width and height of the image. Defaults to 224.
    """
    model = _Classifier(arch)
    names = {module: name for name, module in model.named_modules()}
    image = torch.rand(1, 3, size, size)
    flops = count_flops(model, (image, )).by_module()
    parts: dict[str, list[nn.Module]] = {
        'DW-Conv':
        [m.dw_conv for m in model.modules() if isinstance(m, iRMB) and m.skip],
        'MHSA': [m for m in model.modules() if isinstance(m, EWMHSA)],
    }
    total = count_params(model)
    return {
        key:
        Share(
            sum(map(count_params, modules)) / total,
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
