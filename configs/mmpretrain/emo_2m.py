_base_ = './_base_/emo_classifier.py'

model = dict(
    backbone=dict(arch='2m'),
    neck=dict(in_channels=200),
    head=dict(in_channels=200))
