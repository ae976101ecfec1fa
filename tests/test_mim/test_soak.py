"""Train, validate, test, export and infer for a long time; show what grows.

Rounds of all three libraries run in this process. Then one long training and
tests run through MIM, whose processes are watched from here. After each round,
and every few seconds of the training, the memory, open files, threads and
child processes are counted. What the last third of the counts has more than
the first, after a warm-up, is growth.

``torch.jit.trace`` is left out: torch keeps what it has traced for as long as
the process lives (2.14: 30 MB for each trace of torchvision's mobilenet_v2).

Example:
    make soak MINUTES=30
"""
import contextlib
import gc
import importlib
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from mmengine.config import Config

from emo_mm.deployment.export import export
from emo_mm.deployment.infer import ExportedModel, read_image
from emo_mm.libraries import LIBRARIES
from tests.helpers import CONFIGS, forget_runs, run_test, run_train
from tests.test_mim.conftest import short_loaders, unit_of

# A quarter of the counts is warm-up: caches fill, allocators settle.
WARM_UP = 1 / 4
# Memory may grow by this part of itself, by which allocators waver; of the
# others nothing may.
MEMORY_GROWTH = 0.02
# Part of the time that rounds in this process take.
IN_PROCESS = 0.6
SIZES = dict(mmpretrain=(64, 64), mmdet=(96, 96), mmseg=(64, 64))
MODELS = {
    'mmpretrain': 'emo_1m.py',
    'mmdet': 'ssdlite_emo_1m.py',
    'mmseg': 'pspnet_emo_1m.py',
}
INFERENCERS = dict(
    mmpretrain='ImageClassificationInferencer',
    mmdet='DetInferencer',
    mmseg='MMSegInferencer')
IMAGES = dict(
    mmpretrain='data/imagenet/val',
    mmdet='data/coco/val2017',
    mmseg='data/ade/ADEChallengeData2016/images/validation')


# --- What is counted --------------------------------------------------------
def count(process: psutil.Process) -> dict[str, float]:
    """Count what a process and its children hold.

    Returns:
        dict[str, float]: Resident memory in MB, open files of all kinds,
        threads and child processes.
    """
    counts = dict(memory=0., files=0, threads=0, children=-1)
    family = [process]
    with contextlib.suppress(psutil.NoSuchProcess):  # It has just ended.
        family += process.children(recursive=True)
    for each in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            counts['memory'] += each.memory_info().rss / 2**20
            counts['files'] += each.num_fds()
            counts['threads'] += each.num_threads()
            counts['children'] += 1
    return counts


