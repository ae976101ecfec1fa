"""What is on the disk at any moment of a training, and what is not."""
import errno
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS

from emo_mm.engine import SafeCheckpointHook, checkpoints
from emo_mm.engine.checkpoints import find_newest, replaced_atomically
from tests.helpers import assert_same
from tests.test_engine.toy import (
    build,
    log_of,
    make_cfg,
    names,
    state_of,
    train,
)

pytestmark = pytest.mark.filterwarnings('ignore')


# --- One file ---------------------------------------------------------------
def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / 'new.pth'
    with replaced_atomically(path) as temporary:
        torch.save([1], temporary)
        assert not path.exists()
    assert torch.load(path) == [1]
    assert names(tmp_path) == ['new.pth']


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def test_a_file_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save([1], path)
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), replaced_atomically(path) as temporary:
            torch.save([2], temporary)
            raise error
    with pytest.raises(OSError, match='not written properly'):
        with replaced_atomically(path) as temporary:
            torch.save([2], temporary)
            cut(temporary)
    assert torch.load(path) == [1]
    assert names(tmp_path) == ['old.pth']


def test_a_full_disk_is_explained(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save([1], path)
    with pytest.raises(OSError) as caught, replaced_atomically(path) as other:
        other.write_bytes(bytes(3 * 2**20))
        raise OSError(errno.ENOSPC, 'No space left on device')
    text = str(caught.value)
    assert f'No space left for {path}: 3 MB were written' in text
    assert 'max_keep_ckpts' in text and '--resume' in text
    assert names(tmp_path) == ['old.pth']


# --- A run that is killed ---------------------------------------------------
class Killed(BaseException):
    """Raised at a moment at which the process is to end."""


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    return state_of(train(make_cfg(tmp_path_factory.mktemp('whole'))))


# Functions that a run calls while it saves, each at its nth call. mmengine
# writes a file as a whole, ours replaces the old one by it.
MOMENTS = [(LocalBackend, 'put'), (checkpoints, '_sync'),
           (checkpoints, '_find_damage'), (os, 'replace'),
           (SafeCheckpointHook, '_remove')]


@pytest.mark.parametrize('call', [1, 2, 3, 4, 7])
@pytest.mark.parametrize(
    'owner, name', MOMENTS, ids=[name for _, name in MOMENTS])
def test_killed_while_it_saves(whole, tmp_path, monkeypatch, owner, name,
                               call):
    """A complete checkpoint is there, and the run ends as if never killed."""
    function, calls = getattr(owner, name), []

    def killed(*args, **kwargs):
        calls.append(args)
        if len(calls) < call:
            return function(*args, **kwargs)
        if name == 'put':  # in the midst of it
            Path(args[2]).write_bytes(args[1][:len(args[1]) // 2])
        raise Killed

    with monkeypatch.context() as patch:
        # A killed process deletes nothing.
        patch.setattr(Path, 'unlink', lambda *args, **kwargs: None)
        patch.setattr(owner, name, killed)
        with pytest.raises(Killed):
            train(make_cfg(tmp_path))
    found, skipped = find_newest(tmp_path, tmp_path)
    assert not skipped
    assert found or not list(tmp_path.glob('*.pth'))
    cfg = make_cfg(tmp_path)
    cfg.resume = True
    runner = train(cfg)
    assert runner.message_hub.get_info('best_ckpt') == str(
        *tmp_path.glob('best_*.pth'))
    assert_same(state_of(runner), whole)
    assert [path for path in names(tmp_path)
            if 'best' not in path] == ['epoch_3.pth']


def test_the_old_best_goes_after_the_new_one(tmp_path, monkeypatch):
    cfg = make_cfg(tmp_path)
    seen = []
    before = SafeCheckpointHook.before_save_checkpoint

    def note(hook, runner, checkpoint):
        seen.append([n for n in names(tmp_path) if 'best' in n])
        before(hook, runner, checkpoint)

    monkeypatch.setattr(SafeCheckpointHook, 'before_save_checkpoint', note)
    train(cfg)
    # Once there is one there always is.
    first = next(i for i, best in enumerate(seen) if best)
    assert all(seen[first:])
    assert len(list(tmp_path.glob('best_*.pth'))) == 1


@pytest.mark.parametrize('keep', [1, 2, -1])
def test_as_many_are_kept_as_asked_for(tmp_path, keep):
    cfg = make_cfg(tmp_path)
    cfg.default_hooks.checkpoint.max_keep_ckpts = keep
    train(cfg)
    kept = [name for name in names(tmp_path) if 'best' not in name]
    assert kept == [f'epoch_{i}.pth'
                    for i in (1, 2, 3)][-keep if keep > 0 else 0:]
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path /
                                                             'epoch_3.pth')


def test_other_names_and_folders(whole, tmp_path):
    cfg = make_cfg(tmp_path / 'run')
    cfg.default_hooks.checkpoint.update(
        out_dir=str(tmp_path / 'out'), filename_tmpl='mine-{:03d}.pth')
    train(cfg)
    folder = tmp_path / 'out' / 'run'
    assert 'mine-003.pth' in names(folder)
    (folder / 'mine-003.pth').unlink()
    cfg.resume = True
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    with pytest.raises(FileNotFoundError, match='no sound checkpoint'):
        train(cfg)


def test_plain_pickles_and_other_files_are_no_checkpoints(tmp_path):
    (tmp_path / 'epoch_9.pth').write_bytes(b'x' * 5000)
    torch.save(dict(state_dict={}), tmp_path / 'epoch_8.pth')
    (tmp_path / 'epoch_x.pth').write_bytes(b'')
    (tmp_path / 'epoch_7.pth').mkdir()
    found, skipped = find_newest(tmp_path, tmp_path)
    assert found is None
    assert len(skipped) == 2
    assert 'epoch_8.pth is skipped: it holds weights, but no' in skipped[1]


@HOOKS.register_module()
class OwnCheckpointHook(CheckpointHook):
    """A hook that a user derives from mmengine's."""


@pytest.mark.parametrize('given, kind', [
    (dict(type='CheckpointHook'), SafeCheckpointHook),
    (dict(type='mmengine.CheckpointHook'), SafeCheckpointHook),
    (dict(), SafeCheckpointHook),
    (dict(type='OwnCheckpointHook'), OwnCheckpointHook),
])
def test_which_hook_saves(tmp_path, given, kind):
    cfg = make_cfg(tmp_path)
    cfg.default_hooks.checkpoint = given
    hook, = (h for h in build(cfg).hooks if isinstance(h, CheckpointHook))
    assert type(hook) is kind


# --- Space ------------------------------------------------------------------
def test_too_small_a_disk_is_said_at_the_start(tmp_path, monkeypatch):
    Usage = namedtuple('Usage', 'free')
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(1000))
    runner = train(make_cfg(tmp_path))
    assert 'of free space, but this run will need about' in log_of(runner)


def test_a_large_disk_is_not_mentioned(tmp_path):
    runner = train(make_cfg(tmp_path))
    assert 'free space' not in log_of(runner)


# --- Metrics and weights ----------------------------------------------------
def test_a_metric_that_is_not_there_does_not_end_the_training(tmp_path):
    cfg = make_cfg(tmp_path)
    cfg.default_hooks.checkpoint.save_best = 'bbox_mAP'
    runner = train(cfg)
    assert runner.epoch == 3
    assert "save_best=['bbox_mAP']: no best checkpoint was saved" in (
        log_of(runner))


class Break(Hook):
    """Make a weight infinite in the second epoch."""

    def before_train_epoch(self, runner):
        if runner.epoch == 1:
            runner.model.head.weight.data[0, 0] = float('inf')


def test_bad_weights_do_not_replace_good_ones(tmp_path):
    cfg = make_cfg(tmp_path)
    cfg.default_hooks.non_finite = None
    runner = build(cfg)
    runner.register_hook(Break())
    with pytest.raises(
            FloatingPointError, match='no checkpoint was saved, as 8 tensors'):
        runner.train()
    kept = [name for name in names(tmp_path) if 'best' not in name]
    assert kept == ['epoch_1.pth']


# --- Two runs in one folder -------------------------------------------------
def write_checkpoint(folder, iteration, age):
    """Write the checkpoint of a run, so many seconds ago."""
    path = folder / f'iter_{iteration}.pth'
    torch.save(
        dict(state_dict={}, optimizer={}, meta=dict(iter=iteration)), path)
    os.utime(path, (time.time() - age, ) * 2)
    return path


def test_what_a_longer_run_has_left_is_not_resumed(tmp_path):
    write_checkpoint(tmp_path, 900, age=100)
    noted = write_checkpoint(tmp_path, 100, age=20)
    pointer = tmp_path / 'last_checkpoint'
    pointer.write_text(str(noted))
    os.utime(pointer, (time.time() - 20, ) * 2)
    assert find_newest(tmp_path, tmp_path)[0] == noted
    # Killed before it noted the next one.
    newer = write_checkpoint(tmp_path, 200, age=10)
    (tmp_path / 'iter_900.pth').unlink()
    assert find_newest(tmp_path, tmp_path)[0] == newer
