_base_ = './_base_/retinanet_emo.py'

model = dict(
    backbone=dict(arch='2m', init_cfg=dict(checkpoint='emo://2m')),
    neck=dict(in_channels=[32, 48, 120, 200]))
