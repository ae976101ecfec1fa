# As the paper prints it, which is mmseg's own setting: output stride 8 and a
# head of 512 channels.
_base_ = './segmenter_mobilenetv2.py'

model = dict(
    backbone=dict(
        strides=(1, 2, 2, 1, 1, 1, 1), dilations=(1, 1, 1, 2, 2, 4, 4)),
    decode_head=dict(channels=512))
