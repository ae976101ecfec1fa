_base_ = '../_base_/ssdlite_peer.py'

# As in its paper, the first map is the expansion within stage 4's last block.
channels = (672, 960, 512, 256, 256, 128)
model = dict(
    backbone=dict(
        _delete_=True,
        type='TimmFeatures',
        model_name='mobilenetv3_large_100',
        out_indices=(3, 4),
        feature_location='expansion',
        norm_eval=True),
    neck=dict(in_channels=channels[:2], out_channels=channels),
    bbox_head=dict(in_channels=channels))
