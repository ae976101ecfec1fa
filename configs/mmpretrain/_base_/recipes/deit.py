# DeiT's recipe as Tab. 6 gives it; what that leaves out is as in EMO's.
_base_ = './erasing.py'

model = dict(backbone=dict(drop_path_rate=0.1))
data_preprocessor = dict(
    batch_augments=dict(augments=[
        dict(type='Mixup', alpha=0.8),
        dict(type='CutMix', alpha=1.0)
    ]))
train_dataloader = dict(batch_size=128)

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = dict(warmup_ratio=5 / 300)
auto_scale_lr = dict(base_batch_size=1024)
