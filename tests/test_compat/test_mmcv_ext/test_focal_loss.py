"""The compiled mmcv has focal losses for CUDA only: these are definitions."""
import pytest
import torch
import torch.nn.functional as F
from mmcv import ops
from mmdet.models.losses import focal_loss as losses
from torch.autograd import gradcheck

NUMBER, CLASSES = 30, 5
SETTINGS = [(2.0, 0.25), (0.0, 0.5), (1.0, 0.75), (1.5, 0.3), (0.5, 0.25)]


@pytest.fixture
def logits(device):
    # Some beyond where a float32 sigmoid is 0 or 1.
    values = torch.randn(NUMBER, CLASSES, dtype=torch.float64) * 3
    values[:4] *= 15
    return values.to(device).requires_grad_()


@pytest.fixture
def target(device):
    """Includes background, which is one class more."""
    return torch.randint(0, CLASSES + 1, (NUMBER, ), device=device)


def reference_sigmoid(logits, target, gamma, alpha, weight=None):
    one_hot = F.one_hot(target, CLASSES + 1)[:, :CLASSES].to(logits)
    prob = logits.sigmoid()
    missed = torch.where(one_hot > 0, 1 - prob, prob)
    share = torch.where(one_hot > 0, alpha, 1 - alpha)
    loss = F.binary_cross_entropy_with_logits(
        logits, one_hot, reduction='none')
    loss = loss * share * missed**gamma
    if weight is not None:
        row = torch.cat([weight, weight.new_ones(1)])[target]
        loss = loss * row[:, None]
    return loss


def reference_softmax(logits, target, gamma, alpha, weight=None):
    prob = logits.softmax(1)[torch.arange(NUMBER), target.clamp(min=0)]
    loss = -alpha * (1 - prob)**gamma * prob.log() * (target >= 0)
    return loss if weight is None else loss * weight[target.clamp(min=0)]


def value_and_grad(function, logits, *args):
    logits = logits.detach().clone().requires_grad_()
    loss = function(logits, *args)
    loss.sum().backward()
    return loss.detach(), logits.grad


@pytest.mark.parametrize('gamma, alpha', SETTINGS)
@pytest.mark.parametrize('weighted', [False, True])
def test_sigmoid(ours, logits, target, gamma, alpha, weighted):
    logits = logits.detach().clamp(-20, 20)
    weight = torch.rand(CLASSES).to(logits) if weighted else None
    actual = value_and_grad(ops.sigmoid_focal_loss, logits, target, gamma,
                            alpha, weight, 'none')
    expected = value_and_grad(reference_sigmoid, logits, target, gamma, alpha,
                              weight)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
@pytest.mark.parametrize('gamma, alpha', SETTINGS)
def test_sigmoid_gradient_is_that_of_its_value(ours, logits, target, gamma,
                                               alpha, reduction):
    # Where it is not too steep for finite differences.
    logits = logits.detach()[4:].requires_grad_()
    assert gradcheck(
        lambda x: ops.sigmoid_focal_loss(x, target[4:], gamma, alpha, None,
                                         reduction),
        logits,
        fast_mode=True)


def test_sigmoid_is_mmdets_own_loss(ours, device, target):
    logits = torch.randn(NUMBER, CLASSES, device=device) * 3
    one_hot = F.one_hot(target, CLASSES + 1)[:, :CLASSES]

    def mmdets(x):
        return losses.py_sigmoid_focal_loss(x, one_hot, reduction='none')

    actual = value_and_grad(ops.sigmoid_focal_loss, logits, target, 2.0, 0.25,
                            None, 'none')
    torch.testing.assert_close(
        actual, value_and_grad(mmdets, logits), rtol=1e-5, atol=1e-6)


def test_sigmoid_of_extreme_logits(ours, device):
    logits = torch.tensor([[-200., 200.], [200., -200.]], device=device)
    target = torch.tensor([0, 0], device=device)
    loss, grad = value_and_grad(ops.sigmoid_focal_loss, logits, target, 2.0,
                                0.25, None, 'none')
    assert loss.tolist() == [[50., 150.], [0., 0.]]
    assert grad.tolist() == [[-0.25, 0.75], [0., 0.]]


@pytest.mark.parametrize('gamma, alpha', SETTINGS)
@pytest.mark.parametrize('weighted', [False, True])
def test_softmax(ours, logits, target, gamma, alpha, weighted):
    target = target - 1  # of which -1 counts nothing
    logits = logits.detach().clamp(-15, 15)
    weight = torch.rand(CLASSES).to(logits) if weighted else None
    settings = (logits, target, gamma, alpha, weight)
    loss = ops.softmax_focal_loss(*settings, 'none')
    assert (loss[target < 0] == 0).all()
    torch.testing.assert_close(loss, reference_softmax(*settings))
    # With 'none' mmcv's backward works for a single row only.
    _, actual = value_and_grad(ops.softmax_focal_loss, *settings, 'sum')
    _, expected = value_and_grad(reference_softmax, *settings)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
@pytest.mark.parametrize('gamma, alpha', SETTINGS)
def test_softmax_gradient_is_that_of_its_value(ours, logits, target, gamma,
                                               alpha, reduction):
    logits = logits.detach()[4:].requires_grad_()
    assert gradcheck(
        lambda x: ops.softmax_focal_loss(x, target[4:] - 1, gamma, alpha, None,
                                         reduction),
        logits,
        fast_mode=True)


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_softmax_of_extreme_logits_stays_finite(ours, device, gamma):
    logits = torch.tensor([[-200., 200.], [200., -200.]], device=device)
    target = torch.tensor([0, 0], device=device)
    loss, grad = value_and_grad(ops.softmax_focal_loss, logits, target, gamma,
                                0.25, None, 'sum')
    assert torch.isfinite(loss) and torch.isfinite(grad).all()
    assert grad[1].tolist() == [0., 0.]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('function',
                         [ops.sigmoid_focal_loss, ops.softmax_focal_loss])
def test_narrow_format(ours, device, dtype, function):
    logits = torch.randn(NUMBER, CLASSES, device=device).to(dtype)
    target = torch.randint(0, CLASSES, (NUMBER, ), device=device)
    actual = value_and_grad(function, logits, target)
    expected = value_and_grad(function, logits.float(), target)
    for narrow, wide in zip(actual, expected):
        assert narrow.dtype == dtype
        torch.testing.assert_close(narrow.float(), wide, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize('function',
                         [ops.sigmoid_focal_loss, ops.softmax_focal_loss])
def test_no_rows(ours, device, function):
    logits = torch.zeros(0, CLASSES, device=device, requires_grad=True)
    target = torch.zeros(0, dtype=torch.long, device=device)
    loss = function(logits, target, 2.0, 0.25, None, 'sum')
    loss.backward()
    assert loss == 0 and logits.grad.shape == logits.shape
