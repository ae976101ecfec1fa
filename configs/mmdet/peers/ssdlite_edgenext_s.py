_base_ = '../_base_/ssdlite_peer.py'
custom_imports = dict(imports=['emo_mm', 'mmpretrain.models'])

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.EdgeNeXt',
        arch='small',
        out_indices=(2, 3),
        gap_before_final_norm=False,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/'
            'edgenext/edgenext-small_3rdparty_in1k_20220801-d00db5f8.pth',
            prefix='backbone')),
    neck=dict(
        in_channels=(160, 304), out_channels=(160, 304, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(160, 304, 512, 256, 256, 128)))
