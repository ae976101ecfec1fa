# What every config of this project needs, whichever library it is for.
custom_imports = dict(imports=['emo_mm'], allow_failed_imports=False)
runner_type = 'CheckedRunner'
