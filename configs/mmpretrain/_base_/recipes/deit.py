# DeiT's recipe as Tab. 6 gives it; what that leaves out is as in EMO's.
_base_ = '../emo_classifier.py'

model = dict(backbone=dict(drop_path_rate=0.1))
data_preprocessor = dict(
    batch_augments=dict(augments=[
        dict(type='Mixup', alpha=0.8),
        dict(type='CutMix', alpha=1.0)
    ]))
# timm's erasing by pixels, as mmpretrain writes it.
erasing = dict(
    type='RandomErasing',
    erase_prob=0.25,
    mode='rand',
    min_area_ratio=0.02,
    max_area_ratio=1 / 3,
    fill_color=_base_.bgr_mean,
    fill_std=_base_.bgr_std)
train_pipeline = [
    *_base_.train_pipeline[:-1], erasing, _base_.train_pipeline[-1]
]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = dict(warmup_ratio=5 / 300)
auto_scale_lr = dict(base_batch_size=1024)
