_base_ = './_base_/pspnet_emo.py'

model = dict(
    backbone=dict(arch='1m', init_cfg=dict(checkpoint='emo://1m')),
    decode_head=dict(in_channels=168),
    auxiliary_head=dict(in_channels=80))
