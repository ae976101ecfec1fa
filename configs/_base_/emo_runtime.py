# What every config of this project needs, whichever library it is for.
custom_imports = dict(imports=['emo_mm'], allow_failed_imports=False)
# mmengine's Runner with checks at the start and two more default hooks:
# curves (CurvesHook) and val_images (ValImagesHook).
runner_type = 'CheckedRunner'
