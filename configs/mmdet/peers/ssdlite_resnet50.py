_base_ = '../_base_/ssdlite_peer.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        out_indices=(2, 3),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    neck=dict(
        in_channels=(1024, 2048),
        out_channels=(1024, 2048, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(1024, 2048, 512, 256, 256, 128)))
