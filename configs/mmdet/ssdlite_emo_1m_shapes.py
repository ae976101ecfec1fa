# The demo: SSDLite with EMO-1M from scratch on generated shapes, small enough
# for a few minutes on two CPU cores. `make demo` runs it.
_base_ = './ssdlite_emo_1m.py'

input_size = 160
classes = ('circle', 'square', 'triangle')

model = dict(
    backbone=dict(
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
data_root = 'demo/shapes/'
data = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    dataset=dict(times=4, dataset=dict(pipeline=train_pipeline, **data)))
val_dataloader = dict(
    batch_size=16, dataset=dict(pipeline=test_pipeline, **data))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=4, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(logger=dict(interval=20))
randomness = dict(seed=0)
