# EMO's recipe with timm's erasing by pixels, as mmpretrain writes it.
_base_ = '../emo_classifier.py'

train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(
        type='RandomErasing',
        erase_prob=0.25,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        fill_color=_base_.bgr_mean,
        fill_std=_base_.bgr_std),
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
