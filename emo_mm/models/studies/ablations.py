"""Other blocks in place of EMO's iRMB, for the paper's ablations.

Each takes the arguments of :class:`iRMB` and says what it does otherwise.
A block that you write works the same way: register it in mmengine's
``MODELS`` and name it in ``dict(type='EMOWithBlock', block=...)``.
"""
import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..emo import EMO, EWMHSA, DWConv, NormLayer, iRMB
from .meta_mobile_block import MetaMobileBlock


@MODELS.register_module()
class EMOWithBlock(EMO):
    """EMO of other blocks than the iRMB.

    Args:
        block (str): Name of a block in mmengine's ``MODELS``.
        *args, **kwargs: Of :class:`EMO`.

    Raises:
        ValueError: If there is no such block.
    """

    def __init__(self, *args, block: str, **kwargs):
        self.block_type = MODELS.get(block)
        if self.block_type is None:
            raise ValueError(f'block={block!r} is not in the registry MODELS. '
                             'Register it, and list its module in '
                             'custom_imports.')
        super().__init__(*args, **kwargs)


@MODELS.register_module()
class iRMBWithoutConv(iRMB):
    """iRMB whose F lacks the DW-Conv (Tab. 5).

    Blocks with stride 2 keep it: nothing else in them shrinks the map.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.dw_conv.conv.stride == (1, 1):
            self.dw_conv = nn.Identity()


@MODELS.register_module()
class MetaFormerBlock(nn.Module):
    """Two residuals in place of one, with the F of the iRMB.

    The first is an iRMB with λ = 1 whose ``MLP_e`` only mixes tokens, the
    second an FFN. Chosen so for the printed 5.3 M parameters: a further
    layer in the first, such as a value projection, makes it 5.7 M. Blocks
    that shrink the map are the iRMB as it is.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 exp_ratio: float,
                 norm: nn.Module,
                 norm_layer: NormLayer,
                 act_layer: Callable[[], nn.Module],
                 kernel_size: int,
                 stride: int = 1,
                 attn: nn.Module | None = None,
                 drop_path_rate: float = 0.):
        super().__init__()
        if stride != 1 or in_channels != out_channels:
            self.mixer = iRMB(in_channels, out_channels, exp_ratio, norm,
                              norm_layer, act_layer, kernel_size, stride, attn,
                              drop_path_rate)
            self.ffn = nn.Identity()
            return
        self.mixer = MetaMobileBlock(
            in_channels,
            out_channels,
            exp_ratio=1,
            operator=lambda channels: DWConv(
                channels, kernel_size, norm_layer, skip=True),
            norm=norm,
            mlp_e=nn.Identity() if attn is None else attn,
            drop_path_rate=drop_path_rate)
        self.ffn = MetaMobileBlock(
            in_channels,
            out_channels,
            exp_ratio,
            operator=lambda channels: nn.Identity(),
            norm=copy.deepcopy(norm),
            act_layer=act_layer,
            drop_path_rate=drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H', W')."""
        return self.ffn(self.mixer(x))


# --- Attention on the expanded channels -------------------------------------
class ExpandedMHSA(EWMHSA):
    """EW-MHSA as Eq. 4 writes it: q and k from X, v = X_e.

    It takes X (C channels) and X_e (C') as one map (B, C + C', H, W), and
    returns (B, C', H, W). Padded positions serve as keys whose v is zero.
    """

    def attend(self, tokens: Tensor) -> Tensor:
        """Mix the tokens (N, L, C + C') of windows; returns (N, L, C')."""
        channels = self.qk.in_features
        x, x_e = tokens[..., :channels], tokens[..., channels:]
        num_heads = channels // self.head_dim
        q, k, v = (
            t.unflatten(-1, (num_heads, -1)).transpose(1, 2)
            for t in (*self.qk(x).chunk(2, -1), x_e))
        y = F.scaled_dot_product_attention(
            q, k, v, dropout_p=self.attn_drop_rate if self.training else 0.)
        return y.transpose(1, 2).flatten(2)


class _iRMBWithExpandedMHSA(iRMB):
    """iRMB with :class:`ExpandedMHSA`; subclasses say where that acts."""

    def __init__(self, *args, attn: EWMHSA | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.attn = None
        if attn is not None:
            self.attn = ExpandedMHSA(attn.qk.in_features, attn.head_dim,
                                     attn.window_size, attn.attn_drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        y = self.norm(x)
        x_e = self.act(self.expand(y))
        x_f = self.dw_conv(x_e) if self.attn is None else self.mix(y, x_e)
        y = self.project(x_f)
        return x + self.drop_path(y) if self.skip else y

    def mix(self, x: Tensor, x_e: Tensor) -> Tensor:
        """Compute X_f = F(X_e), (B, λC, H, W), with the attention of X."""
        raise NotImplementedError


@MODELS.register_module()
class iRMBAttentionAfterExpansion(_iRMBWithExpandedMHSA):
    """iRMB in the written order of Eq. 4: expand, attend, convolve.

    It costs 944 M in EMO-5M; attention before the expansion, 903 M.
    """

    def mix(self, x: Tensor, x_e: Tensor) -> Tensor:
        return self.dw_conv(self.attn(torch.cat([x, x_e], 1)))


@MODELS.register_module()
class iRMBConvFirst(_iRMBWithExpandedMHSA):
    """iRMB with the operators of F in the other order: DW-Conv, EW-MHSA."""

    def mix(self, x: Tensor, x_e: Tensor) -> Tensor:
        return self.attn(torch.cat([x, self.dw_conv(x_e)], 1))


@MODELS.register_module()
class iRMBParallel(_iRMBWithExpandedMHSA):
    """iRMB with a parallel F: half of the λC channels for each operator."""

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 exp_ratio: float,
                 *,
                 norm_layer: NormLayer,
                 kernel_size: int,
                 attn: EWMHSA | None = None,
                 **kwargs):
        super().__init__(
            in_channels,
            out_channels,
            exp_ratio,
            norm_layer=norm_layer,
            kernel_size=kernel_size,
            attn=attn,
            **kwargs)
        if attn is not None:
            self.dw_conv = DWConv(
                int(in_channels * exp_ratio) // 2,
                kernel_size,
                norm_layer,
                skip=True)

    def mix(self, x: Tensor, x_e: Tensor) -> Tensor:
        first, second = x_e.chunk(2, dim=1)
        first = self.attn(torch.cat([x, first], 1))
        return torch.cat([first, self.dw_conv(second)], 1)
