"""Kill trainings of each library at random moments, and resume them.

``make stress-kill`` runs it. ``KILLS`` is how often each is killed, 30 unless
the environment says otherwise; every third time while a checkpoint is written.
"""
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch

from emo_mm.models.weights import FROM_SCRATCH
from tests.helpers import CONFIGS, ROOT
from tests.test_mim.conftest import short_loaders, unit_of

pytestmark = pytest.mark.stress

KILLS = int(os.environ.get('KILLS', 30))
STEPS = dict(epoch=30, iter=60)  # length of a training
CONFIG = dict(
    mmpretrain='emo_1m.py',
    mmdet='ssdlite_emo_1m.py',
    mmseg='pspnet_emo_1m.py')
BEGUN = 'Checkpoints will be saved to'
RESUMED = re.compile(r'resumed epoch: \d+, iter: (\d+)')


def start(scope, folder, work_dir):
    """Start a training that resumes what is in ``work_dir``."""
    config = CONFIGS / scope / CONFIG[scope]
    unit = unit_of(config)
    options = [
        FROM_SCRATCH, *short_loaders(config), f'train_cfg.max_{unit}s='
        f'{STEPS[unit]}', 'default_hooks.checkpoint.interval=1',
        f'train_cfg.val_interval={2 if unit == "epoch" else 5}',
        'train_dataloader.num_workers=1', 'randomness.seed=0'
    ]
    with open(work_dir.with_suffix('.log'), 'w') as log:
        return subprocess.Popen([
            sys.executable, ROOT / 'tools/train.py', config, '--work-dir',
            work_dir, '--resume', '--cfg-options', *options
        ],
                                cwd=folder,
                                stdout=log,
                                stderr=subprocess.STDOUT)


def log_of(work_dir):
    return work_dir.with_suffix('.log').read_text()


def newest(work_dir):
    """Return the iteration of the newest complete checkpoint, None if none."""
    found = []
    for path in work_dir.glob('*.pth'):
        try:
            checkpoint = torch.load(path)
        except (RuntimeError, EOFError, pickle.UnpicklingError,
                zipfile.BadZipFile):
            pytest.fail(f'{path} is not complete')
        if not path.name.startswith('best'):
            found.append(checkpoint['meta']['iter'])
    return max(found, default=None)


def wait(process, condition):
    """Wait for a condition; tell whether it came before the process ended."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.0005)
    return False


def wait_for_saves(process, work_dir, count):
    """Wait until so many checkpoints were completed."""
    pointer = work_dir / 'last_checkpoint'

    def changed():
        now = pointer.stat().st_mtime_ns if pointer.is_file() else 0
        return now != before

    for _ in range(count):
        before = pointer.stat().st_mtime_ns if pointer.is_file() else 0
        wait(process, changed)


def kill(process, work_dir, draw, in_write):
    """Kill a training at a random moment; tell whether it still ran."""
    wait(process, lambda: BEGUN in log_of(work_dir))
    wait_for_saves(process, work_dir, draw.choice([0, 1, 2, 3]))
    if in_write:
        wait(process, lambda: any(work_dir.glob('*.pth.tmp')))
        time.sleep(draw.uniform(0, 0.03))
    else:
        time.sleep(draw.uniform(0, 2))
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.mark.parametrize('scope', CONFIG)
def test_nothing_is_lost(scope, folder_of, tmp_path):
    folder, draw = folder_of(scope), random.Random(0)
    work_dir = tmp_path / 'killed'
    killed = in_writes = resumed = 0
    while killed < KILLS:
        expected = newest(work_dir)
        in_write = killed % 3 == 0
        process = start(scope, folder, work_dir)
        ran = kill(process, work_dir, draw, in_write)
        log = log_of(work_dir)
        found = RESUMED.search(log)
        if expected is not None and BEGUN in log:
            assert found and int(found[1]) == expected, log[-3000:]
            resumed += 1
        if ran:
            killed += 1
            in_writes += in_write and any(work_dir.glob('*.pth.tmp'))
            print(f'{scope}: killed {killed} times, newest is iteration '
                  f'{newest(work_dir)}')
        else:  # It had come to its end.
            assert process.returncode == 0, log[-3000:]
            shutil.rmtree(work_dir)
    whole = tmp_path / 'whole'
    for path in (work_dir, whole):
        assert start(scope, folder, path).wait() == 0, log_of(path)[-3000:]
    weights, expected = (
        torch.load(Path((path / 'last_checkpoint').read_text()))['state_dict']
        for path in (work_dir, whole))
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    assert not list(work_dir.glob('*.tmp'))
    print(f'{scope}: {killed} kills, {in_writes} of them inside a write; '
          f'{resumed} trainings went on from the newest checkpoint; the '
          'weights are those of a training that was never killed')
