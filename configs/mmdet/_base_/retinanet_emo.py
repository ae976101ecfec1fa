# RetinaNet with EMO on COCO, 1x. mmdet's RetinaNet with the backbone, the
# optimizer and the decay replaced, as published.
_base_ = [
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    '../../_base_/emo_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='EMO',
        arch='5m',
        window_size=7,
        out_indices=(1, 2, 3, 4),
        norm_cfg=dict(type='SyncBN'),
        frozen_stages=1,
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='emo://5m')))

train_dataloader = dict(batch_size=4, num_workers=4)

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-4, weight_decay=0.05),
    paramwise_cfg=dict(custom_keys=dict(norm=dict(decay_mult=0.))))

# As published; ssdlite_emo.py says why it is WarmupLR and without an end.
param_scheduler = [
    dict(
        type='WarmupLR', start_factor=0.001, warmup_iters=500, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=32)

default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=1, save_best='coco/bbox_mAP'))
