# The data, head, recipe and budget of bccd_emo_1m.py.
_base_ = './bccd_emo_1m.py'

model = dict(
    backbone=dict(_delete_=True, type='MobileNetV2', out_indices=(4, 7)),
    neck=dict(
        in_channels=(96, 1280), out_channels=(96, 1280, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(96, 1280, 512, 256, 256, 128)))
