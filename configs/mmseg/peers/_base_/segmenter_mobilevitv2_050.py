_base_ = '../../_base_/segmenter_peer.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='TimmFeatures',
        model_name='mobilevitv2_050',
        out_indices=(1, 2, 3, 4),
        sync_bn=True),
    decode_head=dict(in_channels=256),
    auxiliary_head=dict(in_channels=192))
