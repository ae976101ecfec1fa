# The demo: generated shapes, a few minutes on two CPU cores. `make demo` runs
# it.
_base_ = './_base_/ssdlite_emo_1m_160.py'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
data_root = 'demo/shapes/'
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    dataset=dict(
        times=4,
        dataset=dict(
            data_root=data_root,
            metainfo=dict(classes=('circle', 'square', 'triangle')),
            pipeline=train_pipeline)))
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=dict(classes=('circle', 'square', 'triangle'))))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=4, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(logger=dict(interval=20))
randomness = dict(seed=0)
