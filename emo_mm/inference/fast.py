"""The fast form of a network: folded, fused, reusing memory."""
from collections.abc import Callable, Sequence

import torch
from mmengine.registry import FUNCTIONS
from torch import Tensor, nn

from ..models.emo import EWMHSA, DWConv, Stage, Stem, iRMB
from ..models.layers import PointwiseConv, SqueezeExcite
from ..models.studies.ablations import iRMBWithoutConv
from .fold import fold
from .fused_conv import FusedConv, is_recorded
from .rewrite import Rules, rewrite

# Samples pass a stage in groups whose widest map is no larger: it stays in
# cache, and malloc gives the same memory again where it would ask the system
# for blank pages, which can cost more than the arithmetic.
GROUP_BYTES = 8 * 2**20


@FUNCTIONS.register_module(name='emo_switch_to_deploy')
def switch_to_deploy(model: nn.Module) -> nn.Module:
    """Make every EMO in a model fast for inference alone, in place.

    Norms and activations are folded into convolutions, see
    :func:`emo_mm.inference.fold.fold`, which takes the rest of the model too;
    maps are changed in place; and batches pass in groups that stay in cache.
    Outputs stay the same up to rounding.

    Args:
        model (nn.Module): A backbone, classifier, detector or segmenter, with
            its weights loaded.

    Returns:
        nn.Module: ``model``, in eval mode and without gradients.
    """
    return rewrite(fold(model), FAST)


class FastStage(nn.Sequential):
    """The blocks of one resolution, for inference.

    On a CPU as many samples at a time pass it as :data:`GROUP_BYTES` allows.
    The first convolution makes the widest map. The mode stays eval.

    Args:
        stage (Stage): Whose blocks are rewritten, in place.
    """

    def __init__(self, stage: Stage):
        super().__init__(*(rewrite(block, FAST) for block in stage))
        self.train(False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        if x.device.type != 'cpu' or is_recorded():
            return super().forward(x)
        conv = first_conv(self)
        size = x[0, 0].numel() * conv.out_channels * x.element_size()
        group = GROUP_BYTES * conv.stride[0] * conv.stride[1] // size
        return in_groups(super().forward, x, group)

    def train(self, mode: bool = True) -> 'FastStage':
        """Stay in eval mode, whatever ``mode``."""
        return super().train(False)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        own = self.state_dict()
        if any(
                key.startswith(prefix) and key[len(prefix):] not in own
                for key in state_dict):
            raise ValueError('EMO has been switched to deploy: its norms are '
                             'folded into other layers. Load weights first, '
                             'then call switch_to_deploy().')
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class FastStem(nn.Module):
    """The stem, for inference.

    Args:
        stem (Stem): A folded one.
    """

    def __init__(self, stem: Stem):
        super().__init__()
        self.conv = stem.conv
        self.dw_conv = FastDWConv(stem.dw_conv)
        self.project = FusedConv(stem.project)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, width, H / 2, W / 2)."""
        return self.project(self.dw_conv(self.conv(x)))


class FastBlock(nn.Module):
    """An iRMB, for inference.

    Args:
        block (iRMB): A folded one.
    """

    def __init__(self, block: iRMB):
        super().__init__()
        self.skip = block.skip
        self.norm = block.norm
        self.attn = rewrite(block.attn, FAST)
        self.expand = _fused(block.expand, block.act)
        self.dw_conv = rewrite(block.dw_conv, FAST)
        self.project = FusedConv(block.project)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        y = self.attn(self.norm(x))
        y = self.project(self.dw_conv(self.expand(y)))
        return y.add_(x) if self.skip else y


class FastAttention(EWMHSA):
    """EW-MHSA whose compiled graph holds for every size of the map.

    Args:
        attn (EWMHSA): Whose weights are taken over.
    """

    def __init__(self, attn: EWMHSA):
        super().__init__(attn.qk.in_features, attn.head_dim, attn.window_size)
        self.qk = attn.qk

    def pads(self, H: int, W: int) -> bool:
        """Tell whether to pad: where a graph is recorded, by zero perhaps."""
        return is_recorded() or super().pads(H, W)


class FastDWConv(nn.Module):
    """A DW-Conv, for inference.

    Args:
        dw_conv (DWConv): A folded one.
    """

    def __init__(self, dw_conv: DWConv):
        super().__init__()
        self.skip = dw_conv.skip
        if isinstance(dw_conv.norm, nn.Identity):
            self.conv = _fused(dw_conv.conv, dw_conv.act)
        else:
            self.conv = nn.Sequential(dw_conv.conv, dw_conv.norm, dw_conv.act)
        self.se = rewrite(dw_conv.se, FAST)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H / stride, W / stride)."""
        y = self.conv(x)
        return self.se(y.add_(x) if self.skip else y)


class FastSqueezeExcite(nn.Module):
    """Squeeze-and-excitation that scales its input in place.

    Args:
        se (SqueezeExcite): Whose convolutions are taken over.
    """

    def __init__(self, se: SqueezeExcite):
        super().__init__()
        self.conv_reduce = FusedConv(se.conv_reduce, nn.SiLU())
        self.conv_expand = FusedConv(se.conv_expand)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of (B, C, H, W)."""
        gate = self.conv_expand(self.conv_reduce(x.mean((2, 3), keepdim=True)))
        return x.mul_(gate.sigmoid_())


FAST: Rules = {
    Stage: FastStage,
    Stem: FastStem,
    iRMB: FastBlock,
    iRMBWithoutConv: FastBlock,
    EWMHSA: FastAttention,
    DWConv: FastDWConv,
    SqueezeExcite: FastSqueezeExcite,
    PointwiseConv: FusedConv,
}


def _fused(conv: nn.Conv2d, act: nn.Module) -> nn.Module:
    if FusedConv.fuses(act):
        return FusedConv(conv, act)
    return nn.Sequential(FusedConv(conv), act)


def first_conv(module: nn.Module) -> nn.Conv2d:
    """Return the first convolution of a module, in order of registration."""
    return next(m for m in module.modules() if isinstance(m, nn.Conv2d))


def in_groups(call: Callable, x: Tensor, size: int):
    """Compute ``call(x)``, ``size`` samples at a time, at least one."""
    if len(x) <= size:
        return call(x)
    return concatenate([call(part) for part in x.split(max(1, size))])


def concatenate(outputs: Sequence, length: int | None = None):
    """Join tensors, or sequences of them, along their first dimension.

    Args:
        outputs (Sequence): Tensors, or tuples or lists of them.
        length (int, optional): What the joined ones are cut to.
    """
    if isinstance(outputs[0], Tensor):
        return torch.cat(outputs)[:length]
    return type(outputs[0])(
        concatenate(parts, length) for parts in zip(*outputs))
