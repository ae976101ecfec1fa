import math

import numpy as np
import pytest
import torch
from mmcv import ops
from torch.autograd import gradcheck

from tests.golden.mmcv_ops import ROI_SHAPE as SHAPE
from tests.golden.mmcv_ops import cases, draw_rois
from tests.golden.mmcv_ops import forward_backward as run_backward


def make_rois(number=40, dtype=torch.float32):
    return torch.from_numpy(draw_rois(np.random.default_rng(0),
                                      number)).to(dtype)


def forward_backward(function, features, rois, *args):
    return run_backward(lambda x: function(x, rois, *args), features)


@pytest.mark.parametrize('case', cases('roi_align'), ids=str)
def test_roi_align_forward_and_backward(assert_close_to_compiled, case):
    assert_close_to_compiled(case, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('case', cases('roi_align_scale'), ids=str)
def test_roi_align_at_a_scale_that_is_no_power_of_two(assert_close_to_compiled,
                                                      case):
    assert_close_to_compiled(case, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize('case', cases('roi_align_parts'), ids=str)
def test_roi_align_max_in_parts(assert_close_to_compiled, monkeypatch, case):
    monkeypatch.setattr('emo_mm.compat.mmcv_ext.roi.SAMPLES', 1000)
    assert_close_to_compiled(case, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('pool_mode', ['avg', 'max'])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_roi_align_gradient_is_that_of_its_output(ours, device, pool_mode,
                                                  sampling_ratio):
    features = torch.randn(1, 2, 6, 6, dtype=torch.float64, device=device)
    rois = torch.tensor([[0, 1, 2, 9, 8.], [0, -2, 0, 5, 12.]],
                        dtype=torch.float64,
                        device=device)
    assert gradcheck(
        lambda x: ops.roi_align(x, rois,
                                (2, 3), 0.5, sampling_ratio, pool_mode, True),
        features.requires_grad_(),
        fast_mode=True,
        # Atomic additions on CUDA come in any order.
        nondet_tol=1e-12)


@pytest.mark.parametrize(
    'function', [
        lambda x, rois: ops.roi_align(x, rois, (2, 2)),
        lambda x, rois: ops.roi_align(x, rois, (2, 2), 1.0, 0, 'max'),
        lambda x, rois: ops.roi_pool(x, rois, (2, 2)),
    ],
    ids=['align avg', 'align max', 'pool'])
class TestAnyInput:

    def test_no_regions(self, ours, device, function):
        features = torch.randn(SHAPE, device=device, requires_grad=True)
        output = function(features, features.new_zeros(0, 5))
        assert output.shape == (0, 3, 2, 2)
        output.sum().backward()
        assert features.grad.abs().sum() == 0

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_narrow_format(self, ours, device, function, dtype):
        features = torch.randn(SHAPE, device=device).to(dtype)
        rois = make_rois()[4:].to(device, dtype)
        output, grad = forward_backward(function, features, rois)
        assert output.dtype == grad.dtype == dtype
        wide, wide_grad = forward_backward(function, features.float(),
                                           rois.float())
        # The format's own precision in the output. The gradient is left to
        # the shape: max may take a neighbour's place, which shifts it.
        torch.testing.assert_close(output, wide.to(dtype))
        assert torch.isfinite(grad).all() and grad.abs().sum() > 0
        assert (grad.float() - wide_grad).norm() < 0.1 * wide_grad.norm()

    def test_channels_last(self, ours, device, function):
        features = torch.randn(SHAPE, device=device)
        rois = make_rois().to(device)
        expected = forward_backward(function, features, rois)
        actual = forward_backward(
            function, features.to(memory_format=torch.channels_last), rois)
        torch.testing.assert_close(actual, expected)


def reference_roi_pool(features, rois, size, scale):
    """Definition of mmcv's CUDA operator; the compiled one has no CPU part."""
    output = features.new_zeros(len(rois), features.size(1), *size)
    limits = features.shape[-2:]
    for k, (index, x1, y1, x2, y2) in enumerate(rois.tolist()):
        start = (y1 * scale, x1 * scale)
        extent = ((y2 + 1) * scale - start[0], (x2 + 1) * scale - start[1])
        if min(extent) <= 0:
            continue
        for y in range(size[0]):
            for x in range(size[1]):
                low, high = [], []
                for axis, place in enumerate((y, x)):
                    step = extent[axis] / size[axis]
                    limit = limits[axis]
                    low.append(
                        min(
                            max(math.floor(place * step + start[axis]), 0),
                            limit))
                    high.append(
                        min(
                            max(
                                math.ceil((place + 1) * step + start[axis]),
                                0), limit))
                if low[0] < high[0] and low[1] < high[1]:
                    window = features[int(index), :, low[0]:high[0],
                                      low[1]:high[1]]
                    output[k, :, y, x] = window.flatten(1).max(1).values
    return output


@pytest.mark.parametrize('scale', [0.5, 1.0, 0.3])
@pytest.mark.parametrize('size', [(3, 3), (2, 5), (1, 1)])
def test_roi_pool_forward_and_backward(ours, device, size, scale):
    # float64, where the reference's plain Python numbers round alike.
    features = torch.randn(SHAPE, dtype=torch.float64)
    rois = make_rois(20, dtype=torch.float64)
    rois[4, 1:] = torch.tensor([5.3, 5.3, 4.2, 4.2])  # less than nothing
    rois[5:15] = rois[5:15].round()
    expected = forward_backward(reference_roi_pool, features, rois, size,
                                scale)
    actual = forward_backward(ops.roi_pool, features.to(device),
                              rois.to(device), size, scale)
    for ours_, reference in zip(actual, expected):
        torch.testing.assert_close(ours_.cpu(), reference)
    assert actual[0].abs().sum() > 0


def test_roi_pool_differs_from_torchvision(ours):
    """mmcv divides a region before it rounds, torchvision after that."""
    features = torch.arange(64.).view(1, 1, 8, 8)
    rois = torch.tensor([[0, 1., 1., 4., 4.]])
    # Columns 0.5 to 1.5 and 1.5 to 2.5 and so on, each widened to pixels.
    expected = torch.tensor([[9., 10.], [17., 18.]]).view(1, 1, 2, 2)
    assert torch.equal(ops.roi_pool(features, rois, (2, 2), 0.5), expected)
