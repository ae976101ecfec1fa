_base_ = './_base_/emo_classifier.py'

model = dict(
    backbone=dict(arch='10m'),
    neck=dict(in_channels=384),
    head=dict(in_channels=384))
