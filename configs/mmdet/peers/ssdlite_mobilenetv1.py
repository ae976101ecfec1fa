_base_ = '../_base_/ssdlite_timm.py'

model = dict(
    backbone=dict(model_name='mobilenetv1_100'),
    neck=dict(
        in_channels=(512, 1024), out_channels=(512, 1024, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(512, 1024, 512, 256, 256, 128)))
