from types import SimpleNamespace

import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.model.wrappers import distributed
from torch.nn.parallel import DistributedDataParallel

from emo_mm.compat.patches.mmengine_ddp_cpu import PATCH, is_faulty

# What `python -m torch.distributed.launch ... tools/train.py` comes to.
TRAIN = """
import os
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.nn.parallel import DistributedDataParallel
import emo_mm.compat


class Model(BaseModel):

    def __init__(self, norm):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 1)
        self.norm = getattr(torch.nn, norm)(4)

    def forward(self, inputs, mode):
        out = self.norm(self.conv(inputs))
        return dict(loss=out.square().mean()) if mode == 'loss' else out


def train(norm, cfg):
    runner = Runner(
        model=Model(norm),
        work_dir=norm,
        experiment_name=norm,
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
            dataset=[dict(inputs=image) for image in torch.rand(8, 3, 4, 4)]),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.01)),
        launcher='pytorch',
        cfg=cfg)
    runner.train()

    assert isinstance(runner.model, DistributedDataParallel)
    weight = runner.model.module.conv.weight.detach()
    both = [torch.empty_like(weight) for _ in range(2)]
    torch.distributed.all_gather(both, weight)
    assert torch.equal(*both)
    assert runner.model.module.norm.running_mean.abs().sum() > 0
    assert os.path.exists(f'{norm}/epoch_1.pth')
    if runner.rank == 0:
        print('trained', norm)


train('SyncBatchNorm', dict(find_unused_parameters=True))
train('BatchNorm2d', dict(
    model_wrapper_cfg=dict(type='MMDistributedDataParallel'),
    sync_bn='torch'))
"""


def test_two_processes_train(run_python, free_port):
    output = run_python(TRAIN, '-m', 'torch.distributed.launch',
                        '--nproc_per_node=2', f'--master_port={free_port}')
    assert output.count('trained') == 2
    # The second model has it by way of sync_bn.
    second = output.split('trained SyncBatchNorm')[1]
    for part in (output, second):
        assert 'SyncBatchNorm needs a GPU' in part


def test_changes_nothing_with_a_gpu(monkeypatch):
    got = []
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.nn.parallel.DistributedDataParallel, '__init__',
                        lambda self, *args, **kwargs: got.append(kwargs))
    module = torch.nn.Sequential(torch.nn.SyncBatchNorm(2))
    MMDistributedDataParallel(module=module, device_ids=[1])
    assert got == [dict(module=module, device_ids=[1])]
    assert type(module[0]) is torch.nn.SyncBatchNorm


def test_library_has_the_fault(undo, run_patch):
    undo(MMDistributedDataParallel, '__init__')
    assert is_faulty(distributed)
    run_patch(PATCH, distributed)


def make_library(**passed_on):

    class Wrapper(DistributedDataParallel):

        def __init__(self, module, device_ids):
            super().__init__(module, **passed_on)

    return SimpleNamespace(
        DistributedDataParallel=DistributedDataParallel,
        MMDistributedDataParallel=Wrapper)


def test_leaves_a_fixed_library(run_patch):
    fixed = make_library()
    before = fixed.MMDistributedDataParallel.__init__
    run_patch(PATCH, fixed)
    assert fixed.MMDistributedDataParallel.__init__ is before


def test_warns_where_it_does_not_help(assert_warns):
    assert_warns(PATCH, make_library(device_ids=[0]), match='device_ids')
