import numpy as np
import pytest
import torch
from mmcv import ops
from mmcv.ops import multi_scale_deform_attn as attention
from torch.autograd import gradcheck

from tests.golden.mmcv_ops import (
    GEOMETRIES,
    cases,
    draw_deform,
    forward_backward,
)


def make_inputs(batch):
    """Input, offset, weight, mask and bias of a 3 x 3 kernel."""
    return map(torch.from_numpy,
               draw_deform(np.random.default_rng(0), batch, GEOMETRIES[0]))


def modulated(x, offset, weight, mask, bias):
    return ops.modulated_deform_conv2d(x, offset, mask, weight, bias, 1, 1)


def assert_rounded(actual, expected, dtype):
    """No error but the format's own, in the results and their gradients."""
    for narrow, wide in zip(actual, expected):
        assert narrow.dtype == dtype
        error = (narrow.float() - wide).norm() / wide.norm()
        assert error < 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize(
    'case',
    cases('deform_conv', 'deform_conv_large', 'modulated_deform_conv',
          'modulated_deform_conv_large'),
    ids=str)
def test_output_and_gradients(assert_close_to_compiled, case):
    assert_close_to_compiled(
        case, rtol=1e-5, atol=1e-5, relative_to_scale=True)


def test_deform_conv_operator_takes_any_step(ours, device):
    x, offset, weight, *_ = (tensor.to(device) for tensor in make_inputs(33))
    outputs = []
    for step in (1, 32):
        output = x.new_empty(33, 4, 9, 11)
        ours.deform_conv_forward(x, weight, offset, output, x.new_empty(0),
                                 x.new_empty(0), 3, 3, 1, 1, 1, 1, 1, 1, 1, 1,
                                 step)
        outputs.append(output)
    assert torch.equal(*outputs)


@pytest.mark.parametrize('needed', ['input', 'offset', 'weight'])
def test_deform_conv_of_which_one_gradient_is_needed(ours, device, needed):
    x, offset, weight, *_ = (tensor.to(device) for tensor in make_inputs(2))
    tensors = dict(input=x, offset=offset, weight=weight)
    tensors[needed].requires_grad_()
    ops.deform_conv2d(*tensors.values(), 1, 1).sum().backward()
    one = tensors[needed].grad
    for tensor in tensors.values():
        tensor.requires_grad_().grad = None
    ops.deform_conv2d(*tensors.values(), 1, 1).sum().backward()
    torch.testing.assert_close(one, tensors[needed].grad)


def test_gradient_of_the_weight_accumulates_with_its_scale(ours):
    x, offset, weight, *_ = make_inputs(2)
    grad = torch.randn(2, 4, 9, 11)
    sums = []
    for start, scale in ((0., 1.), (10., 0.5)):
        total = torch.full_like(weight, start)
        ours.deform_conv_backward_parameters(x, offset, grad, total, x, x, 3,
                                             3, 1, 1, 1, 1, 1, 1, 1, 1, scale,
                                             2)
        sums.append(total)
    torch.testing.assert_close(sums[1], 10 + sums[0] / 2)


def test_gradients_are_those_of_the_output(ours, device):
    x, offset, weight, mask, _ = (
        tensor.to(device, torch.float64) for tensor in make_inputs(1))
    tensors = [x, offset, mask]
    tensors = [tensor[..., :5, :5] for tensor in tensors] + [weight]
    # Away from whole positions, where the interpolation has its corners.
    tensors[1] = tensors[1].round() + 0.4
    assert gradcheck(
        lambda *args: ops.modulated_deform_conv2d(*args, None, 1, 1),
        [tensor.requires_grad_() for tensor in tensors],
        fast_mode=True,
        nondet_tol=1e-9)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_narrow_format(ours, device, dtype):
    tensors = [tensor.to(device, dtype) for tensor in make_inputs(2)]
    actual = forward_backward(modulated, *tensors)
    expected = forward_backward(modulated,
                                *(tensor.float() for tensor in tensors))
    assert_rounded(actual, expected, dtype)


def test_deform_conv_layer_trains_under_autocast(ours, device):
    layer = ops.ModulatedDeformConv2dPack(8, 4, 3, padding=1).to(device)
    x = torch.randn(2, 8, 9, 11, device=device)
    with torch.autocast(device, dtype=torch.bfloat16):
        output = layer(x)
    output.float().square().sum().backward()
    assert all(
        torch.isfinite(parameter.grad).all()
        for parameter in layer.parameters())
    torch.testing.assert_close(output.float(), layer(x), rtol=0.05, atol=0.05)


@pytest.fixture
def attention_inputs(device):
    shapes = torch.tensor([[6, 4], [3, 2]], device=device)
    value = torch.randn(2, 30, 2, 4, dtype=torch.float64, device=device)
    places = torch.rand(2, 5, 2, 2, 3, 2, dtype=torch.float64, device=device)
    weights = torch.rand(2, 5, 2, 2, 3, dtype=torch.float64, device=device)
    return shapes, [value, places, weights]


def attend(shapes, value, places, weights, step=64):
    starts = shapes.new_tensor([0, 24])
    return attention.MultiScaleDeformableAttnFunction.apply(
        value, shapes, starts, places, weights, step)


def test_ms_deform_attn_is_mmcvs_own_in_pytorch(ours, attention_inputs):
    shapes, tensors = attention_inputs
    actual = forward_backward(lambda *args: attend(shapes, *args), *tensors)
    expected = forward_backward(
        lambda value, *args: attention.multi_scale_deformable_attn_pytorch(
            value, shapes, *args), *tensors)
    torch.testing.assert_close(actual, expected)


def test_ms_deform_attn_gradients_are_those_of_the_output(
        ours, attention_inputs):
    shapes, tensors = attention_inputs
    assert gradcheck(
        lambda *args: attend(shapes, *args),
        [tensor.requires_grad_() for tensor in tensors],
        fast_mode=True,
        nondet_tol=1e-9)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_ms_deform_attn_of_a_narrow_format(ours, attention_inputs, dtype):
    shapes, tensors = attention_inputs
    tensors = [tensor.to(dtype) for tensor in tensors]
    actual = forward_backward(lambda *args: attend(shapes, *args), *tensors)
    expected = forward_backward(lambda *args: attend(shapes, *args),
                                *(tensor.float() for tensor in tensors))
    assert_rounded(actual, expected, dtype)


def test_ms_deform_attn_layer(ours, device):
    layer = ops.MultiScaleDeformableAttention(16, 2, num_levels=2).to(device)
    shapes = torch.tensor([[6, 4], [3, 2]], device=device)
    query = torch.randn(5, 3, 16, device=device)
    value = torch.randn(30, 3, 16, device=device)
    output = layer(
        query,
        value=value,
        reference_points=torch.rand(3, 5, 2, 2, device=device),
        spatial_shapes=shapes,
        level_start_index=shapes.new_tensor([0, 24]))
    output.sum().backward()
    assert output.shape == query.shape
    assert layer.value_proj.weight.grad.abs().sum() > 0
