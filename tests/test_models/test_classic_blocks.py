"""Known blocks, weight for weight, as instances of the Meta Mobile Block."""
import pytest
import torch
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual

from emo_mm.models import FFN, IRB, MHSA, MetaMobileBlock
from emo_mm.models.studies.classic_blocks import SelfAttention

TOLERANCE = dict(rtol=0, atol=1e-5)


def copy_in_order(source, target):
    """Copy the state of layers that both list in the same order."""
    values = list(source.state_dict().values())
    keys = list(target.state_dict())
    assert len(values) == len(keys)
    target.load_state_dict(dict(zip(keys, values)))


def random_statistics(module):
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('in_channels, out_channels, stride, exp_ratio', [
    (8, 8, 1, 6),
    (8, 8, 2, 6),
    (8, 16, 1, 6),
    (8, 8, 1, 1),
])
def test_irb_is_mobilenet_v2s_block(in_channels, out_channels, stride,
                                    exp_ratio, training):
    reference = InvertedResidual(in_channels, out_channels, stride, exp_ratio)
    random_statistics(reference)
    reference.train(training)
    block = IRB(in_channels, out_channels, exp_ratio, stride).train(training)
    copy_in_order(reference, block)
    x = torch.randn(4, in_channels, 9, 7)
    torch.testing.assert_close(block(x), reference(x), **TOLERANCE)
    assert block.skip == reference.use_res_connect


@pytest.fixture
def layer():
    """A pre-norm Transformer layer of 12 channels, 3 heads and λ = 4."""
    layer = nn.TransformerEncoderLayer(
        12,
        3,
        48,
        dropout=0.,
        activation='gelu',
        batch_first=True,
        norm_first=True)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer


def to_blocks(layer):
    attention, ffn = MHSA(12, num_heads=3), FFN(12, exp_ratio=4)
    mha = layer.self_attn
    attention.load_state_dict({
        'norm.weight':
        layer.norm1.weight,
        'norm.bias':
        layer.norm1.bias,
        'operator.qkv.weight':
        mha.in_proj_weight,
        'operator.qkv.bias':
        mha.in_proj_bias,
        'mlp_s.weight':
        mha.out_proj.weight[:, :, None, None],
        'mlp_s.bias':
        mha.out_proj.bias,
    })
    ffn.load_state_dict({
        'norm.weight':
        layer.norm2.weight,
        'norm.bias':
        layer.norm2.bias,
        'mlp_e.conv.weight':
        layer.linear1.weight[:, :, None, None],
        'mlp_e.conv.bias':
        layer.linear1.bias,
        'mlp_s.weight':
        layer.linear2.weight[:, :, None, None],
        'mlp_s.bias':
        layer.linear2.bias,
    })
    return attention, ffn


def tokens_of(x):
    return x.flatten(2).transpose(1, 2)


def test_mhsa_is_the_transformers_first_half(layer):
    x = torch.randn(2, 12, 5, 4)
    tokens = tokens_of(x)
    normed = layer.norm1(tokens)
    expected = tokens + layer.self_attn(normed, normed, normed)[0]
    actual = tokens_of(to_blocks(layer)[0](x))
    torch.testing.assert_close(actual, expected, **TOLERANCE)


def test_ffn_is_the_transformers_second_half(layer):
    x = torch.randn(2, 12, 5, 4)
    tokens = tokens_of(x)
    hidden = nn.functional.gelu(layer.linear1(layer.norm2(tokens)))
    expected = tokens + layer.linear2(hidden)
    actual = tokens_of(to_blocks(layer)[1](x))
    torch.testing.assert_close(actual, expected, **TOLERANCE)


def test_both_make_the_transformers_layer(layer):
    x = torch.randn(2, 12, 5, 4)
    blocks = nn.Sequential(*to_blocks(layer))
    torch.testing.assert_close(
        tokens_of(blocks(x)), layer(tokens_of(x)), **TOLERANCE)


def test_an_operator_of_your_own():

    class Pooling(nn.Module):  # PoolFormer's token mixer

        def forward(self, x):
            return nn.functional.avg_pool2d(x, 3, 1, 1) - x

    channels = []
    block = MetaMobileBlock(
        4, 4, 3, operator=lambda c: channels.append(c) or Pooling())
    x = torch.randn(2, 4, 6, 6)
    expected = x + block.mlp_s(Pooling()(block.mlp_e(x)))
    torch.testing.assert_close(block(x), expected)
    assert channels == [12]


def test_heads_must_divide_channels():
    with pytest.raises(ValueError, match='num_heads=5 must divide the 12'):
        SelfAttention(12, 5)
