# The EMO classifier on ImageNet-1K, 224x224.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    'mmpretrain::_base_/default_runtime.py',
    '../../_base_/emo_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(type='EMO'),
    neck=dict(type='NormGlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1),
        topk=(1, 5),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02)))
