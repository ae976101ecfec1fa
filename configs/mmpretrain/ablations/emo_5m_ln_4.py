# Fig. 5A: LayerNorm in stage 4.
_base_ = './_base_/emo_5m_arch.py'

model = dict(backbone=dict(arch=dict(norms=('BN', 'BN', 'BN', 'LN'))))
