# DW-Conv before EW-MHSA, which then acts on the expanded channels.
_base_ = '../emo_5m.py'

model = dict(backbone=dict(type='EMOWithBlock', block='iRMBConvFirst'))
