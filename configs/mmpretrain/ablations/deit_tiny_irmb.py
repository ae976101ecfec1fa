# Tab. 3: DeiT-Tiny of iRMBs, with its class token.
_base_ = './deit_tiny.py'
custom_imports = dict(imports=['emo_mm', 'emo_mm.models.studies.irmb_deit'])

model = dict(backbone=dict(type='iRMBVisionTransformer'))
