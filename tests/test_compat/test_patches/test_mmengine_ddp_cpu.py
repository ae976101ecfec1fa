import pytest
import torch
from mmengine.device import get_device
from mmengine.model import MMDistributedDataParallel

import emo_mm.compat  # noqa: F401

# What `python -m torch.distributed.launch ... tools/train.py` comes to.
TRAIN = """
import os
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.nn.parallel import DistributedDataParallel
import emo_mm.compat


class Model(BaseModel):

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 1)
        self.norm = torch.nn.{norm}(4)

    def forward(self, inputs, mode):
        out = self.norm(self.conv(inputs))
        return dict(loss=out.square().mean()) if mode == 'loss' else out


runner = Runner(
    model=Model(),
    work_dir='work_dir',
    train_dataloader=dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        dataset=[dict(inputs=image) for image in torch.rand(8, 3, 4, 4)]),
    train_cfg=dict(by_epoch=True, max_epochs=1),
    optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.01)),
    launcher='pytorch',
    **{extra})
runner.train()

assert isinstance(runner.model, DistributedDataParallel)
weight = runner.model.module.conv.weight.detach()
both = [torch.empty_like(weight) for _ in range(2)]
torch.distributed.all_gather(both, weight)
assert torch.equal(*both)
assert runner.model.module.norm.running_mean.abs().sum() > 0
assert os.path.exists('work_dir/epoch_1.pth')
if runner.rank == 0:
    print('trained')
"""

WRAPPER = "model_wrapper_cfg=dict(type='MMDistributedDataParallel')"


@pytest.mark.skipif(get_device() != 'cpu', reason='has a GPU')
@pytest.mark.parametrize('norm, extra', [
    ('SyncBatchNorm', "dict(cfg=dict(find_unused_parameters=True))"),
    ('BatchNorm2d', f"dict(cfg=dict({WRAPPER}, sync_bn='torch'))"),
])
def test_two_processes_train(run_python, free_port, norm, extra):
    output = run_python(
        TRAIN.format(norm=norm, extra=extra), '-m', 'torch.distributed.launch',
        '--nproc_per_node=2', f'--master_port={free_port}')
    assert output.count('trained') == 1
    assert 'SyncBatchNorm needs a GPU' in output


def test_changes_nothing_with_a_gpu(monkeypatch):
    got = []
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.nn.parallel.DistributedDataParallel, '__init__',
                        lambda self, *args, **kwargs: got.append(kwargs))
    module = torch.nn.Sequential(torch.nn.SyncBatchNorm(2))
    MMDistributedDataParallel(module=module, device_ids=[1])
    assert got == [dict(module=module, device_ids=[1])]
    assert type(module[0]) is torch.nn.SyncBatchNorm
