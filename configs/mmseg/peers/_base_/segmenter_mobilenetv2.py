_base_ = '../../_base_/segmenter_peer.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(1, 2, 4, 6),
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/'
            'mobilenet_v2/mobilenet_v2_batch256_imagenet_20200708-'
            '3b2dc3af.pth',
            prefix='backbone')),
    decode_head=dict(in_channels=320),
    auxiliary_head=dict(in_channels=96))
