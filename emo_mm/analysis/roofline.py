"""What a machine could do at best, and how far a network is from it."""
from functools import partial
from typing import Dict, List

import torch
from torch import Tensor, nn

from emo_mm.models import EMO

from .benchmark import DTYPES, flatten
from .flops import count_cost
from .timing import time_interleaved


def machine_limits(device: str = 'cpu',
                   dtype: str = 'float32',
                   repeats: int = 5) -> Dict[str, float]:
    """Measured peak and bandwidth.

    Returns:
        dict[str, float]: ``flops``, floating-point operations per second of a
        product of two matrices (a multiply-add is two), and ``bandwidth``,
        bytes per second that a copy too large for a cache reads and writes.
    """
    size, large = 2048, 2**26
    a, b = torch.rand(2, size, size, device=device).to(DTYPES[dtype])
    source = torch.rand(large, device=device)
    target = torch.empty_like(source)
    timings = time_interleaved(
        dict(
            product=lambda: torch.mm(a, b), copy=lambda: target.copy_(source)),
        repeats, 0.1, device)
    return dict(
        flops=2 * size**3 / timings['product'].seconds,
        bandwidth=2 * 4 * large / timings['copy'].seconds)


def stage_limits(model: nn.Module,
                 images: Tensor,
                 limits: Dict[str, float],
                 repeats: int = 5) -> List[dict]:
    """How far the stages of an EMO are from the machine's limit, float32.

    Bytes are those that each layer has to move: its input, its output and its
    weights, once. A layer's least time is the larger of what its FLOPs and
    its bytes take at the machine's limits.

    Args:
        model (nn.Module): With an EMO in it, in the mode to measure.
        images (Tensor): (B, 3, H, W).
        limits (dict): Of :func:`machine_limits`.
        repeats (int): Of the timing. Defaults to 5.

    Returns:
        list[dict]: For each stage ``stage``, ``flops`` (multiply-adds twice),
        ``bytes``, ``seconds`` and ``least_seconds``.

    Raises:
        ValueError: If there is no EMO.
    """
    backbone = next((m for m in model.modules() if isinstance(m, EMO)), None)
    if backbone is None:
        raise ValueError('model has no EMO, whose stages are measured.')
    device = str(images.device)
    rows, calls = [], {}
    x = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for i, stage in enumerate(backbone.stages):
            macs = count_cost(stage, (x[:1], )).flops * len(x)
            moved = _bytes_moved(stage, x)
            rows.append(
                dict(
                    stage=i,
                    flops=2 * macs,
                    bytes=moved,
                    least_seconds=max(2 * macs / limits['flops'],
                                      moved / limits['bandwidth'])))
            calls[i] = partial(_run, stage, x)
            x = calls[i]()
    timings = time_interleaved(calls, repeats, 0.1, device)
    for row in rows:
        row['seconds'] = timings[row['stage']].seconds
    return rows


@torch.inference_mode()
def _run(stage: nn.Module, x: Tensor) -> Tensor:
    return stage(x)


def _bytes_moved(module: nn.Module, x: Tensor) -> int:
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
