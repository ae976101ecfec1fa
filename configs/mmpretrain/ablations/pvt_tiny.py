# Tab. 3: PVT-Tiny as it is, in mmdet's implementation: no class token in
# stage 4, and position embeddings are resized even where they fit.
_base_ = '../_base_/recipes/deit.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet.PyramidVisionTransformer',
        num_layers=[2, 2, 2, 2],
        out_indices=(3, ),
        drop_path_rate=0.1),
    neck=dict(in_channels=512),
    head=dict(in_channels=512))
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'.pos_embed': dict(decay_mult=0.)}))
