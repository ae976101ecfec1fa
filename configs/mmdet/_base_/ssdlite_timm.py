# The head and the recipe of SSDLite with EMO, for a backbone of timm's.
_base_ = './ssdlite_peer.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='TimmFeatures',
        # The stages of strides 16 and 32.
        out_indices=(3, 4),
        norm_eval=True))
