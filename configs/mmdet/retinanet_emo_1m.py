_base_ = './_base_/retinanet_emo.py'

model = dict(
    backbone=dict(arch='1m', init_cfg=dict(checkpoint='emo://1m')),
    neck=dict(in_channels=[32, 48, 80, 168]))
