"""Mends for faults in the released OpenMMLab libraries.

One module per library and fault. Each names the fault, its upstream report
and what ends it, and changes nothing where the fault is not: either it looks
for it first, or what it wraps around a function acts on the fault alone. A
library is mended when it is imported, or at once if it has been imported
already, so that importing this package imports none of them.
"""
from . import (mmcv_adjust_hue, mmdet_inferencer_names, mmdet_recall_ragged,
               mmdet_ssd_loss_cls, mmengine_amp_cpu, mmengine_checkpoint,
               mmengine_ddp_cpu, mmengine_dist_cpu,
               mmpretrain_inferencer_names, mmpretrain_retrieval_in1d,
               mmpretrain_transformers, mmseg_inferencer_names,
               mmseg_test_runner_type)

__all__ = [
    'mmcv_adjust_hue', 'mmdet_inferencer_names', 'mmdet_recall_ragged',
    'mmdet_ssd_loss_cls', 'mmengine_amp_cpu', 'mmengine_checkpoint',
    'mmengine_ddp_cpu', 'mmengine_dist_cpu', 'mmpretrain_inferencer_names',
    'mmpretrain_retrieval_in1d', 'mmpretrain_transformers',
    'mmseg_inferencer_names', 'mmseg_test_runner_type'
]
