"""Learning-rate schedules that scale with the run.

mmengine's Runner gives a schedule without an ``end`` the length of the run, in
iterations if the schedule says ``by_epoch=False``.
"""
import math

from mmengine.optim.scheduler import LinearLR, _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS


def _check_range(kind: str, name: str, value: float, low: float,
                 high: float) -> None:
    if not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f'param_scheduler: {kind}.{name}={value!r} must be a '
                         f'number from {low} to {high}.')


@PARAM_SCHEDULERS.register_module()
class WarmupLR(LinearLR):
    """Warm up linearly per iteration, for a shorter time in a short run.

    It lasts ``warmup_iters`` iterations, but never more than ``max_ratio`` of
    the run.

    Args:
        optimizer (Optimizer or OptimWrapper): Gets the learning rate.
        warmup_iters (int): Length of the warm-up in iterations.
        end (int): Iterations of the run, given by the Runner.
        by_epoch (bool): Must be set to False, so that the Runner gives
            ``end`` in iterations.
        max_ratio (float): Longest part of the run to warm up over. Defaults
            to 0.1.
        **kwargs: Arguments of :class:`mmengine.optim.scheduler.LinearLR`.
    """

    def __init__(self,
                 optimizer,
                 warmup_iters: int,
                 end: int,
                 by_epoch: bool = True,
                 max_ratio: float = 0.1,
                 **kwargs):
        if by_epoch:
            raise ValueError('param_scheduler: WarmupLR counts iterations. '
                             'Set by_epoch=False.')
        _check_range('WarmupLR', 'warmup_iters', warmup_iters, 0, math.inf)
        _check_range('WarmupLR', 'max_ratio', max_ratio, 0, 1)
        # A line needs two points: with one, mmengine divides by zero.
        length = max(2, min(warmup_iters, int(end * max_ratio)))
        super().__init__(optimizer, end=length, by_epoch=False, **kwargs)


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    """Warm up linearly, then follow a cosine of the whole run.

    The cosine counts from the first iteration, so that the rate jumps a
    little where the warm-up ends, as in the published training of EMO
    (6.000e-3 at epoch 20.0, 5.934e-3 at 20.1).

    Args:
        optimizer (Optimizer or OptimWrapper): Gets the learning rate.
        warmup_ratio (float): Part of the run to warm up over.
        eta_min (float): Rate at the first iteration and at the end.
        end (int): Iterations of the run, given by the Runner.
        by_epoch (bool): Must be set to False, so that the Runner gives
            ``end`` in iterations.
    """

    def __init__(self,
                 optimizer,
                 warmup_ratio: float,
                 eta_min: float,
                 end: int,
                 by_epoch: bool = True,
                 **kwargs):
        if by_epoch:
            raise ValueError('param_scheduler: WarmupCosineLR counts '
                             'iterations. Set by_epoch=False.')
        _check_range('WarmupCosineLR', 'warmup_ratio', warmup_ratio, 0, 1)
        _check_range('WarmupCosineLR', 'eta_min', eta_min, 0, math.inf)
        self.warmup_iters = round(end * warmup_ratio)
        self.eta_min = eta_min
        super().__init__(
            optimizer, param_name='lr', end=end, by_epoch=False, **kwargs)

    def _get_value(self) -> list[float]:
        step = self.last_step
        if step <= self.warmup_iters:
            factor = step / max(1, self.warmup_iters)
        else:
            factor = (1 + math.cos(math.pi * step / self.end)) / 2
        return [
            self.eta_min + factor * (base - self.eta_min)
            for base in self.base_values
        ]
