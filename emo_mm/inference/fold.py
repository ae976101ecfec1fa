"""BatchNorm folded into the convolution before or after it, for inference.

What is folded is exact: BatchNorm in eval mode is a factor and a term for
each channel. LayerNorm stays as it is: zeros are padded after it, which its
term must not move.
"""
import copy
import sys
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..models.emo import EMO, DWConv, Stem, iRMB
from ..models.studies.ablations import iRMBWithoutConv
from .rewrite import Rules, rewrite


def fold(model: nn.Module) -> nn.Module:
    """Fold every BatchNorm of a model that can be folded, in place.

    Those are EMO's, and those of ``mmcv.cnn.ConvModule``. Other modules that
    have a ``switch_to_deploy``, as mmpretrain's re-parameterised backbones,
    are switched by it.

    Args:
        model (nn.Module): A backbone, classifier, detector or segmenter, with
            its weights loaded.

    Returns:
        nn.Module: ``model``, in eval mode and without gradients.
    """
    model.eval().requires_grad_(False)
    _reparameterize(model)
    return rewrite(model, _rules())


def _reparameterize(module: Any) -> None:
    if hasattr(module, 'switch_to_deploy') and not isinstance(module, EMO):
        module.switch_to_deploy()
        return
    for child in module.children():
        _reparameterize(child)


def _rules() -> Rules:
    rules = {
        Stem: _fold_stem,
        iRMB: _fold_block,
        iRMBWithoutConv: _fold_block,
        DWConv: _fold_dw_conv,
    }
    # A model with such modules has imported mmcv, which is optional and slow.
    if 'mmcv.cnn' in sys.modules:
        rules[sys.modules['mmcv.cnn'].ConvModule] = _fold_conv_module
    return rules


def _fold_stem(stem: Stem) -> Stem:
    if isinstance(stem.bn, _BatchNorm):
        stem.conv = fold_into_previous(stem.conv, stem.bn)
        stem.bn = nn.Identity()
    stem.dw_conv = _fold_dw_conv(stem.dw_conv)
    return stem


def _fold_block(block: iRMB) -> iRMB:
    # Attention takes the norm's output, too.
    attends = not isinstance(block.attn, nn.Identity)
    if isinstance(block.norm, _BatchNorm) and not attends:
        block.expand = fold_into_next(block.norm, block.expand)
        block.norm = nn.Identity()
    if isinstance(block.dw_conv, DWConv):
        block.dw_conv = _fold_dw_conv(block.dw_conv)
    return block


def _fold_dw_conv(dw_conv: DWConv) -> DWConv:
    if isinstance(dw_conv.norm, _BatchNorm):
        dw_conv.conv = fold_into_previous(dw_conv.conv, dw_conv.norm)
        dw_conv.norm = nn.Identity()
    return dw_conv


def _fold_conv_module(module: nn.Module) -> nn.Module:
    if (isinstance(module.norm, _BatchNorm) and type(module.conv) is nn.Conv2d
            and 'convnorm' in ''.join(module.order)):
        module.conv = fold_into_previous(module.conv, module.norm)
        setattr(module, module.norm_name, nn.Identity())
    return module


def fold_into_previous(conv: nn.Conv2d, norm: _BatchNorm) -> nn.Conv2d:
    """Return a convolution that computes ``norm(conv(x))``."""
    return fuse_conv_bn_eval(conv.eval(), norm.eval()).requires_grad_(False)


def fold_into_next(norm: Any, conv: nn.Conv2d) -> nn.Conv2d:
    """Return a 1x1 convolution that computes ``conv(norm(x))``."""
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    bias = conv.weight.flatten(1) @ shift
    if conv.bias is not None:
        bias = bias + conv.bias
    folded = copy.deepcopy(conv)
    folded.weight = nn.Parameter(conv.weight * scale[:, None, None], False)
    folded.bias = nn.Parameter(bias, False)
    return folded.requires_grad_(False)
