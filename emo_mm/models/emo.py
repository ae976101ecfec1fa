"""EMO, a backbone made of one block, the Inverted Residual Mobile Block.

Source of all equations and tables: "Rethinking Mobile Block for Efficient
Attention-based Models", ICCV 2023 (https://arxiv.org/abs/2301.01146).

Read from top to bottom: the published sizes, window partition, EW-MHSA, the
DW-Conv, the block (:class:`iRMB`), the stem and the network (:class:`EMO`).
"""
import math
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import FUNCTIONS, MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from .layers import (
    DropPath,
    LayerNorm2d,
    OldNames,
    PointwiseConv,
    SqueezeExcite,
)
from .weights import load_pretrained, rename_published

NormLayer = Callable[[int], nn.Module]

# --- Sizes ------------------------------------------------------------------
NUM_STAGES = 4

# What all published sizes share.
DEFAULTS = dict(
    stem_width=24,
    kernel_sizes=(3, 3, 5, 5),
    attention=(False, False, True, True),
    norms=('BN', 'BN', 'LN', 'LN'),
    acts=('SiLU', 'SiLU', 'GELU', 'GELU'),
    drop_path_rate=0.05)

# Depths, widths and expansion ratios of 1M to 6M are those of the published
# weights; those of 10M and 20M are from the paper's scale-up table. For these
# two, neither the stem's width (48 comes closest to the printed cost) nor the
# head dims (which change no cost) are published: both are our choice.
ARCHS: dict[str, dict] = {
    '1m': dict(depths=(2, 2, 8, 3), widths=(32, 48, 80, 168),
               exp_ratios=(2, 2.5, 3, 3.5), head_dims=(16, 16, 20, 21),
               drop_path_rate=0.04036),
    '2m': dict(depths=(3, 3, 9, 3), widths=(32, 48, 120, 200),
               exp_ratios=(2, 2.5, 3, 3.5), head_dims=(16, 16, 20, 20)),
    '5m': dict(depths=(3, 3, 9, 3), widths=(48, 72, 160, 288),
               exp_ratios=(2, 3, 4, 4), head_dims=(24, 24, 32, 32)),
    '6m': dict(depths=(3, 3, 9, 3), widths=(48, 72, 160, 320),
               exp_ratios=(2, 3, 4, 5), head_dims=(16, 24, 20, 32)),
    '10m': dict(depths=(3, 4, 9, 3), widths=(64, 96, 224, 384),
                exp_ratios=(2, 3, 4, 5), head_dims=(32, 32, 32, 32),
                stem_width=48),
    '20m': dict(depths=(3, 4, 12, 3), widths=(64, 128, 320, 448),
                exp_ratios=(2, 3, 4, 5), head_dims=(32, 32, 32, 32),
                stem_width=48),
}  # yapf: disable

_BATCH_NORMS = dict(BN=nn.BatchNorm2d, SyncBN=nn.SyncBatchNorm)
_ACTS = dict(SiLU=nn.SiLU, GELU=nn.GELU)


def _is_positive_int(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)
            and value > 0)


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 < value < math.inf


def _is_odd(value: Any) -> bool:
    return _is_positive_int(value) and value % 2 == 1


# The keys of an arch with one value for each stage, and what each value is.
_PER_STAGE = dict(
    depths=('a positive int', _is_positive_int),
    widths=('a positive int', _is_positive_int),
    exp_ratios=('a positive number', _is_positive),
    head_dims=('a positive int', _is_positive_int),
    # An even kernel would shift the map.
    kernel_sizes=('a positive odd int', _is_odd),
    attention=('True or False', lambda value: isinstance(value, bool)),
    norms=("one of ('BN', 'LN')", ('BN', 'LN').__contains__),
    acts=(f'one of {tuple(_ACTS)}', tuple(_ACTS).__contains__))

