_base_ = '../_base_/recipes/edgenext.py'

width = 288
model = dict(
    backbone=dict(arch='5m'),
    neck=dict(in_channels=width),
    head=dict(in_channels=width))
