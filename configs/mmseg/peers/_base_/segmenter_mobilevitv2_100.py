_base_ = './segmenter_mobilevitv2_050.py'

model = dict(
    backbone=dict(model_name='mobilevitv2_100'),
    decode_head=dict(in_channels=512),
    auxiliary_head=dict(in_channels=384))
