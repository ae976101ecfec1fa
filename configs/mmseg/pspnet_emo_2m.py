_base_ = './_base_/pspnet_emo.py'

model = dict(
    backbone=dict(arch='2m', init_cfg=dict(checkpoint='emo://2m')),
    decode_head=dict(in_channels=200),
    auxiliary_head=dict(in_channels=120))
