# The recipe of the segmenters with EMO, for another backbone.
_base_ = './segmenter_emo.py'

# No weight decay on norms, whatever they are called.
optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0.))
