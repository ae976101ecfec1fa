_base_ = '../_base_/ssdlite_timm.py'

# As in its paper, the first map is the expansion within stage 4's last block.
model = dict(
    backbone=dict(
        model_name='mobilenetv3_large_100', feature_location='expansion'),
    neck=dict(
        in_channels=(672, 960), out_channels=(672, 960, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(672, 960, 512, 256, 256, 128)))
