# Tab. 5: DW-Conv alone in F.
_base_ = './_base_/emo_5m_arch.py'

model = dict(backbone=dict(arch=dict(attention=(False, False, False, False))))
