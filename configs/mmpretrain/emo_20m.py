_base_ = './_base_/emo_classifier.py'

model = dict(
    backbone=dict(arch='20m'),
    neck=dict(in_channels=448),
    head=dict(in_channels=448))
