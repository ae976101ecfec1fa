_base_ = './_base_/emo_classifier.py'

width = 384
model = dict(
    backbone=dict(arch='10m'),
    neck=dict(in_channels=width),
    head=dict(in_channels=width))
