# SSDLite from scratch on blood cells at 160x160, small enough for a CPU. In
# data/bccd lie images/ and annotations/{train,val,test}.json.
_base_ = '../ssdlite_emo_1m.py'

input_size = 160
classes = ('RBC', 'WBC', 'Platelets')

model = dict(
    backbone=dict(
        # The size of stage 4's map.
        window_size=5,
        drop_path_rate=0.,
        norm_cfg=dict(type='BN'),
        norm_eval=False,
        init_cfg=None),
    bbox_head=dict(
        num_classes=3,
        # The base's sizes times 160 / 320; strides of 10, 5, 3, 2, 1, 1 cells.
        anchor_generator=dict(
            strides=[16, 32, 53, 80, 160, 160],
            min_sizes=[24, 50, 75, 101, 126, 152],
            max_sizes=[50, 75, 101, 126, 152, 160])))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='MinIoURandomCrop',
        min_ious=(0.1, 0.3, 0.5, 0.7, 0.9),
        min_crop_size=0.3),
    dict(type='Resize', scale=(input_size, input_size), keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(input_size, input_size), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor')),
]
data_root = 'data/bccd/'
data = dict(
    data_root=data_root,
    data_prefix=dict(img='images/'),
    metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        times=1,
        dataset=dict(
            ann_file='annotations/train.json', pipeline=train_pipeline,
            **data)))
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        ann_file='annotations/val.json', pipeline=test_pipeline, **data))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=60, val_interval=20)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3), paramwise_cfg=dict(norm_decay_mult=0.))
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(logger=dict(interval=12))
