# Fig. 5C: drop path of 15 %.
_base_ = '../emo_5m.py'

model = dict(backbone=dict(drop_path_rate=0.15))