# Settings of a norm_cfg besides its type and requires_grad.
_NORM_SETTINGS: dict[str, tuple[str, Callable]] = dict(
    eps=('a positive number', _is_positive),
    momentum=('a positive number or None',
              lambda value: value is None or _is_positive(value)),
    affine=('True or False', lambda value: isinstance(value, bool)),
    track_running_stats=('True or False',
                         lambda value: isinstance(value, bool)))


def get_arch(arch: str | dict) -> dict:
    """Return the complete, validated settings of a size.

    Args:
        arch (str | dict): A name of :data:`ARCHS`, or a dict with ``depths``,
            ``widths``, ``exp_ratios`` and ``head_dims`` and, where they
            differ from :data:`DEFAULTS`, its keys. All but ``stem_width``
            and ``drop_path_rate`` have one value for each of stages 1 to 4.

    Returns:
        dict: All keys of :data:`DEFAULTS` and the four above.

    Raises:
        ValueError: If a name or key is unknown, or a value is invalid.
        TypeError: If ``arch`` is neither str nor dict.
    """
    if isinstance(arch, str):
        if arch.lower() not in ARCHS:
            raise ValueError(
                f'arch={arch!r} is not known. Use one of {", ".join(ARCHS)}, '
                'or a dict.')
        arch = ARCHS[arch.lower()]
    elif not isinstance(arch, dict):
        raise TypeError('arch must be a str or a dict, but is '
                        f'{type(arch).__name__} ({arch!r}).')
    arch = dict(DEFAULTS, **arch)
    known = {*DEFAULTS, *_PER_STAGE}
    if unknown := sorted(set(arch) - known, key=str):
        raise ValueError(
            f'arch has unknown keys {unknown}. Known are {sorted(known)}.')
    if missing := sorted(known - set(arch)):
        raise ValueError(
            f'arch lacks {missing}. Give each of them one value for each of '
            'stages 1 to 4.')
    if not _is_positive_int(arch['stem_width']):
        raise ValueError(
            f"arch['stem_width']={arch['stem_width']!r} must be a positive "
            'int.')
    for key, (rule, is_valid) in _PER_STAGE.items():
        values = arch[key]
        if not isinstance(values, (list, tuple)) or len(values) != NUM_STAGES:
            raise ValueError(
                f'arch[{key!r}]={values!r} must be a list of {NUM_STAGES} '
                'values, one for each stage.')
        if not all(map(is_valid, values)):
            raise ValueError(
                f'arch[{key!r}]={values!r}: each value must be {rule}.')
    _check_channels(arch)
    return arch


def _check_channels(arch: dict) -> None:
    in_channels = arch['stem_width']
    for i, width in enumerate(arch['widths']):
        exp_ratio, head_dim = arch['exp_ratios'][i], arch['head_dims'][i]
        if int(min(in_channels, width) * exp_ratio) < 1:
            raise ValueError(
                f"stage {i + 1}: {exp_ratio} in arch['exp_ratios'] leaves no "
                'channel. Choose a larger one.')
        if arch['attention'][i] and width % head_dim:
            raise ValueError(
                f"stage {i + 1}: arch['widths'] gives {width}, which is not a "
                f"multiple of {head_dim} in arch['head_dims']. Change one so "
                'that it is.')
        in_channels = width


# --- Attention --------------------------------------------------------------
def window_partition(x: Tensor, window_size: int) -> Tensor:
    """Split a map into windows that each span the whole of it.

    Unlike Swin's, a window is a strided grid: with n = H / w, row i of window
    k is row ``i * n + k`` of the map.

    Args:
        x (Tensor): (B, H, W, C), H and W multiples of ``window_size`` w.
        window_size (int): Width w of a window.

    Returns:
        Tensor: Tokens of each window, (B * H/w * W/w, w * w, C).
    """
    B, H, W, C = x.shape
    w, n1, n2 = window_size, H // window_size, W // window_size
    x = x.reshape(B, w, n1, w, n2, C).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(B * n1 * n2, w * w, C)


