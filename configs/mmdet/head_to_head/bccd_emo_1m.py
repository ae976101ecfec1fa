# Blood cells. In data/bccd lie images/ and annotations/{train,val,test}.json.
_base_ = '../_base_/ssdlite_emo_1m_160.py'

# The size of stage 4's map.
model = dict(backbone=dict(window_size=5))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='MinIoURandomCrop',
        min_ious=(0.1, 0.3, 0.5, 0.7, 0.9),
        min_crop_size=0.3),
    dict(type='Resize', scale=(160, 160), keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
data_root = 'data/bccd/'
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        times=1,
        dataset=dict(
            data_root=data_root,
            ann_file='annotations/train.json',
            data_prefix=dict(img='images/'),
            metainfo=dict(classes=('RBC', 'WBC', 'Platelets')),
            pipeline=train_pipeline)))
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/val.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=('RBC', 'WBC', 'Platelets'))))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=60, val_interval=20)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3), paramwise_cfg=dict(norm_decay_mult=0.))
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(logger=dict(interval=12))
