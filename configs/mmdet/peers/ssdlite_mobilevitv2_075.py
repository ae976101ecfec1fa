_base_ = '../_base_/ssdlite_timm.py'

model = dict(
    backbone=dict(model_name='mobilevitv2_075'),
    neck=dict(
        in_channels=(288, 384), out_channels=(288, 384, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(288, 384, 512, 256, 256, 128)))
