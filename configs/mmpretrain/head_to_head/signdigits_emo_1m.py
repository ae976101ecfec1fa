_base_ = '../_base_/signdigits_64.py'

model = dict(
    # The window is the size of stage 4's map, as at 224x224.
    backbone=dict(type='EMO', arch='1m', window_size=2, drop_path_rate=0.),
    neck=dict(_delete_=True, type='NormGlobalAveragePooling', in_channels=168),
    head=dict(in_channels=168))
