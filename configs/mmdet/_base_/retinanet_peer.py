# The head and the recipe of RetinaNet with EMO, for another backbone.
_base_ = './retinanet_emo.py'

# No weight decay on norms, whatever they are called.
optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0.))
