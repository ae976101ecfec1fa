_base_ = './_base_/ssdlite_emo.py'

model = dict(
    backbone=dict(
        arch='5m', window_size=10, init_cfg=dict(checkpoint='emo://5m')),
    neck=dict(
        in_channels=(160, 288), out_channels=(160, 288, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(160, 288, 512, 256, 256, 128)))
