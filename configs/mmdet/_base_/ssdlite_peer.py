# The head and the recipe of SSDLite with EMO, for another backbone.
_base_ = './ssdlite_emo.py'

# No weight decay on norms, whatever they are called.
optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0.))
