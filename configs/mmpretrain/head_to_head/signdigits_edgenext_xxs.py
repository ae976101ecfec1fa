_base_ = '../_base_/signdigits_64.py'

model = dict(
    backbone=dict(type='EdgeNeXt', arch='xxsmall'),
    neck=None,  # EdgeNeXt pools before its last norm
    head=dict(in_channels=168))
