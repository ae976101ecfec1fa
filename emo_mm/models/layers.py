"""Small layers that the blocks share."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of a (B, C, H, W) map, at each position.

    The permutation costs nothing on a channels-last map.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each position."""
        x = super().forward(x.permute(0, 2, 3, 1))
        return x.permute(0, 3, 1, 2)


class PointwiseConv(nn.Conv2d):
    """1x1 convolution, computed as the linear layer of each position.

    On a channels-last map that moves no data.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        bias (bool): Defaults to True.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return x.permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """Stochastic depth per sample (https://arxiv.org/abs/1603.09382).

    Args:
        drop_prob (float): Probability that a sample's branch is dropped. The
            kept ones are scaled by ``1 / (1 - drop_prob)``.
    """

    def __init__(self, drop_prob: float = 0.):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.drop_prob == 0:
            return x
        keep = 1 - self.drop_prob
        mask = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(keep)
        return x * mask.div_(keep)

    def extra_repr(self) -> str:
        return f'drop_prob={self.drop_prob:.4g}'


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation without reduction (arXiv:1709.01507)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv_reduce = PointwiseConv(channels, channels)
        self.conv_expand = PointwiseConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean((2, 3), keepdim=True)
        gate = torch.sigmoid(self.conv_expand(F.silu(self.conv_reduce(gate))))
        return x * gate


class OldNames(nn.Module):
    """A module that also loads what emo_mm 0.1 called its parts.

    Attributes:
        old_names (dict[str, str]): Names of parts, from old to new.
    """
    old_names: dict[str, str] = {}

    def rename_keys(self, state_dict: dict, prefix: str) -> None:
        """Give keys below ``prefix`` the names of today, in place."""
        for old, new in self.old_names.items():
            start = f'{prefix}{old}.'
            for key in [key for key in state_dict if key.startswith(start)]:
                renamed = f'{prefix}{new}.{key[len(start):]}'
                state_dict[renamed] = state_dict.pop(key)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        self.rename_keys(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
