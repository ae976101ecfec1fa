_base_ = './_base_/emo_classifier.py'

width = 200
model = dict(
    backbone=dict(arch='2m'),
    neck=dict(in_channels=width),
    head=dict(in_channels=width))
