import copy
import io

import pytest
import torch
from torch import nn

from emo_mm.inference.fused_conv import FusedConv
from emo_mm.models.layers import PointwiseConv

CONVS = {
    '1x1': lambda: PointwiseConv(8, 24),
    '1x1 without bias': lambda: PointwiseConv(8, 24, bias=False),
    'depth-wise': lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8),
    'strided': lambda: nn.Conv2d(8, 8, 5, 2, padding=2, groups=8, bias=False),
}


def maps(*sizes):
    return [
        torch.randn(size).to(memory_format=torch.channels_last)
        for size in sizes
    ]


@pytest.fixture
def conv():
    return CONVS['1x1']().requires_grad_(False)


@pytest.mark.parametrize('name', CONVS)
@pytest.mark.parametrize('act', [None, nn.SiLU(), nn.GELU()], ids=str)
def test_it_is_the_convolution_and_the_activation(name, act):
    conv = CONVS[name]()
    fused = FusedConv(conv, act)
    with torch.no_grad():
        # The second map takes the weights as laid out for the first, others
        # are of other magnitudes.
        for x in maps((2, 8, 14, 14), (1, 8, 12, 41), (5, 8, 9, 23),
                      (1, 8, 1, 1)):
            expected = conv(x) if act is None else act(conv(x))
            torch.testing.assert_close(fused(x), expected)


def test_which_activations_it_applies():
    assert FusedConv.fuses(None)
    assert FusedConv.fuses(nn.GELU())
    assert not FusedConv.fuses(nn.GELU('tanh'))
    assert not FusedConv.fuses(nn.ReLU())


def test_it_shares_the_parameters(conv):
    assert FusedConv(conv).weight is conv.weight
    assert FusedConv(conv).state_dict().keys() == conv.state_dict().keys()


def test_weights_loaded_after_a_call_count(conv):
    x, = maps((1, 8, 4, 4))
    fused = FusedConv(conv)
    fused(x)
    other = CONVS['1x1']()
    fused.load_state_dict(other.state_dict())
    torch.testing.assert_close(fused(x), other(x))


def test_it_can_be_copied_and_stored_after_a_call(conv):
    x, = maps((1, 8, 4, 4))
    fused = FusedConv(conv, nn.SiLU())
    expected = fused(x)
    file = io.BytesIO()
    torch.save(fused, file)
    file.seek(0)
    for copied in (copy.deepcopy(fused), torch.load(file, weights_only=False)):
        assert torch.equal(copied(x), expected)


def test_other_types_take_the_plain_way(conv):
    x, = maps((2, 8, 4, 4))
    fused = FusedConv(conv, nn.GELU())
    expected = fused(x)
    with torch.autocast('cpu', torch.bfloat16):
        assert fused(x).dtype is torch.bfloat16
    torch.testing.assert_close(fused.double()(x.double()).float(), expected)


@pytest.mark.parametrize('act', [nn.SiLU(), nn.GELU()], ids=str)
def test_gradients_pass(conv, act):
    x, = maps((2, 8, 4, 4))
    x.requires_grad_()
    gradients = [
        torch.autograd.grad(call(x).sum(), x)[0]
        for call in (FusedConv(conv, act), nn.Sequential(conv, act))
    ]
    torch.testing.assert_close(*gradients)


def test_an_exported_graph_holds_a_plain_convolution(conv):
    x, = maps((2, 8, 4, 4))
    fused = FusedConv(conv, nn.GELU())
    fused(x)
    graph = torch.export.export(fused, (x, )).graph
    called = [str(node.target) for node in graph.nodes]
    assert 'aten.conv2d.default' in called
    assert not any('mkldnn' in target for target in called)
