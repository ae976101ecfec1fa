# Eq. 4 as written: attention on the expanded channels.
_base_ = '../emo_5m.py'

model = dict(
    backbone=dict(type='EMOWithBlock', block='iRMBAttentionAfterExpansion'))
