import pytest
import torch
from torch import nn

from emo_mm.inference.export import rank4_partition, rank4_reverse
from emo_mm.models import MetaMobileBlock, iRMB
from emo_mm.models.emo import EWMHSA, window_partition, window_reverse
from emo_mm.models.layers import LayerNorm2d


def test_meta_mobile_block_computes_its_equation():
    operator = nn.Conv2d(8, 8, 3, padding=1)
    block = MetaMobileBlock(4, 4, 2, operator=lambda channels: operator)
    x = torch.rand(2, 4, 6, 6)
    expanded = nn.functional.silu(block.mlp_e.conv(x))
    assert expanded.shape[1] == 8
    torch.testing.assert_close(block(x), x + block.mlp_s(operator(expanded)))


@pytest.mark.parametrize('attends', [False, True])
def test_irmb_is_an_instance_of_it(attends):
    block = iRMB(
        8,
        8,
        2,
        norm=LayerNorm2d(8),
        norm_layer=nn.BatchNorm2d,
        act_layer=nn.GELU,
        kernel_size=3,
        attn=EWMHSA(8, head_dim=4, window_size=3) if attends else None)
    general = MetaMobileBlock(
        8,
        8,
        2,
        operator=lambda channels: block.dw_conv,
        norm=block.norm,
        mlp_e=nn.Sequential(block.attn, block.expand, block.act),
        mlp_s=block.project)
    x = torch.rand(2, 8, 6, 10)
    torch.testing.assert_close(block.eval()(x), general.eval()(x))


def test_no_skip_where_the_width_changes():
    block = MetaMobileBlock(4, 6, 2, operator=lambda channels: nn.Identity())
    assert not block.skip
    assert block(torch.rand(1, 4, 5, 5)).shape == (1, 6, 5, 5)


def test_a_window_is_a_strided_grid():
    # 4 x 6 positions, windows of 2: window (k1, k2) holds rows k1, k1 + 2
    # and columns k2, k2 + 3.
    x = torch.arange(24).reshape(1, 4, 6, 1)
    windows = window_partition(x, 2).flatten(1)
    assert windows[0].tolist() == [0, 3, 12, 15]
    assert windows[4].tolist() == [7, 10, 19, 22]


def test_exported_windows_are_the_same():
    x = torch.rand(2, 4, 6, 5)
    windows = torch.jit.trace(lambda x: rank4_partition(x, 2), x)
    assert torch.equal(windows(x), window_partition(x, 2))
    maps = torch.jit.trace(lambda x: rank4_reverse(x, 2, 4, 6), windows(x))
    assert torch.equal(maps(windows(x)), x)
    for trace in (windows, maps):
        permutations = trace.graph.findAllNodes('aten::permute')
        ranks = [p.inputsAt(0).type().dim() for p in permutations]
        assert ranks == [4, 4]


@pytest.mark.parametrize('window_size', [1, 2, 4])
def test_window_reverse_inverts_partition(window_size):
    x = torch.rand(3, 8, 12, 5)
    tokens = window_partition(x, window_size)
    assert tokens.shape == (288 // window_size**2, window_size**2, 5)
    assert torch.equal(window_reverse(tokens, window_size, 8, 12), x)


def test_attention_of_one_window_is_multi_head_attention():
    attn = EWMHSA(12, head_dim=4, window_size=3)
    x = torch.rand(2, 12, 3, 3)
    tokens = x.flatten(2).transpose(1, 2)
    reference = nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():  # q and k as ours, v and the output left alone
        reference.in_proj_weight[:24] = attn.qk.weight
        reference.in_proj_bias[:24] = attn.qk.bias
        reference.in_proj_weight[24:] = torch.eye(12)
        reference.in_proj_bias[24:] = 0
        reference.out_proj.weight.copy_(torch.eye(12))
        reference.out_proj.bias.zero_()
    expected = reference(tokens, tokens, tokens)[0]
    torch.testing.assert_close(attn(x).flatten(2).transpose(1, 2), expected)


def test_padded_positions_serve_as_keys():
    attn = EWMHSA(4, head_dim=4, window_size=2)
    x = torch.rand(1, 4, 1, 1)
    # The window holds x and three zeros: weights of k = its bias.
    padded = nn.functional.pad(x, (0, 1, 0, 1))
    torch.testing.assert_close(attn(x), attn(padded)[:, :, :1, :1])
    assert not torch.allclose(attn(x), x)
