"""Jobs of several processes: restarts, and processes that die."""
import os
import subprocess
import sys
import time

import pytest

# A training of four epochs with eight samples for two processes. One of them
# fails once, as FAULT says: 'raise' in loading data, 'kill' in a step,
# 'early' before the processes know one another.
JOB = """
import os, signal, sys
from pathlib import Path
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
import emo_mm
from emo_mm.engine import CheckedRunner

fault, epoch = os.environ.get('FAULT'), 0
due = (os.environ['RANK'] == '1' and
       os.environ['TORCHELASTIC_RESTART_COUNT'] == '0')
if fault == 'early' and due:
    raise OSError('not on this machine')


class Model(BaseModel):

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, inputs, mode):
        if fault == 'kill' and due and epoch == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return dict(loss=self.linear(inputs).square().mean())


class Samples(list):

    def __getitem__(self, index):
        if fault == 'raise' and due and epoch == 3:
            raise OSError('the disk is gone')
        return super().__getitem__(index)


class Epochs(Hook):

    def before_train_epoch(self, runner):
        global epoch
        epoch = runner.epoch + 1
        with open(f'epochs_{runner.rank}', 'a') as file:
            file.write(f'{epoch}\\n')


runner = CheckedRunner(
    model=Model(),
    work_dir='work_dir',
    train_dataloader=dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        dataset=Samples(dict(inputs=torch.rand(2)) for _ in range(8))),
    train_cfg=dict(by_epoch=True, max_epochs=4),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
    custom_hooks=[Epochs()],
    launcher='pytorch',
    cfg=dict(train_dataloader=dict(batch_size=2), optim_wrapper={}))
runner.train()
"""


@pytest.fixture
def run_job(tmp_path):
    """Run the job by torchrun; return its status, output and seconds."""
    (tmp_path / 'job.py').write_text(JOB)

    def run(fault, *options):
        start = time.monotonic()
        done = subprocess.run([
            sys.executable, '-m', 'torch.distributed.run', '--standalone',
            '--nproc-per-node=2', *options, 'job.py'
        ],
                              cwd=tmp_path,
                              env=dict(os.environ, FAULT=fault),
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT,
                              text=True,
                              timeout=120)
        print(done.stdout[-12000:])
        return done.returncode, done.stdout, time.monotonic() - start

    return run


def epochs_of(folder, rank):
    return [int(x) for x in (folder / f'epochs_{rank}').read_text().split()]
