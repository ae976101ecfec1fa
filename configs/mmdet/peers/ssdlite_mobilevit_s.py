_base_ = '../_base_/ssdlite_timm.py'

model = dict(
    backbone=dict(model_name='mobilevit_s'),
    neck=dict(
        in_channels=(128, 640), out_channels=(128, 640, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(128, 640, 512, 256, 256, 128)))
