_base_ = '../_base_/signdigits_64.py'

model = dict(
    backbone=dict(type='MobileViT', arch='xx_small'),
    head=dict(in_channels=320))
