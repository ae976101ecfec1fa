_base_ = '../_base_/recipes/deit.py'

model = dict(
    backbone=dict(arch='5m'),
    neck=dict(in_channels=288),
    head=dict(in_channels=288))
