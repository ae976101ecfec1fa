_base_ = './_base_/ssdlite_emo.py'

model = dict(
    backbone=dict(arch='1m', init_cfg=dict(checkpoint='emo://1m')),
    neck=dict(
        in_channels=(80, 168), out_channels=(80, 168, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(80, 168, 512, 256, 256, 128)))
