# Two residuals, of F and of an FFN, in place of one.
_base_ = '../emo_5m.py'

model = dict(backbone=dict(type='EMOWithBlock', block='MetaFormerBlock'))
