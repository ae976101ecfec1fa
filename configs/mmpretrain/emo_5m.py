_base_ = './_base_/emo_classifier.py'

model = dict(
    backbone=dict(arch='5m'),
    neck=dict(in_channels=288),
    head=dict(in_channels=288))
