"""What runs the training: runner, checks, schedules, hooks."""
from .hooks import CurvesHook, ValPicturesHook
from .runner import CheckedRunner
from .schedulers import WarmupCosineLR, WarmupLR

__all__ = [
    'CheckedRunner', 'CurvesHook', 'ValPicturesHook', 'WarmupCosineLR',
    'WarmupLR'
]
