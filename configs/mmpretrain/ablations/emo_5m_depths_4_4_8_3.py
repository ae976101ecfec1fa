# Tab. 11.
_base_ = './_base_/emo_5m_arch.py'

model = dict(backbone=dict(arch=dict(depths=(4, 4, 8, 3))))
