_base_ = '../_base_/ssdlite_timm.py'

model = dict(
    backbone=dict(model_name='mobilevitv2_050'),
    neck=dict(
        in_channels=(192, 256), out_channels=(192, 256, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(192, 256, 512, 256, 256, 128)))
