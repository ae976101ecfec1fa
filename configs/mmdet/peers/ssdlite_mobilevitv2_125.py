_base_ = '../_base_/ssdlite_timm.py'

model = dict(
    backbone=dict(model_name='mobilevitv2_125'),
    neck=dict(
        in_channels=(480, 640), out_channels=(480, 640, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(480, 640, 512, 256, 256, 128)))
