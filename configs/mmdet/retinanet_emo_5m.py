_base_ = './_base_/retinanet_emo.py'

model = dict(
    backbone=dict(
        arch='5m', window_size=10, init_cfg=dict(checkpoint='emo://5m')),
    neck=dict(in_channels=[48, 72, 160, 288]))
