"""Patches for faults in releases of the OpenMMLab libraries.

One module per library and fault. Its docstring names the fault, the versions
that have it, its upstream report and what ends it; its ``PATCH`` says the same
to :mod:`.registry`. Importing this package imports none of the libraries but
mmengine: each is patched when it is imported.
"""
import importlib

from .registry import Patch, PatchWarning

__all__ = ['PATCHES', 'Patch', 'PatchWarning']

_NAMES = (
    'mmcv_adjust_hue',
    'mmdet_inferencer_names',
    'mmdet_recall_ragged',
    'mmdet_ssd_loss_cls',
    'mmengine_amp_cpu',
    'mmengine_autocast_cpu',
    'mmengine_checkpoint',
    'mmengine_ddp_cpu',
    'mmengine_dist_cpu',
    'mmengine_inferencer_type',
    'mmengine_sliced_dataset',
    'mmpretrain_inferencer_names',
    'mmpretrain_retrieval_in1d',
    'mmpretrain_transformers',
    'mmseg_inferencer_names',
    'mmseg_test_runner_type',
)

PATCHES: list[Patch] = [
    importlib.import_module(f'{__name__}.{name}').PATCH for name in _NAMES
]
for _patch in PATCHES:
    _patch.register()
