# The width of MobileNetV2 whose number of parameters is nearest to EMO-1M's.
_base_ = '../_base_/signdigits_64.py'

model = dict(
    backbone=dict(type='MobileNetV2', widen_factor=0.75),
    head=dict(in_channels=1280))
