# Fig. 5D: a batch of 512, on 8 GPUs. The rate, 6e-3 for 2048, grows with it.
_base_ = '../emo_5m.py'

train_dataloader = dict(batch_size=64)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
auto_scale_lr = dict(base_batch_size=512)
