# Fig. 5D: a batch of 4096, on 8 GPUs. The rate, 6e-3 for 2048, grows with it.
_base_ = '../emo_5m.py'

batch = 4096
train_dataloader = dict(batch_size=batch // 8)
optim_wrapper = dict(optimizer=dict(lr=6e-3 * batch / 2048))
auto_scale_lr = dict(base_batch_size=batch)
