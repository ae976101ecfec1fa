# Tab. 5: EW-MHSA alone in F, but for the blocks that shrink the map.
_base_ = '../emo_5m.py'

model = dict(backbone=dict(type='EMOWithBlock', block='iRMBWithoutConv'))
