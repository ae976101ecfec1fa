# Fig. 5B: attention in stage 4.
_base_ = './_base_/emo_5m_arch.py'

model = dict(backbone=dict(arch=dict(attention=(False, False, False, True))))
