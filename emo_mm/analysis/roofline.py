"""Roofline of a machine, and how close the stages of a network come to it.

The roofline model (Williams et al., "Roofline: An Insightful Visual
Performance Model", CACM 2009) bounds a layer's speed by the machine's peak in
arithmetic and by its memory bandwidth.
"""
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from emo_mm.models import EMO

from .benchmark import flatten
from .costs import count_cost
from .timing import time_interleaved


@dataclass(frozen=True)
class Machine:
    """What a machine reaches in float32.

    Attributes:
        peak (float): Floating-point operations per second of a product of two
            matrices; a multiply-add is two.
        bandwidth (float): Bytes per second that a copy too large for a cache
            reads and writes.
    """
    peak: float
    bandwidth: float


def measure_machine(device: str = 'cpu', repeats: int = 5) -> Machine:
    """Measure peak and bandwidth of a device."""
    size, large = 2048, 2**26
    a, b = torch.rand(2, size, size, device=device)
    source = torch.rand(large, device=device)
    target = torch.empty_like(source)
    timings = time_interleaved(
        dict(
            product=lambda: torch.mm(a, b), copy=lambda: target.copy_(source)),
        repeats, 0.1, device)
    return Machine(
        peak=2 * size**3 / timings['product'].seconds,
        bandwidth=2 * 4 * large / timings['copy'].seconds)


def stage_rooflines(model: nn.Module,
                    images: Tensor,
                    machine: Machine,
                    repeats: int = 5) -> list[dict]:
    """Measure how close the stages of an EMO come to the roofline, in float32.

    A layer has to move its input, its output and its weights, once. Its least
    time is the larger of what its FLOPs take at the machine's peak and what
    these bytes take at its bandwidth.

    Args:
        model (nn.Module): With an EMO in it, in the form to measure.
        images (Tensor): (B, 3, H, W).
        machine (Machine): As :func:`measure_machine` returns it.
        repeats (int): Rounds of the timing. Defaults to 5.

    Returns:
        list[dict]: For each stage ``stage``, ``flops`` (multiply-adds twice),
        ``bytes``, ``seconds`` and ``least_seconds``.

    Raises:
        ValueError: If there is no EMO.
    """
    backbone = next((m for m in model.modules() if isinstance(m, EMO)), None)
    if backbone is None:
        raise ValueError('model has no EMO, whose stages are measured.')
    rows: list[dict] = []
    calls = {}
    x = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for i, stage in enumerate(backbone.stages):
            flops = 2 * count_cost(stage, (x[:1], )).flops * len(x)
            moved = _bytes_moved(stage, x)
            rows.append(
                dict(
                    stage=i,
                    flops=flops,
                    bytes=moved,
                    least_seconds=max(flops / machine.peak,
                                      moved / machine.bandwidth)))
            calls[i] = partial(_run, stage, x)
            x = calls[i]()
    timings = time_interleaved(calls, repeats, 0.1, str(images.device))
    for i, row in enumerate(rows):
        row['seconds'] = timings[i].seconds
    return rows


@torch.inference_mode()
def _run(stage: nn.Module, x: Tensor) -> Tensor:
    return stage(x)


def _bytes_moved(module: nn.Module, x: Tensor) -> int:
    """Return the bytes that the layers of ``module(x)`` have to move."""
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        tensors = (*flatten(inputs), *flatten(output), *layer.parameters())
        total += sum(t.numel() * t.element_size() for t in tensors)

    leaves = [
        m for m in module.modules()
        if not list(m.children()) and not isinstance(m, nn.Identity)
    ]
    hooks = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return total
