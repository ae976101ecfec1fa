_base_ = '../_base_/ssdlite_timm.py'

model = dict(
    backbone=dict(model_name='mobilevit_xxs'),
    neck=dict(
        in_channels=(64, 320), out_channels=(64, 320, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(64, 320, 512, 256, 256, 128)))
