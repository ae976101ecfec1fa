"""What a training runs with: runner, schedules, hooks."""
from .hooks import (
    CurvesHook,
    FirstBatchHook,
    ValImagesHook,
    ValPicturesHook,
)
from .runner import CheckedRunner
from .schedulers import WarmupCosineLR, WarmupLR

__all__ = [
    'CheckedRunner', 'CurvesHook', 'FirstBatchHook', 'ValImagesHook',
    'ValPicturesHook', 'WarmupCosineLR', 'WarmupLR'
]
