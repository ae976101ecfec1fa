# Tab. 5: neither operator in F, but for the blocks that shrink the map.
_base_ = './_base_/emo_5m_arch.py'

model = dict(
    backbone=dict(
        type='EMOWithBlock',
        block='iRMBWithoutConv',
        arch=dict(attention=(False, False, False, False))))
