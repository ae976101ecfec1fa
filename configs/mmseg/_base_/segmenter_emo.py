# What DeepLabv3 and PSPNet with EMO on ADE20K, 512x512, share: all but the
# kind of decode head.
_base_ = [
    'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/schedules/schedule_80k.py',
    'mmseg::_base_/default_runtime.py',
    '../../_base_/emo_runtime.py',
]

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512)),
    backbone=dict(
        type='EMO',
        arch='5m',
        window_size=7,
        out_indices=(1, 2, 3, 4),
        norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='emo://5m')),
    decode_head=dict(
        in_index=3,
        channels=256,
        num_classes=150,
        dropout_ratio=0.1,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(
            type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
    auxiliary_head=dict(
        type='FCNHead',
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        num_classes=150,
        dropout_ratio=0.1,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(
            type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1.2e-4, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(norm=dict(decay_mult=0.))))

# Without an end, the decay lasts as long as the run.
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0., by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=32)

default_hooks = dict(checkpoint=dict(max_keep_ckpts=1, save_best='mIoU'))
