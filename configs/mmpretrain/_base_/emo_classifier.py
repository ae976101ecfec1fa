# The EMO classifier on ImageNet-1K, 224x224, with the published recipe, which
# used mixed precision: --amp.
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

# timm's "rand-m9-mstd0.5-inc1", under which there is no colour jitter.
# Interpolation is chosen at random; no mixup, CutMix or erasing.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomChoice',
        transforms=[
            [
                dict(
                    type='RandomResizedCrop',
                    scale=224,
                    backend='pillow',
                    interpolation='bilinear')
            ],
            [
                dict(
                    type='RandomResizedCrop',
                    scale=224,
                    backend='pillow',
                    interpolation='bicubic')
            ],
        ]),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic')),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=256, num_workers=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=256, num_workers=8)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(
        type='AdamW', lr=6e-3, betas=(0.9, 0.999), eps=1e-8,
        weight_decay=0.05),
    # No weight decay on biases and 1-d parameters.
    paramwise_cfg=dict(
        norm_decay_mult=0., bias_decay_mult=0., flat_decay_mult=0.),
    clip_grad=dict(max_norm=5.0))
# 20 of 300 epochs of warm-up. WarmupCosineLR in place of LinearLR followed by
# CosineAnnealingLR, for two reasons: in the published log the cosine counts
# from epoch 0, so that the rate jumps from 6.000e-3 at epoch 20.0 to 5.934e-3
# at 20.1; and the warm-up is a part of the run, whatever its max_epochs.
param_scheduler = dict(
    type='WarmupCosineLR', warmup_ratio=20 / 300, eta_min=1e-6, by_epoch=False)
train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(enable=False, base_batch_size=2048)

custom_hooks = [
    dict(
        type='EMAHook',
        momentum=2e-4,
        update_buffers=True,
        priority='ABOVE_NORMAL')
]
default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=1, save_best='accuracy/top1'))
