# MobileNetV3's recipe as Tab. 6 gives it; what that leaves out is as in EMO's.
# The paper reports that EMO-5M diverges under it (NaN).
_base_ = './erasing.py'

model = dict(backbone=dict(drop_path_rate=0.2))
train_pipeline = [
    *_base_.train_pipeline[:-2],
    dict(_base_.train_pipeline[-2], erase_prob=0.2),
    _base_.train_pipeline[-1],
]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))

# Tab. 6 says RMSprop and no more. Decay and momentum of 0.9 are those of the
# MobileNetV3 paper (arXiv:1905.02244, Sec. 6.1.1); eps is 0.001, added inside
# of TensorFlow's root, so its root here, as in mmpretrain's and torchvision's
# MobileNetV3.
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True,
        type='RMSprop',
        lr=6e-2,
        alpha=0.9,
        momentum=0.9,
        eps=0.0316,
        weight_decay=1e-5))
param_scheduler = dict(warmup_ratio=3 / 300)
auto_scale_lr = dict(base_batch_size=512)