def window_reverse(tokens: Tensor, window_size: int, H: int, W: int) -> Tensor:
    """Invert :func:`window_partition`.

    Args:
        tokens (Tensor): (B * H/w * W/w, w * w, C).
        window_size (int): Width w of a window.
        H (int): Height of the map.
        W (int): Width of the map.

    Returns:
        Tensor: (B, H, W, C).
    """
    w, n1, n2 = window_size, H // window_size, W // window_size
    x = tokens.reshape(-1, n1, n2, w, w, tokens.shape[-1])
    return x.permute(0, 3, 1, 4, 2, 5).reshape(-1, H, W, tokens.shape[-1])


class EWMHSA(nn.Module):
    """Attention of EW-MHSA, applied to the map before its expansion.

    The paper's EW-MHSA (Eq. 4) takes q and k from the C channels of the block
    and v from the λC expanded ones. Mixing tokens commutes with a per-token
    linear layer, so the published network mixes the C channels and expands
    the result: ``v(A x)`` in place of ``A v(x)``, at 1/λ of the cost. The
    layer v is the block's ``expand``, which follows this module.

    There is no mask: where the map is padded to a multiple of the window,
    padded tokens serve as keys, as in the published network.

    Args:
        channels (int): C.
        head_dim (int): Channels of a head; C / head_dim heads.
        window_size (int): Width w of a window. Defaults to 7.
        attn_drop_rate (float): Dropout on A. Defaults to 0.
    """

    def __init__(self,
                 channels: int,
                 head_dim: int,
                 window_size: int = 7,
                 attn_drop_rate: float = 0.0):
        super().__init__()
        self.head_dim = head_dim
        self.window_size = window_size
        self.attn_drop_rate = attn_drop_rate
        self.qk = nn.Linear(channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        H, W = x.shape[2:]
        w = self.window_size
        padded_H, padded_W = (H + w - 1) // w * w, (W + w - 1) // w * w
        x = x.permute(0, 2, 3, 1)
        if self.pads(H, W):
            x = F.pad(x, (0, 0, 0, padded_W - W, 0, padded_H - H))
        tokens = self.attend(window_partition(x, w))
        x = window_reverse(tokens, w, padded_H, padded_W)
        return x[:, :H, :W].permute(0, 3, 1, 2)

    def pads(self, H: int, W: int) -> bool:
        """Tell whether the windows reach beyond the map."""
        return H % self.window_size > 0 or W % self.window_size > 0

    def attend(self, tokens: Tensor) -> Tensor:
        """Mix the tokens (N, L, C) of each of N windows, head by head."""
        q, k = self.qk(tokens).chunk(2, dim=-1)
        q, k, v = (self._split_heads(t) for t in (q, k, tokens))
        # The default scale is head_dim ** -0.5.
        tokens = F.scaled_dot_product_attention(
            q, k, v, dropout_p=self.attn_drop_rate if self.training else 0.0)
        return tokens.transpose(1, 2).flatten(2)

    def _split_heads(self, tokens: Tensor) -> Tensor:
        """Split (N, L, C) into (N, heads, L, head_dim)."""
        return tokens.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def extra_repr(self) -> str:
        return f'head_dim={self.head_dim}, window_size={self.window_size}'


# --- The block --------------------------------------------------------------
class DWConv(nn.Module):
    """Depth-wise convolution, BatchNorm and SiLU, with an optional skip.

    Args:
        channels (int): Channels of input and output, λC of the block.
        kernel_size (int): k.
        norm_layer (Callable[[int], nn.Module]): Builds the norm.
        stride (int): Stride of the convolution. Defaults to 1.
        skip (bool): Whether the input is added. Defaults to False.
        use_se (bool): Whether squeeze-and-excitation follows. Defaults to
            False.
    """

    def __init__(self,
                 channels: int,
                 kernel_size: int,
                 norm_layer: NormLayer,
                 stride: int = 1,
                 skip: bool = False,
                 use_se: bool = False):
        super().__init__()
        self.skip = skip
        self.conv = nn.Conv2d(
            channels,
            channels,
            kernel_size,
            stride,
            padding=math.ceil((kernel_size - stride) / 2),
            groups=channels,
            bias=False)
        self.norm = norm_layer(channels)
        self.act = nn.SiLU()
        self.se = SqueezeExcite(channels) if use_se else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H / stride, W / stride)."""
        y = self.act(self.norm(self.conv(x)))
        return self.se(x + y if self.skip else y)


class iRMB(OldNames):
    """Inverted Residual Mobile Block: one residual, around five steps.

    An instance of the Meta Mobile Block (Eq. 1 to 3, Eq. 5) whose operator F
    is the cascade of EW-MHSA and DW-Conv; ``expand`` is ``MLP_e`` and
    ``project`` is ``MLP_s``. Without attention F is the DW-Conv alone. Where
    the attention stands before ``expand``, see :class:`EWMHSA`.

    Args:
        in_channels (int): C of the input.
        out_channels (int): C of the output.
        exp_ratio (float): Expansion ratio λ.
        norm (nn.Module): Normalises the input.
        norm_layer (Callable[[int], nn.Module]): Builds the norm that follows
            the depth-wise convolution.
        act_layer (Callable[[], nn.Module]): Builds the activation of the
            expansion.
        kernel_size (int): Kernel of the depth-wise convolution.
        stride (int): Stride of the depth-wise convolution. Defaults to 1.
        attn (nn.Module, optional): An :class:`EWMHSA`. Defaults to None.
        drop_path_rate (float): Probability of dropping the branch. Defaults
            to 0.
    """
    old_names = {
        'mlp_e.attn': 'attn',
        'mlp_e.conv': 'expand',
        'operator': 'dw_conv',
        'mlp_s': 'project'
    }

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
                 drop_path_rate: float = 0.0):
        super().__init__()
        mid_channels = int(in_channels * exp_ratio)
        self.skip = in_channels == out_channels and stride == 1
        self.norm = norm
        self.attn = nn.Identity() if attn is None else attn
        self.expand = PointwiseConv(in_channels, mid_channels)
        self.act = act_layer()
        self.dw_conv = DWConv(
            mid_channels, kernel_size, norm_layer, stride, skip=self.skip)
        self.project = PointwiseConv(mid_channels, out_channels, bias=False)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        y = self.norm(x)
        y = self.attn(y)
        y = self.act(self.expand(y))
        y = self.dw_conv(y)
        y = self.project(y)
        return x + self.drop_path(y) if self.skip else y


class Stem(OldNames):
    """Stage 0: a strided convolution, then a block without norm and skip.

    That block has no expansion either, but squeeze-and-excitation.

    Args:
        in_channels (int): Channels of the image.
        width (int): Channels of the output.
        norm_layer (Callable[[int], nn.Module]): Builds the norms.
    """
    old_names = {'block.operator': 'dw_conv', 'block.mlp_s': 'project'}

    def __init__(self, in_channels: int, width: int, norm_layer: NormLayer):
        super().__init__()
        # The published settings spare parameters with "norm" in their name
        # weight decay, and not this one.
        self.conv = nn.Conv2d(in_channels, width, 3, stride=2, padding=1)
        self.bn = norm_layer(width)
        self.dw_conv = DWConv(width, 3, norm_layer, use_se=True)
        self.project = PointwiseConv(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, width, H / 2, W / 2)."""
        return self.project(self.dw_conv(self.bn(self.conv(x))))


