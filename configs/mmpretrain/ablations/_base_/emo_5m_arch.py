# EMO-5M with its arch written out, so that a study can change one line of it.
_base_ = '../../_base_/emo_classifier.py'

model = dict(
    backbone=dict(
        arch=dict(
            depths=(3, 3, 9, 3),
            widths=(48, 72, 160, 288),
            exp_ratios=(2, 3, 4, 4),
            head_dims=(24, 24, 32, 32),
            attention=(False, False, True, True),
            norms=('BN', 'BN', 'LN', 'LN'))),
    neck=dict(in_channels=288),
    head=dict(in_channels=288))
