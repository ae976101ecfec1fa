_base_ = '../_base_/ssdlite_peer.py'

channels = (288, 384, 512, 256, 256, 128)
model = dict(
    backbone=dict(
        _delete_=True,
        type='TimmFeatures',
        model_name='mobilevitv2_075',
        out_indices=(3, 4),
        norm_eval=True),
    neck=dict(in_channels=channels[:2], out_channels=channels),
    bbox_head=dict(in_channels=channels))
