"""What a training runs with: runner, schedules, hooks."""
from .hooks import CurvesHook, ValImagesHook, ValPicturesHook
from .plain_checkpoint import PlainCheckpointHook
from .runner import CheckedRunner
from .schedulers import WarmupCosineLR, WarmupLR

__all__ = [
    'CheckedRunner', 'CurvesHook', 'PlainCheckpointHook', 'ValImagesHook',
    'ValPicturesHook', 'WarmupCosineLR', 'WarmupLR'
]
