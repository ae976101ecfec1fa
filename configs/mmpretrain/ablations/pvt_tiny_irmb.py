# Tab. 3: PVT-Tiny of iRMBs, with its spatial reduction of keys and values.
_base_ = './pvt_tiny.py'
custom_imports = dict(imports=['emo_mm', 'emo_mm.models.studies.irmb_pvt'])

model = dict(backbone=dict(type='iRMBPyramidVisionTransformer'))
