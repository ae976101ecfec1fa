_base_ = '../_base_/recipes/mnetv3.py'

model = dict(
    backbone=dict(arch='5m'),
    neck=dict(in_channels=288),
    head=dict(in_channels=288))
