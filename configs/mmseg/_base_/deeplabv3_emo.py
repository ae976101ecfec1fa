_base_ = './segmenter_emo.py'

model = dict(decode_head=dict(type='ASPPHead', dilations=(1, 12, 24, 36)))
