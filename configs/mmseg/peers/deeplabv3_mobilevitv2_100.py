_base_ = './_base_/segmenter_mobilevitv2_100.py'

model = dict(decode_head=dict(type='ASPPHead', dilations=(1, 12, 24, 36)))
