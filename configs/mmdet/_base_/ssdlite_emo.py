# SSDLite with EMO on COCO, 320x320. mmdet's SSDLite with the backbone, the
# optimizer and the length of the warm-up replaced, as published.
_base_ = [
    'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py',
    '../../_base_/emo_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='EMO',
        arch='5m',
        window_size=7,
        out_indices=(3, 4),
        norm_cfg=dict(type='SyncBN'),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='emo://5m')))

# BatchNorm of the 1x1 level cannot train on a last batch of one image.
train_dataloader = dict(drop_last=True)

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1.2e-3, weight_decay=0.05),
    paramwise_cfg=dict(custom_keys=dict(norm=dict(decay_mult=0.))))

# 500 iterations of warm-up and a cosine per epoch, as published. Neither has
# an end, so that both follow train_cfg.max_epochs; and where LinearLR would
# spend a short run warming up, WarmupLR takes at most a tenth of it.
param_scheduler = [
    dict(
        type='WarmupLR', start_factor=0.001, warmup_iters=500, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=192)

default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=1, save_best='coco/bbox_mAP'))
