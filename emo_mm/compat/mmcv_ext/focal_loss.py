"""The losses of `Focal Loss for Dense Object Detection
<https://arxiv.org/abs/1708.02002>`_.

mmcv's kernels clamp probabilities at the smallest float32; here the sigmoid's
logarithms are exact for any logit.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import upcast

TINY = torch.finfo(torch.float32).tiny


def sigmoid_focal_loss_forward(input: Tensor, target: Tensor, weight: Tensor,
                               output: Tensor, gamma: float,
                               alpha: float) -> None:
    """Write each class's binary focal loss into ``output``.

    Args:
        input (Tensor): Logits, of shape (N, C).
        target (Tensor): Classes, of shape (N, ); one outside of 0 to C - 1
            means background.
        weight (Tensor): One weight per class, of shape (C, ), or empty. It
            applies to the whole row by the row's class; background has 1.
        output (Tensor): The output, of shape (N, C).
        gamma (float): How strongly well classified examples are weighted down.
        alpha (float): Weight of the positives; negatives have 1 - alpha.
    """
    logits, = upcast(input)
    positive, scale = _positives(logits, target, weight, alpha)
    # With z = x or -x the loss is that of a positive.
    logits = torch.where(positive, logits, -logits)
    output.copy_(-scale * (-logits).sigmoid()**gamma * F.logsigmoid(logits))


def sigmoid_focal_loss_backward(input: Tensor, target: Tensor, weight: Tensor,
                                grad_input: Tensor, gamma: float,
                                alpha: float) -> None:
    """Write the gradient of the sum of the losses into ``grad_input``.

    Args:
        input (Tensor): Logits, of shape (N, C).
        target (Tensor): Classes, of shape (N, ).
        weight (Tensor): One weight per class, of shape (C, ), or empty.
        grad_input (Tensor): The output, of shape (N, C).
        gamma (float): As in the forward operator.
        alpha (float): As in the forward operator.
    """
    logits, = upcast(input)
    positive, scale = _positives(logits, target, weight, alpha)
    logits = torch.where(positive, logits, -logits)
    prob, rest = logits.sigmoid(), (-logits).sigmoid()
    # d/dz of -(1 - p)**gamma * log(p), where dp/dz = p * (1 - p).
    slope = rest**gamma * (gamma * prob * F.logsigmoid(logits) - rest)
    grad_input.copy_(scale * torch.where(positive, slope, -slope))


def softmax_focal_loss_forward(input: Tensor, target: Tensor, weight: Tensor,
                               output: Tensor, gamma: float,
                               alpha: float) -> None:
    """Write each row's focal loss into ``output``.

    Args:
        input (Tensor): Probabilities after softmax, of shape (N, C).
        target (Tensor): Classes, of shape (N, ); the loss of a negative one
            is 0.
        weight (Tensor): One weight per class, of shape (C, ), or empty.
        output (Tensor): The output, of shape (N, ).
        gamma (float): How strongly well classified examples are weighted down.
        alpha (float): Weight of all losses.
    """
    prob, scale = _probability(input, target, weight, alpha)
    output.copy_(-scale * (1 - prob)**gamma * prob.clamp(min=TINY).log())


def softmax_focal_loss_backward(input: Tensor, target: Tensor, weight: Tensor,
                                buff: Tensor, grad_input: Tensor, gamma: float,
                                alpha: float) -> None:
    """Write the gradient of the sum of the losses into ``grad_input``.

    Args:
        input (Tensor): Probabilities after softmax, of shape (N, C).
        target (Tensor): Classes, of shape (N, ).
        weight (Tensor): One weight per class, of shape (C, ), or empty.
        buff (Tensor): The output for the losses' derivatives by the logarithm
            of the target's probability, of shape (N, ).
        grad_input (Tensor): The output for the gradient by the logits before
            softmax, of shape (N, C).
        gamma (float): As in the forward operator.
        alpha (float): As in the forward operator.
    """
    prob, scale = _probability(input, target, weight, alpha)
    # A probability of 1 and a gamma below 1 would give infinity times 0.
    rest = (1 - prob).clamp(min=TINY)
    slope = scale * (
        gamma * rest**(gamma - 1) * prob * prob.clamp(min=TINY).log() -
        (1 - prob)**gamma)
    probs, = upcast(input)
    one_hot = _one_hot(target, probs).to(probs)
    buff.copy_(slope)
    grad_input.copy_(slope[:, None] * (one_hot - probs))


def _one_hot(target: Tensor, like: Tensor) -> Tensor:
    """Return a boolean mask of each row's class, of shape (N, C)."""
    return target[:, None] == torch.arange(like.size(1), device=like.device)


def _class_weight(target: Tensor, weight: Tensor, like: Tensor) -> Tensor:
    """Return each row's class weight, of shape (N, ); 1 for background."""
    ones = like.new_ones(target.size(0))
    if weight.numel() == 0:
        return ones
    known = (target >= 0) & (target < weight.numel())
    return torch.where(known, weight.detach().to(ones)[target * known], ones)


def _positives(logits: Tensor, target: Tensor, weight: Tensor,
               alpha: float) -> tuple[Tensor, Tensor]:
    """Return where a class is its row's, and the factor on its loss."""
    positive = _one_hot(target, logits)
    scale = torch.full_like(logits, 1 - alpha).masked_fill_(positive, alpha)
    return positive, scale * _class_weight(target, weight, logits)[:, None]


def _probability(input: Tensor, target: Tensor, weight: Tensor,
                 alpha: float) -> tuple[Tensor, Tensor]:
    """Return the target's probability, and the factor on its loss."""
    probs, = upcast(input)
    known = target >= 0
    prob = probs.gather(1, (target * known)[:, None]).squeeze(1)
    return prob, alpha * known * _class_weight(target, weight, probs)
