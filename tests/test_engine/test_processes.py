"""Jobs of several processes: restarts, signals, and processes that die."""
import os
import subprocess
import sys
import time

import pytest
import torch

from emo_mm.engine.processes import find_own_checkpoint
from tests.helpers import free_port

# A training of two iterations an epoch for two processes. One of them fails in
# its third epoch, once, as FAULT says: 'raise' in loading data, 'kill' in a
# step, 'early' before the processes know one another, 'signal' from without.
JOB = """
import os, signal, sys
from pathlib import Path
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
import emo_mm
from emo_mm.engine import CheckedRunner

epoch, failed = 0, Path('failed')


def fail(fault, due=True):
    if (due and os.environ['FAULT'] == fault and os.environ['RANK'] == '1'
            and not failed.exists()):
        failed.touch()
        if fault in ('raise', 'early'):
            raise OSError('the disk is gone')
        os.kill(os.getpid(), signal.SIGKILL if fault == 'kill' else
                signal.SIGUSR1)


class Model(BaseModel):

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, inputs, mode):
        fail('kill', epoch == 3)
        fail('signal', epoch == 3)
        return dict(loss=self.linear(inputs).square().mean())


class Samples(list):
    metainfo = {}

    def __getitem__(self, index):
        fail('raise', epoch == 3)
        return super().__getitem__(index)


class Epochs(Hook):

    def before_train_epoch(self, runner):
        global epoch
        epoch = runner.epoch + 1
        with open(f'epochs_{runner.rank}', 'a') as file:
            file.write(f'{epoch}\\n')


fail('early')
torch.manual_seed(0)
runner = CheckedRunner(
    model=Model(),
    work_dir='work_dir',
    train_dataloader=dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        dataset=Samples(dict(inputs=torch.rand(2)) for _ in range(8))),
    train_cfg=dict(by_epoch=True, max_epochs=int(os.environ['EPOCHS'])),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
    custom_hooks=[Epochs()],
    default_hooks=dict(curves=None, val_images=None),
    resume='--resume' in sys.argv,
    launcher='pytorch',
    randomness=dict(seed=0),
    cfg=dict(train_dataloader=dict(batch_size=2), optim_wrapper={}))
runner.train()
"""
TORCHRUN = ('-m', 'torch.distributed.run', '--standalone',
            '--nproc-per-node=2')


@pytest.fixture
def run_job(tmp_path):
    """Run the job; return its status and what it printed."""
    (tmp_path / 'job.py').write_text(JOB)

    def run(*command, fault='', epochs=4):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=dict(os.environ, FAULT=fault, EPOCHS=str(epochs)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600)  # gloo itself waits for half an hour
        print(done.stdout[-12000:])
        return done.returncode, done.stdout

    return run


def epochs_of(folder, rank):
    return [int(x) for x in (folder / f'epochs_{rank}').read_text().split()]


@pytest.mark.parametrize('fault, message', [
    ('kill', 'SIGKILL'),
    ('raise', 'OSError: the disk is gone'),
    ('early', 'OSError: the disk is gone'),
])
def test_a_process_that_dies_ends_the_job(fault, message, run_job):
    status, output = run_job(sys.executable, *TORCHRUN, 'job.py', fault=fault)
    assert status != 0
    assert message in output


def test_a_restarted_job_goes_on_from_its_last_checkpoint(run_job, tmp_path):
    """Not from what another job has left in its folder."""
    old = tmp_path / 'work_dir/epoch_9.pth'
    old.parent.mkdir()
    torch.save(dict(state_dict={}, optimizer={}, meta=dict(iter=18)), old)
    (old.parent / 'last_checkpoint').write_text(str(old))
    status, _ = run_job(
        sys.executable, *TORCHRUN, '--max-restarts=1', 'job.py', fault='raise')
    assert status == 0
    for rank in (0, 1):
        assert epochs_of(tmp_path, rank) == [1, 2, 3, 3, 4]


# As the script for SLURM in docs/training.md: two processes without torchrun,
# which are started again for as long as a signal has stopped them.
REQUEUED = """
export MASTER_ADDR=127.0.0.1 MASTER_PORT=$1 WORLD_SIZE=2
while true; do
    tasks=()
    for rank in 0 1; do
        RANK=$rank LOCAL_RANK=$rank "$2" job.py --resume & tasks+=($!)
    done
    status=0
    for task in "${tasks[@]}"; do
        wait "$task" || status=$?
        echo "ended with $status"
    done
    [ $status = 138 ] || exit $status
done
"""


def test_a_requeued_job_goes_on_where_a_signal_stopped_it(run_job, tmp_path):
    status, output = run_job(
        'bash',
        '-c',
        REQUEUED,
        'requeued',
        str(free_port()),
        sys.executable,
        fault='signal',
        epochs=8)
    assert status == 0
    # One process got the signal, and both stopped.
    assert output.count('ended with 138') == 2
    assert output.count('ended with 0') == 2
    # In the middle of the sixth epoch, after ten iterations: processes ask
    # each other no more often.
    assert epochs_of(tmp_path, 0) == epochs_of(tmp_path, 1)
    assert sorted(set(epochs_of(tmp_path, 0))) == [*range(1, 9)]
    resumed = torch.load(tmp_path / 'work_dir/epoch_8.pth', weights_only=False)
    assert resumed['meta']['iter'] == 16


# --- Without processes ------------------------------------------------------
@pytest.fixture
def start(monkeypatch, tmp_path):
    """Tell what a process finds that torchrun has started."""

    def find(restarts, max_restarts=3, rank=0):
        monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', str(restarts))
        monkeypatch.setenv('TORCHELASTIC_MAX_RESTARTS', str(max_restarts))
        monkeypatch.setenv('RANK', str(rank))
        return find_own_checkpoint(None, str(tmp_path / 'work_dir'))

    return find


def save(folder, name, age):
    """Note a checkpoint as the last, so many seconds ago."""
    path = folder / 'work_dir/last_checkpoint'
    path.parent.mkdir(exist_ok=True)
    path.write_text(name)
    os.utime(path, (time.time() - age, ) * 2)


def test_only_what_the_job_has_saved_is_found(start, tmp_path):
    save(tmp_path, 'of_another_job.pth', age=60)
    assert start(0) is None
    # It failed before its first checkpoint.
    assert start(1) is None
    save(tmp_path, 'epoch_1.pth', age=-1)
    assert start(2) == 'epoch_1.pth'
    assert start(2, rank=1) == 'epoch_1.pth'
    # The next job in this folder.
    save(tmp_path, 'epoch_4.pth', age=60)
    assert start(0) is None


def test_a_job_that_is_not_restarted_leaves_no_file(start, tmp_path):
    assert start(0, max_restarts=0) is None
    assert not (tmp_path / 'work_dir').exists()
