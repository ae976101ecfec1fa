_base_ = './_base_/emo_classifier.py'

width = 448
model = dict(
    backbone=dict(arch='20m'),
    neck=dict(in_channels=width),
    head=dict(in_channels=width))
