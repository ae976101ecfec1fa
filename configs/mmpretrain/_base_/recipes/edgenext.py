# EdgeNeXt's recipe as Tab. 6 gives it; what that leaves out is as in EMO's.
_base_ = '../emo_classifier.py'

model = dict(backbone=dict(drop_path_rate=0.1))

# Multi-scale sampling: the batch sampler chooses a size, which the crop takes.
train_pipeline = [
    _base_.train_pipeline[0],
    dict(
        type='RandomChoice',
        transforms=[[dict(type='MultiScaleCrop', crop=crop)]
                    for crop, in _base_.train_pipeline[1].transforms]),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(
    batch_size=512,
    # EdgeNeXt's 160 to 320 in steps of 32, about EMO's 224 in place of 256.
    batch_sampler=dict(
        type='MultiScaleBatchSampler',
        base_size=224,
        sizes=(160, 192, 224, 256, 288, 320)),
    dataset=dict(
        _delete_=True,
        type='MultiScaleDataset',
        dataset={
            **_base_.train_dataloader.dataset, 'pipeline': train_pipeline
        }))

auto_scale_lr = dict(base_batch_size=4096)
