# SSDLite with EMO-1M from scratch at 160x160, small enough for a CPU. What
# derives from it brings a data set of three classes.
_base_ = '../ssdlite_emo_1m.py'

model = dict(
    backbone=dict(drop_path_rate=0., norm_cfg=dict(type='BN'), init_cfg=None),
    bbox_head=dict(
        num_classes=3,
        # mmdet's sizes times 160 / 320; strides of 10, 5, 3, 2, 1, 1 cells.
        anchor_generator=dict(
            strides=[16, 32, 53, 80, 160, 160],
            min_sizes=[24, 50, 75, 101, 126, 152],
            max_sizes=[50, 75, 101, 126, 152, 160])))

input_size = 160
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(input_size, input_size), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor')),
]
val_dataloader = dict(batch_size=16, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