def growth_of(values: list[float]) -> float:
    """Return the median of the last third less that of the first.

    The thirds are of what follows the warm-up.
    """
    settled = values[int(len(values) * WARM_UP):]
    third = max(1, len(settled) // 3)
    return (statistics.median(settled[-third:]) -
            statistics.median(settled[:third]))


def report(title: str, counts: list[dict[str, float]]) -> bool:
    """Print a table of the counts, and tell whether all of them are flat."""
    print(f'\n{title}: {len(counts)} counts')
    names = list(counts[0])
    print(' count' + ''.join(f'{name:>10}' for name in names))
    step = max(1, len(counts) // 20)
    for i, row in enumerate(counts):
        if i % step == 0 or i == len(counts) - 1:
            print(f'{i + 1:6}' + ''.join(f'{row[x]:10.0f}' for x in names))
    flat = True
    for name in names:
        values = [row[name] for row in counts]
        growth = growth_of(values)
        limit = MEMORY_GROWTH * max(values) if name == 'memory' else 0
        verdict = 'flat' if growth <= limit else 'GROWS'
        flat &= growth <= limit
        print(f'{name:>10}: {verdict}, {growth:+.1f} after the warm-up')
    return flat


# --- What is run ------------------------------------------------------------
def options_of(scope: str) -> list[str]:
    """Return options for a training of seconds, from scratch."""
    config = CONFIGS / scope / MODELS[scope]
    options = [
        option for option in short_loaders(config)
        if 'workers' not in option and 'num_batch_per_epoch' not in option
    ]
    loops = ('train', 'val', 'test')
    options += [f'{loop}_dataloader.num_workers=1' for loop in loops]
    options += [f'{loop}_dataloader.persistent_workers=True' for loop in loops]
    if scope == 'mmpretrain':  # of a thousand images
        options += [f'{loop}_dataloader.dataset.indices=8' for loop in loops]
    options += [
        'model.backbone.init_cfg=None', 'default_hooks.logger.interval=1'
    ]
    return options


def length_of(scope: str, length: int) -> list[str]:
    """Return options for a training of so many epochs, or iterations."""
    unit = unit_of(CONFIGS / scope / MODELS[scope])
    return [
        f'train_cfg.max_{unit}s={length}',
        f'train_cfg.val_interval={4 if unit == "iter" else 1}',
        f'default_hooks.checkpoint.interval={4 if unit == "iter" else 1}'
    ]


def last_checkpoint(work_dir: Path) -> Path:
    """Return the checkpoint that a training wrote last."""
    return max((path for path in work_dir.glob('*.pth')
                if not path.name.startswith('best')),
               key=lambda path: path.stat().st_mtime)


def run_library(folder: Path, scope: str) -> None:
    """Train and validate, test, export and infer with one library."""
    config = CONFIGS / scope / MODELS[scope]
    work_dir = folder / 'rounds' / scope
    options = options_of(scope)
    # Not over the files of the round before, which would be a resumed one.
    for path in work_dir.glob('*.pth'):
        path.unlink()
    run_train(folder, config, '--work-dir', work_dir, '--cfg-options',
              *options, *length_of(scope, 8 if scope == 'mmseg' else 2))
    checkpoint = last_checkpoint(work_dir)
    run_test(folder, config, checkpoint, '--work-dir', work_dir / 'test',
             '--cfg-options', *options)
    cfg = Config.fromfile(config)
    cfg.model.backbone.init_cfg = None
    image = next(
        path for path in (folder / IMAGES[scope]).rglob('*')
        if path.suffix.lower() in ('.jpg', '.jpeg', '.png'))
    exported = export(
        cfg,
        str(checkpoint),
        'onnx',
        folder / 'model.onnx',
        SIZES[scope],
        images=[str(image)])
    ExportedModel(str(exported))(read_image(str(image)))
    forget_runs()
    apis = importlib.import_module(f'{scope}.apis')
    inferencer = getattr(apis, INFERENCERS[scope])(
        cfg, str(checkpoint), device='cpu')
    inferencer(str(image))


def run_rounds(folder: Path, seconds: float) -> list[dict[str, float]]:
    """Run rounds of all libraries in this process, and count after each."""
    counts, end = [], time.monotonic() + seconds
    while len(counts) < 4 or time.monotonic() < end:
        for scope in MODELS:
            _quietly(lambda scope=scope: run_library(folder, scope))
        forget_runs()
        gc.collect()
        counts.append(count(psutil.Process()))
        print(
            f'round {len(counts)}:',
            *(f'{value:.0f} {name},' for name, value in counts[-1].items()),
            flush=True)
    return counts


def _quietly(call: Callable[[], object]) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            call()
        except BaseException:
            print(output.getvalue()[-4000:], file=sys.stderr)
            raise


def watch_mim(folder: Path, seconds: float) -> list[dict[str, float]]:
    """Train through MIM, count every few seconds, and test at the end."""
    scope, work_dir = 'mmdet', folder / 'mim'
    config = CONFIGS / scope / MODELS[scope]
    mim = [sys.executable, '-c', 'from mim.__main__ import cli; cli()']
    library = LIBRARIES[scope].distribution
    options = ['--cfg-options', *options_of(scope)]
    with open(folder / 'mim.log', 'w') as log:
        process = psutil.Popen([
            *mim, 'train', library,
            str(config), '--work-dir',
            str(work_dir), *options, *length_of(scope, 100_000)
        ],
                               cwd=folder,
                               stdout=log,
                               stderr=subprocess.STDOUT)
        counts, end = [], time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end:
            time.sleep(5)
            # Epochs begin once there is a checkpoint.
            if list(work_dir.glob('epoch_*.pth')):
                counts.append(count(process))
        ended = process.poll() is not None
        for each in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()
        if ended or not counts:
            text = (folder / 'mim.log').read_text()
            raise RuntimeError(f'mim train ended early:\n{text[-4000:]}')
        subprocess.run([
            *mim, 'test', library,
            str(config), '--checkpoint',
            str(last_checkpoint(work_dir)), '--work-dir',
            str(folder / 'mim_test'), *options
        ],
                       cwd=folder,
                       stdout=log,
                       stderr=subprocess.STDOUT,
                       check=True)
    return counts


@pytest.mark.soak
def test_nothing_grows(coco, ade, imagenet, tmp_path):
    (tmp_path / 'data').mkdir()
    for data in (coco / 'data/coco', ade / 'data/ade',
                 imagenet / 'data/imagenet'):
        (tmp_path / 'data' / data.name).symlink_to(data)
    seconds = 60 * float(os.environ.get('MINUTES', 30))
    rounds = run_rounds(tmp_path, IN_PROCESS * seconds)
    watched = watch_mim(tmp_path, (1 - IN_PROCESS) * seconds)
    flat = report('Rounds in one process', rounds)
    flat &= report('A training through MIM, every 5 s', watched)
    assert flat
