"""What a training runs with: runner, loops, schedules, hooks."""
from .checkpoints import SafeCheckpointHook
from .hooks import (
    CurvesHook,
    FirstBatchHook,
    ValImagesHook,
    ValPicturesHook,
)
from .interrupt import InterruptHook
from .loops import ResumableEpochBasedTrainLoop, ResumableIterBasedTrainLoop
from .non_finite import NonFiniteHook
from .plain_checkpoint import PlainCheckpointHook
from .runner import CheckedRunner
from .schedulers import WarmupCosineLR, WarmupLR

__all__ = [
    'CheckedRunner', 'CurvesHook', 'FirstBatchHook', 'InterruptHook',
    'NonFiniteHook', 'PlainCheckpointHook', 'ResumableEpochBasedTrainLoop',
    'ResumableIterBasedTrainLoop', 'SafeCheckpointHook', 'ValImagesHook',
    'ValPicturesHook', 'WarmupCosineLR', 'WarmupLR'
]
