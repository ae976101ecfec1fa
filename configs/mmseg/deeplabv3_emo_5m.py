_base_ = './_base_/deeplabv3_emo.py'

model = dict(
    backbone=dict(
        arch='5m', window_size=16, init_cfg=dict(checkpoint='emo://5m')),
    decode_head=dict(in_channels=288),
    auxiliary_head=dict(in_channels=160))
