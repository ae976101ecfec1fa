"""What runs the training: runner, checks, schedules."""
from .runner import CheckedRunner
from .schedulers import WarmupCosineLR, WarmupLR

__all__ = ['CheckedRunner', 'WarmupCosineLR', 'WarmupLR']
