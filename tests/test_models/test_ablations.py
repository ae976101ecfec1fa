"""Blocks of the ablations: what they compute, and how they fit into EMO."""
import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from emo_mm.models import EMO
from emo_mm.models.emo import EWMHSA, DWConv, iRMB
from emo_mm.models.layers import LayerNorm2d
from emo_mm.models.studies.ablations import (
    EMOWithBlock,
    ExpandedMHSA,
    MetaFormerBlock,
    iRMBAttentionAfterExpansion,
    iRMBConvFirst,
    iRMBParallel,
    iRMBWithoutConv,
)
from tests.helpers import TINY

BLOCKS = (iRMBWithoutConv, iRMBAttentionAfterExpansion, iRMBConvFirst,
          iRMBParallel, MetaFormerBlock)


def make(block_type, channels=8, stride=1, attn=True):
    return block_type(
        channels,
        channels,
        4,
        norm=LayerNorm2d(channels),
        norm_layer=nn.BatchNorm2d,
        act_layer=nn.GELU,
        kernel_size=3,
        stride=stride,
        attn=EWMHSA(channels, head_dim=4, window_size=3) if attn else None)


def make_linear_and_grouped(block, num_heads):
    """Make the expansion one linear map per head: no bias, no activation."""
    conv = block.expand
    block.expand = nn.Conv2d(
        conv.in_channels, conv.out_channels, 1, groups=num_heads, bias=False)
    block.act = nn.Identity()


@pytest.mark.parametrize('size', [(6, 9), (7, 5)])
def test_attention_before_and_after_a_grouped_linear_expansion_agree(size):
    before, after = make(iRMB), make(iRMBAttentionAfterExpansion)
    for block in (before, after):
        make_linear_and_grouped(block, num_heads=2)
    after.load_state_dict(before.state_dict())
    x = torch.randn(2, 8, *size)
    expected = before(x)
    torch.testing.assert_close(after(x), expected, rtol=0, atol=1e-5)
    # It is the two conditions that make them agree.
    after.act = nn.GELU()
    assert not torch.allclose(after(x), expected, rtol=0, atol=1e-3)


def test_attention_on_expanded_channels():
    attn = ExpandedMHSA(4, head_dim=2, window_size=2)
    x, x_e = torch.randn(1, 4, 2, 2), torch.randn(1, 6, 2, 2)
    q, k = attn.qk(x.flatten(2).transpose(1, 2)).chunk(2, -1)
    v = x_e.flatten(2).transpose(1, 2)
    heads = [
        (q[..., 2 * h:2 * h + 2] @ k[..., 2 * h:2 * h + 2].transpose(1, 2) /
         2**0.5).softmax(-1) @ v[..., 3 * h:3 * h + 3] for h in range(2)
    ]
    expected = torch.cat(heads, -1).transpose(1, 2).reshape(x_e.shape)
    torch.testing.assert_close(attn(torch.cat([x, x_e], 1)), expected)


def test_conv_first_attends_to_what_was_convolved():
    block = make(iRMBConvFirst).eval()
    x = torch.randn(2, 8, 6, 6)
    y = block.norm(x)
    x_f = block.dw_conv(block.act(block.expand(y)))
    x_f = block.attn(torch.cat([y, x_f], 1))
    torch.testing.assert_close(block(x), x + block.project(x_f))


def test_parallel_operators_have_half_of_the_channels_each():
    block = make(iRMBParallel).eval()
    x = torch.randn(2, 8, 6, 6)
    y = block.norm(x)
    x_e = block.act(block.expand(y))
    attended = block.attn(torch.cat([y, x_e[:, :16]], 1))
    x_f = torch.cat([attended, block.dw_conv(x_e[:, 16:])], 1)
    torch.testing.assert_close(block(x), x + block.project(x_f))


def test_metaformer_has_two_residuals():
    block = make(MetaFormerBlock).eval()
    x = torch.randn(2, 8, 6, 6)
    mixer, ffn = block.mixer, block.ffn
    y = mixer.mlp_e(mixer.norm(x))
    y = x + mixer.mlp_s(mixer.operator(y))
    expected = y + ffn.mlp_s(ffn.mlp_e(ffn.norm(y)))
    torch.testing.assert_close(block(x), expected)
    assert mixer.norm is not ffn.norm


def test_without_conv_only_strides_convolve():
    assert not any(
        isinstance(m, DWConv) for m in make(iRMBWithoutConv).modules())
    block = make(iRMBWithoutConv, stride=2, attn=False)
    assert block(torch.randn(2, 8, 6, 6)).shape == (2, 8, 3, 3)


@pytest.mark.parametrize('block', BLOCKS, ids=lambda block: block.__name__)
def test_emo_of_other_blocks_trains(block):
    model = EMOWithBlock(
        TINY, block=block.__name__, out_indices=(1, 2, 3, 4), window_size=3)
    blocks = [b for stage in model.stages[1:] for b in stage]
    assert all(type(b) is block for b in blocks)
    outs = model(torch.randn(2, 3, 64, 96))
    assert [out.shape[1:] for out in outs] == [(8, 16, 24), (8, 8, 12),
                                               (16, 4, 6), (16, 2, 3)]
    sum(out.square().mean() for out in outs).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name


def test_a_registered_block():

    @MODELS.register_module(name='OwnBlock', force=True)
    class OwnBlock(iRMB):
        pass

    model = MODELS.build(
        dict(type='EMOWithBlock', block='OwnBlock', arch=TINY))
    assert isinstance(model, EMO) and type(model.stages[4][0]) is OwnBlock
    assert type(EMO(TINY).stages[4][0]) is iRMB


def test_an_unknown_block_is_named():
    with pytest.raises(ValueError, match="block='Nothing' is not in"):
        EMOWithBlock(TINY, block='Nothing')
