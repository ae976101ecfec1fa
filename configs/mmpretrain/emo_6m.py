_base_ = './_base_/emo_classifier.py'

width = 320
model = dict(
    backbone=dict(arch='6m'),
    neck=dict(in_channels=width),
    head=dict(in_channels=width))
