# Tab. 11.
_base_ = './_base_/emo_5m_arch.py'

model = dict(backbone=dict(arch=dict(depths=(2, 2, 12, 2))))
