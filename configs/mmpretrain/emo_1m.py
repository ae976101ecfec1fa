_base_ = './_base_/emo_classifier.py'

width = 168
model = dict(
    backbone=dict(arch='1m'),
    neck=dict(in_channels=width),
    head=dict(in_channels=width))
