_base_ = './_base_/emo_classifier.py'

model = dict(
    backbone=dict(arch='6m'),
    neck=dict(in_channels=320),
    head=dict(in_channels=320))
