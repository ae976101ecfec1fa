_base_ = './_base_/segmenter_mobilenetv2.py'

model = dict(decode_head=dict(type='PSPHead', pool_scales=(1, 2, 3, 6)))
