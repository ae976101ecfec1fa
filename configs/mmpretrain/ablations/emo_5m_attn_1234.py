# Fig. 5B: attention in stages 1, 2, 3, 4.
_base_ = './_base_/emo_5m_arch.py'

model = dict(backbone=dict(arch=dict(attention=(True, True, True, True))))
