_base_ = '../_base_/retinanet_peer.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='PyramidVisionTransformer',
        num_layers=[2, 2, 2, 2],
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/whai362/PVT/releases/download/v2/'
            'pvt_tiny.pth')),
    neck=dict(in_channels=[64, 128, 320, 512]))
