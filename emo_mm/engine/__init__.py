"""What runs the training: runner, checks, schedules."""
from .runner import CheckedRunner
from .schedulers import WarmupLR

__all__ = ['CheckedRunner', 'WarmupLR']