class Stage(nn.Sequential):
    """The blocks of one resolution.

    Args:
        *blocks (nn.Module): Run one after the other.
        with_cp (bool): Whether the activations of each block are recomputed
            in the backward pass. Defaults to False.
    """

    def __init__(self, *blocks: nn.Module, with_cp: bool = False):
        super().__init__(*blocks)
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        for block in self:
            x = self._recomputed(block, x) if self.with_cp else block(x)
        return x

    @staticmethod
    def _recomputed(block: nn.Module, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return block(x)
        if torch.compiler.is_compiling():
            # Compiled code does not move the statistics twice, and takes no
            # such contexts (torch 2.14: AssertionError).
            return checkpoint(block, x, use_reentrant=False)
        contexts = partial(_recomputation_contexts, block)
        return checkpoint(block, x, use_reentrant=False, context_fn=contexts)


class ChannelsLast(nn.Module):
    """The channels-last memory format.

    It suits 1x1 convolutions and LayerNorms: on a CPU a training step takes
    three quarters of the time.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same values."""
        return x.contiguous(memory_format=torch.channels_last)


# --- The network ------------------------------------------------------------
@MODELS.register_module()
class EMO(BaseModule):
    """EMO backbone.

    Stage 0 is the stem; stages 1 to 4 stack :class:`iRMB`. The first block of
    each has no attention, stride 2 and twice the expansion ratio.

    Args:
        arch (str | dict): '1m', '2m', '5m', '6m', '10m', '20m', or a dict as
            :func:`get_arch` describes. Defaults to '5m'.
        in_channels (int): Channels of the input. Defaults to 3.
        window_size (int): Width of an attention window, in positions of the
            stage's map. Defaults to 7.
        out_indices (int | Sequence[int]): Stages to return, 0 to 4, of
            strides 2, 4, 8, 16, 32, in this order. Stages after the last of
            them are not built. Defaults to 4.
        drop_path_rate (float, optional): Stochastic depth of the last block,
            growing linearly from 0 over the blocks. Defaults to None, the
            published value of the arch.
        attn_drop_rate (float): Dropout on the attention matrix. Defaults
            to 0.
        norm_cfg (dict): Type ('BN' or 'SyncBN') and arguments of the
            BatchNorm layers. Defaults to ``dict(type='BN', eps=1e-6)``.
        frozen_stages (int): Stages 0 to this one are frozen (their
            parameters and BatchNorm statistics). -1 freezes none. Defaults
            to -1.
        norm_eval (bool): Whether BatchNorm layers keep their statistics in
            training. Defaults to False.
        with_cp (bool): Whether activations are recomputed in the backward
            pass, which saves memory and costs time. Defaults to False.
        init_cfg (dict, optional): ``dict(type='Pretrained', checkpoint=X)``,
            where the type may be left out, with X a path or URL of a
            checkpoint, or 'emo://5m' for the published weights of that arch,
            see :mod:`emo_mm.models.weights`. Other initialisations are those
            of mmengine's ``BaseModule``. Defaults to None.

    Raises:
        ValueError: If an argument is invalid. The message names it.

    Example:
        >>> import torch
        >>> from emo_mm.models import EMO
        >>> model = EMO('1m', out_indices=(1, 2, 3, 4)).eval()
        >>> for out in model(torch.rand(1, 3, 224, 224)):
        ...     print(tuple(out.shape))
        (1, 32, 56, 56)
        (1, 48, 28, 28)
        (1, 80, 14, 14)
        (1, 168, 7, 7)
    """

    # The studies put other blocks here, see emo_mm.models.studies.
    block_type: type[nn.Module] = iRMB
    _is_init: bool  # BaseModule's

    def __init__(self,
                 arch: str | dict = '5m',
                 in_channels: int = 3,
                 window_size: int = 7,
                 out_indices: int | Sequence[int] = (4, ),
                 drop_path_rate: float | None = None,
                 attn_drop_rate: float = 0.0,
                 norm_cfg: dict | None = None,
                 frozen_stages: int = -1,
                 norm_eval: bool = False,
                 with_cp: bool = False,
                 init_cfg: dict | list[dict] | None = None):
        super().__init__(init_cfg)
        if isinstance(out_indices, int):
            out_indices = (out_indices, )
        self.arch = get_arch(arch)
        if drop_path_rate is None:
            drop_path_rate = self.arch['drop_path_rate']
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        _check_arguments(
            in_channels=in_channels,
            window_size=window_size,
            out_indices=self.out_indices,
            drop_path_rate=drop_path_rate,
            attn_drop_rate=attn_drop_rate,
            frozen_stages=frozen_stages)

        norm_layer = _batch_norm_layer(norm_cfg)
        attn_layer = partial(
            EWMHSA, window_size=window_size, attn_drop_rate=attn_drop_rate)
        stem_width = self.arch['stem_width']
        self.feature_widths = (stem_width, *self.arch['widths'])
        self.to_channels_last = ChannelsLast()
        self.stages = nn.ModuleList([
            Stage(Stem(in_channels, stem_width, norm_layer), with_cp=with_cp)
        ])
        depths = self.arch['depths']
        rates = torch.linspace(0, drop_path_rate, sum(depths)).tolist()
        for i in range(1, max(self.out_indices) + 1):
            first, last = sum(depths[:i - 1]), sum(depths[:i])
            self.stages.append(
                self._make_stage(i, rates[first:last], norm_layer, attn_layer))
        self._freeze_stages()

    def _make_stage(self, index: int, drop_path_rates: Sequence[float],
                    norm_layer: NormLayer,
                    attn_layer: Callable[[int, int], nn.Module]) -> Stage:
        setting = {key: self.arch[key][index - 1] for key in _PER_STAGE}
        width = setting['widths']
        block_norm = norm_layer
        if setting['norms'] == 'LN':
            block_norm = partial(LayerNorm2d, eps=1e-6)
        blocks = []
        for i, rate in enumerate(drop_path_rates):
            first = i == 0
            in_channels = self.feature_widths[index - 1] if first else width
            attn = None
            if setting['attention'] and not first:
                attn = attn_layer(width, setting['head_dims'])
            blocks.append(
                self.block_type(
                    in_channels,
                    width,
                    setting['exp_ratios'] * (2 if first else 1),
                    norm=block_norm(in_channels),
                    norm_layer=norm_layer,
                    act_layer=_ACTS[setting['acts']],
                    kernel_size=setting['kernel_sizes'],
                    stride=2 if first else 1,
                    attn=attn,
                    drop_path_rate=rate))
        return Stage(*blocks, with_cp=self.with_cp)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of the stages in ``out_indices``.

        Args:
            x (Tensor): (B, in_channels, H, W).

        Returns:
            tuple[Tensor, ...]: One (B, C, H / stride, W / stride) map each,
            without a final norm.
        """
        x = self.to_channels_last(x)
        outs = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint, or initialise as it says.

        Without ``init_cfg`` the weights stay as PyTorch initialised them,
        which is how the published network starts. mmengine calls this at the
        start of a training.

        Raises:
            FileNotFoundError: If the checkpoint cannot be found.
            ValueError: If it fills less than the whole backbone, or
                ``init_cfg`` has an unknown field.
        """
        if self._is_init:
            return
        cfgs = self.init_cfg or []
        cfgs = [cfgs] if isinstance(cfgs, dict) else cfgs
        pretrained = [
            cfg for cfg in cfgs
            if cfg.get('type', 'Pretrained') == 'Pretrained'
        ]
        if pretrained:
            # It fills every tensor, whatever another init_cfg would write.
            fields = {k: v for k, v in pretrained[0].items() if k != 'type'}
            load_pretrained(self, **fields)
            self._is_init = True
            return
        super().init_weights()
        if self.norm_eval or self.frozen_stages >= 0:
            warnings.warn(
                f'EMO starts without weights, but norm_eval={self.norm_eval} '
                f'and frozen_stages={self.frozen_stages} keep BatchNorm '
                'statistics or whole stages as they are. Unless load_from or '
                'resume brings weights, set model.backbone.init_cfg to a '
                'checkpoint, or model.backbone.norm_eval=False '
                'model.backbone.frozen_stages=-1.',
                stacklevel=2)

    def train(self, mode: bool = True) -> 'EMO':
        """Set the mode, keeping frozen stages and ``norm_eval`` norms."""
        super().train(mode)
        if mode:
            self._freeze_stages()
            if self.norm_eval:
                for module in self.modules():
                    if isinstance(module, _BatchNorm):
                        module.eval()
        return self

    def _freeze_stages(self) -> None:
        for stage in self.stages[:self.frozen_stages + 1]:
            stage.eval()
            stage.requires_grad_(False)

    def rename_keys(self, state_dict: dict, prefix: str) -> None:
        """Give published keys, and those of emo_mm 0.1, our names."""
        rename_published(state_dict, prefix)
        stem = re.compile(re.escape(prefix) + r'stages\.0\.(conv|bn|block)\.')
        for key in [key for key in state_dict if stem.match(key)]:
            start = len(prefix + 'stages.0.')
            renamed = f'{key[:start]}0.{key[start:]}'
            state_dict[renamed] = state_dict.pop(key)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        self.rename_keys(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def switch_to_deploy(self) -> None:
        """Make this the fast form for inference alone, in place.

        Outputs stay the same up to rounding. The method is the protocol of
        mmpretrain's ``reparameterize_model.py``; the work is done by
        :func:`emo_mm.inference.switch_to_deploy`, which is looked up by name,
        as the network does not import its own deployment.
        """
        FUNCTIONS.get('emo_switch_to_deploy')(self)


def _check_arguments(in_channels: int, window_size: int,
                     out_indices: tuple[int, ...], drop_path_rate: float,
                     attn_drop_rate: float, frozen_stages: int) -> None:
    for name, size in dict(
            in_channels=in_channels, window_size=window_size).items():
        if not _is_positive_int(size):
            raise ValueError(f'{name}={size!r} must be an int of at least 1.')
    for name, rate in dict(
            drop_path_rate=drop_path_rate,
            attn_drop_rate=attn_drop_rate).items():
        if not isinstance(rate, (int, float)) or not 0 <= rate < 1:
            raise ValueError(f'{name}={rate!r} must be a number in [0, 1).')
    stages = range(NUM_STAGES + 1)
    if not out_indices or any(not isinstance(i, int) or i not in stages
                              for i in out_indices):
        raise ValueError(
            f'out_indices={out_indices} must hold stages from 0 (stride 2) to '
            f'{NUM_STAGES} (stride 32).')
    if frozen_stages not in range(-1, NUM_STAGES + 1):
        raise ValueError(
            f'frozen_stages={frozen_stages} must lie between -1 (none) and '
            f'{NUM_STAGES} (all).')


def _batch_norm_layer(norm_cfg: dict | None) -> NormLayer:
    """Return a builder of BatchNorm for a number of channels."""
    settings = dict(type='BN', eps=1e-6, requires_grad=True)
    settings.update(norm_cfg or {})
    kind = settings.pop('type')
    requires_grad = settings.pop('requires_grad')
    if kind not in tuple(_BATCH_NORMS):
        raise ValueError(f"norm_cfg['type']={kind!r} must be one of "
                         f'{", ".join(_BATCH_NORMS)}.')
    for key, value in settings.items():
        if key not in _NORM_SETTINGS:
            raise ValueError(
                f'norm_cfg[{key!r}]={value!r}: {kind} has no such setting. '
                f'It has {", ".join(_NORM_SETTINGS)}.')
        rule, is_valid = _NORM_SETTINGS[key]
        if not is_valid(value):
            raise ValueError(f'norm_cfg[{key!r}]={value!r} must be {rule}.')

    def build(channels: int) -> nn.Module:
        layer = _BATCH_NORMS[kind](channels, **settings)
        return layer.requires_grad_(requires_grad)

    return build


# --- Recomputed activations -------------------------------------------------
def _recomputation_contexts(block: nn.Module):
    """Return the contexts of a recomputed block's first and second pass.

    The second pass sees the same batch again, which must not move BatchNorm's
    running statistics twice.
    """
    return nullcontext(), _statistics_kept(block)


@contextmanager
def _statistics_kept(block: nn.Module):
    norms: list[Any] = [
        m for m in block.modules() if isinstance(m, _BatchNorm)
    ]
    kept = [(norm.momentum, norm.num_batches_tracked.clone())
            for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, num_batches) in zip(norms, kept):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(num_batches)
