_base_ = './_base_/segmenter_mobilevitv2_075.py'

model = dict(decode_head=dict(type='PSPHead', pool_scales=(1, 2, 3, 6)))
