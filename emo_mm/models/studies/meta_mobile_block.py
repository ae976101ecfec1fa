"""The Meta Mobile Block, of which EMO's block and older ones are instances.

"Rethinking Mobile Block for Efficient Attention-based Models", ICCV 2023
(https://arxiv.org/abs/2301.01146), Sec. 3.1. EMO itself does not use this
general form: :class:`emo_mm.models.emo.iRMB` writes its steps out, and a test
compares the two.
"""
from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from ..layers import DropPath, PointwiseConv


class MetaMobileBlock(nn.Module):
    """One residual around ``MLP_e``, an efficient operator F and ``MLP_s``.

    ``X_e = MLP_e(norm(X))``, C to λC channels; ``X_f = F(X_e)``;
    ``X_s = MLP_s(X_f)``, λC to C channels; ``Y = X + X_s`` (Eq. 1 to 3).

    F = identity gives the FFN of a Transformer, F = depth-wise convolution
    the inverted residual block, F = self-attention with λ = 1 the MHSA: see
    :mod:`emo_mm.models.studies.classic_blocks`.

    Args:
        in_channels (int): C of the input.
        out_channels (int): C of the output.
        exp_ratio (float): Expansion ratio λ.
        operator (Callable[[int], nn.Module]): Builds F for λC channels. F
            maps (B, λC, H, W) to (B, λC, H', W').
        norm (nn.Module, optional): Normalises the input of ``MLP_e``.
            Defaults to None.
        mlp_e (nn.Module, optional): Replaces the 1x1 convolution with bias
            and ``act_layer`` that expands C to λC. Defaults to None.
        act_layer (Callable[[], nn.Module]): Activation of ``MLP_e``.
            Defaults to ``nn.SiLU``.
        mlp_s (nn.Module, optional): Replaces the 1x1 convolution without
            bias that shrinks λC to C_out. Defaults to None.
        drop_path_rate (float): Probability of dropping the block's branch.
            Defaults to 0.
        skip (bool, optional): Whether X is added. Defaults to None, which
            means "where C stays".
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 exp_ratio: float,
                 operator: Callable[[int], nn.Module],
                 norm: nn.Module | None = None,
                 mlp_e: nn.Module | None = None,
                 act_layer: Callable[[], nn.Module] = nn.SiLU,
                 mlp_s: nn.Module | None = None,
                 drop_path_rate: float = 0.,
                 skip: bool | None = None):
        super().__init__()
        mid_channels = int(in_channels * exp_ratio)
        if mlp_e is None:
            mlp_e = nn.Sequential(
                OrderedDict(
                    conv=PointwiseConv(in_channels, mid_channels),
                    act=act_layer()))
        if mlp_s is None:
            mlp_s = PointwiseConv(mid_channels, out_channels, bias=False)
        self.skip = in_channels == out_channels if skip is None else skip
        self.norm = nn.Identity() if norm is None else norm
        self.mlp_e = mlp_e
        self.operator = operator(mid_channels)
        self.mlp_s = mlp_s
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H', W')."""
        y = self.mlp_s(self.operator(self.mlp_e(self.norm(x))))
        return x + self.drop_path(y) if self.skip else y
