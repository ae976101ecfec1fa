# Fig. 5D: a batch of 4096, on 8 GPUs. The rate, 6e-3 for 2048, grows with it.
_base_ = '../emo_5m.py'

train_dataloader = dict(batch_size=512)
optim_wrapper = dict(optimizer=dict(lr=1.2e-2))
auto_scale_lr = dict(base_batch_size=4096)
