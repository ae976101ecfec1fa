# Tab. 3: DeiT-Tiny as it is.
_base_ = '../_base_/recipes/deit.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='VisionTransformer',
        arch='deit-tiny',
        drop_path_rate=0.1),
    neck=None,
    head=dict(in_channels=192))
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={
        '.cls_token': dict(decay_mult=0.),
        '.pos_embed': dict(decay_mult=0.)
    }))
