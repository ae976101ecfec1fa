_base_ = './_base_/emo_classifier.py'

model = dict(
    backbone=dict(arch='1m'),
    neck=dict(in_channels=168),
    head=dict(in_channels=168))
