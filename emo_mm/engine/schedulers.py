"""Learning-rate schedules that scale with the run."""
from mmengine.optim.scheduler import LinearLR
from mmengine.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupLR(LinearLR):
    """Linear warm-up per iteration, shortened where the run is short.

    mmengine's Runner hands a schedule that names no ``end`` the run's length;
    this one warms up over ``warmup_iters`` iterations, but never over more
    than ``max_ratio`` of the run.

    Args:
        optimizer (Optimizer or OptimWrapper): Its learning rate is set.
        warmup_iters (int): Length of the warm-up in iterations.
        end (int): Iterations of the run, given by the Runner.
        by_epoch (bool): False. A config has to say so, for the Runner to
            give ``end`` in iterations.
        max_ratio (float): Longest part of the run to warm up over. Defaults
            to 0.1.
        **kwargs: Of :class:`mmengine.optim.scheduler.LinearLR`.
    """

    def __init__(self,
                 optimizer,
                 warmup_iters: int,
                 end: int,
                 by_epoch: bool,
                 max_ratio: float = 0.1,
                 **kwargs):
        if by_epoch:
            raise ValueError('param_scheduler: WarmupLR counts iterations. '
                             'Set by_epoch=False.')
        # A line needs two points: with one, mmengine divides by zero.
        length = max(2, min(warmup_iters, int(end * max_ratio)))
        super().__init__(optimizer, end=length, by_epoch=False, **kwargs)
