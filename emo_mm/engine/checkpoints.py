"""Checkpoints that survive a crash, a full disk and a moved folder.

mmengine's CheckpointHook deletes an old checkpoint, then writes the new one in
place, so that a crash while it writes loses both.
"""
import errno
import os
import re
import shutil
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, Runner
from torch import nn

from emo_mm.models.weights import read_checkpoint
from emo_mm.random_state import gather_random_states, get_random_state

from .loops import VALIDATED
from .wrappers import optim_wrappers

LAST = 'last_checkpoint'
# What a run that a signal stopped leaves, until its next checkpoint.
INTERRUPTED = 'interrupted.pth'
_TEMPORARY = '.tmp'
# Where the message hub keeps best checkpoints that are about to be deleted.
_OUTDATED = 'outdated_best'
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


# --- Writing ----------------------------------------------------------------
@contextmanager
def replaced_atomically(path: Path,
                        is_checkpoint: bool = True) -> Iterator[Path]:
    """Yield a temporary path, whose file takes the place of ``path``.

    That happens once it is complete and on the disk. Until then, and if what
    runs inside fails, the file at ``path`` stays as it is.

    Args:
        path (Path): A file that may exist.
        is_checkpoint (bool): Whether it has checksums to compare. Defaults to
            True.

    Raises:
        OSError: If a file cannot be written, or cannot be read back as it was
            written.
    """
    temporary = path.with_name(path.name + _TEMPORARY)
    try:
        yield temporary
        _sync(temporary)
        problem = _find_damage(temporary) if is_checkpoint else ''
        if problem:
            raise OSError(f'{path} was not written properly: {problem}')
        os.replace(temporary, path)
    except OSError as error:
        written = temporary.stat().st_size if temporary.is_file() else 0
        temporary.unlink(missing_ok=True)
        if error.errno in _NO_SPACE:
            raise OSError(error.errno, _describe_full(path,
                                                      written)) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == 'posix':  # Other systems cannot open a folder.
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot do it, of a folder above all.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _find_damage(path: Path) -> str:
    """Compare the parts of a file of torch with their checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        return f'it is cut or no file of torch ({error})'
    return f'its part {part} is damaged' if part else ''


def _describe_full(path: Path, written: int) -> str:
    return (
        f'No space left for {path}: {_megabytes(written)} were written, then '
        f'the disk was full. What was saved before is kept. Free some space, '
        'or set work_dir to another disk, and go on with --resume. '
        'default_hooks.checkpoint.max_keep_ckpts is how many checkpoints are '
        'kept; one more is needed while the next is written.')


def _megabytes(size: float) -> str:
    return f'{size / 2**20:.0f} MB'


# --- Finding ----------------------------------------------------------------
def find_newest(
    folder: Path, work_dir: Path, templates: Iterable[str] = ()
) -> tuple[Path | None, list[str]]:
    """Find the newest checkpoint that a training can be resumed from.

    Args:
        folder (Path): Where a run saves its checkpoints.
        work_dir (Path): Where it notes the name of the last one; the same
            folder unless the hook has an ``out_dir``.
        templates (Iterable[str]): Names besides mmengine's, such as
            'epoch_{}.pth'.

    Returns:
        tuple[Path | None, list[str]]: The checkpoint, and a line for each one
        that was skipped.

    Raises:
        FileNotFoundError: If there was one and none is left.
    """
    pointer = work_dir / LAST
    skipped: list[str] = []
    found: list[tuple[int, Path]] = []
    for paths in _candidates(folder, pointer, templates):
        for path in paths:
            problem, iteration = _examine(path)
            if not problem:
                found.append((iteration, path))
                break
            skipped.append(f'{path} is skipped: {problem}.')
    if found:
        # What a signal left at the same iteration is later than a regular
        # one, which would have deleted it.
        _, path = max(
            _of_last_run(found, pointer),
            key=lambda item: (item[0], item[1].name == INTERRUPTED))
        return path, skipped
    if pointer.is_file():
        there = sorted(path.name for path in folder.glob('*.pth'))
        lines = ''.join(f'\n  {line}' for line in skipped)
        raise FileNotFoundError(
            f'--resume: {pointer} names {pointer.read_text().strip()!r}, but '
            f'{folder} holds no sound checkpoint to resume from. Its '
            f'checkpoints: {", ".join(there) or "none"}.{lines}\nPut one '
            'there, or start anew without --resume.')
    return None, skipped


def _of_last_run(found: list[tuple[int, Path]],
                 pointer: Path) -> list[tuple[int, Path]]:
    """Leave out what a longer run before it has left in the folder.

    A run may be killed when it has saved a checkpoint, and not yet noted its
    name.
    """
    noted = [
        iteration for iteration, path in found
        if pointer.is_file() and path.name == _noted_name(pointer)
    ]
    if not noted:
        return found
    time = pointer.stat().st_mtime_ns
    return [(iteration, path) for iteration, path in found
            if iteration <= noted[0] or path.stat().st_mtime_ns >= time]


def _noted_name(pointer: Path) -> str:
    # Its folder may have been moved or copied since.
    return _name_of(pointer.read_text().strip())


def _name_of(path: str) -> str:
    """Return the last part of a path, of any system."""
    return re.split(r'[\\/]', path)[-1]


def _candidates(folder: Path, pointer: Path,
                templates: Iterable[str]) -> Iterator[list[Path]]:
    """Yield checkpoints by kind, the newest of each kind first."""
    files = [path for path in folder.iterdir() if path.is_file()]
    for template in dict.fromkeys(
        ['epoch_{}.pth', 'iter_{}.pth', *templates]):
        # The number may have a format, as in 'epoch_{:03d}.pth'.
        pattern = re.compile(
            re.sub(r'\\{.*?\\}', r'(\\d+)', re.escape(template)))
        numbered = [(int(match[1]), path) for path in files
                    if (match := pattern.fullmatch(path.name))]
        yield [path for _, path in sorted(numbered, reverse=True)]
    named = {INTERRUPTED}
    if pointer.is_file():
        named.add(_noted_name(pointer))
    for name in sorted(named):
        yield [path for path in files if path.name == name]


def _examine(path: Path) -> tuple[str, int]:
    """Return what is wrong with a checkpoint, and its iteration."""
    if zipfile.is_zipfile(path) or path.stat().st_size < 1024:
        # Files that torch wrote before 1.6 are no archives.
        problem = _find_damage(path)
        if problem:
            return problem, 0
    try:
        checkpoint = read_checkpoint(str(path))
    except Exception as error:  # Damage shows in nearly any way.
        return f'{type(error).__name__}: {str(error).splitlines()[0]}', 0
    if 'optimizer' not in checkpoint or 'iter' not in checkpoint.get(
            'meta', {}):
        return 'it holds weights, but no state of a training', 0
    return '', checkpoint['meta']['iter']


# --- The hook ---------------------------------------------------------------
@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """Save checkpoints so that a complete one is there at any time.

    An old checkpoint, also the old best one, is deleted once the new one is
    complete. Checkpoints hold the states of the random generators of all
    processes. Weights that are not finite are never saved.

    Arguments are those of :class:`mmengine.hooks.CheckpointHook`, in whose
    place :class:`CheckedRunner` registers this hook.
    """

    # States of all processes, for the next checkpoint.
    _random_states: list[dict] | None = None
    # The last step that was saved, and the validation that it knows of.
    _last_step = -1
    _saved_validation = -1
    # Of the epoch, for a run by epochs that saves by iterations.
    _batches_done = 0

    def before_train(self, runner: Runner) -> None:
        """Find the files of a resumed run, and see whether the disk is large
        enough.
        """
        super().before_train(runner)
        self._find_moved_best(runner)
        if is_main_process() and Path(self.out_dir).is_dir():
            for path in Path(self.out_dir).glob(f'*.pth{_TEMPORARY}'):
                path.unlink()  # Left by a run that was killed.
            warning = self._check_space(runner)
            if warning:
                runner.logger.warning(warning)

    def _find_moved_best(self, runner: Runner) -> None:
        """Look for the best checkpoints beside those of this run.

        mmengine has their absolute paths. Of a folder that was copied those
        are the original's, which must not be deleted.
        """
        hub = runner.message_hub
        for suffix, path in self._best_paths().items():
            name = _name_of(path)
            beside = self.file_backend.join_path(self.out_dir, name)
            exists = self.file_backend.exists(beside)
            self._set_best_path(suffix, beside if exists else None)
            hub.update_info(f'best_ckpt{suffix}', beside if exists else None)
            if not exists:
                hub.runtime_info.pop(f'best_score{suffix}', None)
                runner.logger.warning(
                    f'The best checkpoint so far, {name}, is not in '
                    f'{self.out_dir}. The next validation gives a new one.')
        outdated = hub.runtime_info.get(_OUTDATED, ())
        self._remove_best(runner, outdated)

    def _remove_best(self, runner: Runner, paths: Iterable[str]) -> None:
        """Delete what was the best checkpoint."""
        kept = set(map(_name_of, self._best_paths().values()))
        # Also those of other metrics than this run's save_best.
        kept |= {
            _name_of(path)
            for key, path in runner.message_hub.runtime_info.items()
            if key.startswith('best_ckpt') and path
        }
        if is_main_process():
            self._remove(set(map(_name_of, paths)) - kept)

    def _best_paths(self) -> dict[str, str]:
        """Return paths by the suffix that mmengine gives their metrics."""
        if not self.save_best:
            return {}
        if len(self.key_indicators) == 1:
            paths = {'': self.best_ckpt_path}
        else:
            paths = {
                f'_{key}': path
                for key, path in self.best_ckpt_path_dict.items()
            }
        return {key: str(path) for key, path in paths.items() if path}

    def _set_best_path(self, suffix: str, path: str | None) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = path
        else:
            self.best_ckpt_path_dict[suffix[1:]] = path

    def _check_space(self, runner: Runner) -> str:
        """Return a warning if the run will keep more than the disk holds."""
        weights, whole = _estimate_sizes(runner)
        if self.max_keep_ckpts > 0:
            count = self.max_keep_ckpts + 1  # old ones, while one is written
        else:
            left = (
                runner.max_epochs -
                runner.epoch if self.by_epoch else runner.max_iters -
                runner.iter)
            count = left // self.interval + 1 if self.interval > 0 else 1
        needed = count * whole + 2 * len(self.save_best or ()) * weights
        there = sum(path.stat().st_size
                    for path in Path(self.out_dir).glob('*.pth')
                    if self.max_keep_ckpts > 0)
        free = shutil.disk_usage(self.out_dir).free
        if needed - there <= free:
            return ''
        return (
            f'{self.out_dir} has {_megabytes(free)} of free space, but this '
            f'run will need about {_megabytes(needed - there)}: {count} '
            f'checkpoints of {_megabytes(whole)}. Free some space, set '
            'work_dir to another disk, or lower '
            f'default_hooks.checkpoint.max_keep_ckpts={self.max_keep_ckpts} '
            '(-1 keeps all).')

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch=None,
                         outputs=None) -> None:
        """Save every so many iterations, if that is asked for."""
        self._batches_done = batch_idx + 1
        super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def _save_checkpoint(self, runner) -> None:
        if self.by_epoch:
            super()._save_checkpoint(runner)
            return
        step = runner.iter + 1
        self._save_checkpoint_with_step(
            runner, step,
            dict(
                epoch=runner.epoch, iter=step,
                batches_done=self._batches_done))

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        name = self.filename_tmpl.format(step)
        kept, outdated = self._update_kept(runner, step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._write(runner, name, meta)
        self._last_step = step
        self._saved_validation = runner.message_hub.runtime_info.get(
            VALIDATED, -1)
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        if is_main_process():
            self._remove(
                [*map(self.filename_tmpl.format, outdated), INTERRUPTED])

    def _update_kept(self, runner, step) -> tuple[list[int], list[int]]:
        """Return steps to keep, and those to delete after the next write."""
        if self.max_keep_ckpts <= 0:
            return [], []
        steps = [kept for kept in self.keep_ckpt_ids if kept != step] + [step]
        # With those to delete: if the run ends in between, mmengine deletes
        # them when it is resumed.
        runner.message_hub.update_info('keep_ckpt_ids', steps)
        return steps[-self.max_keep_ckpts:], steps[:-self.max_keep_ckpts]

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            path = self.file_backend.join_path(self.out_dir, name)
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # as deepspeed saves them
                self.file_backend.rmtree(path)

    def _write(self, runner: Runner, name: str, meta: dict) -> None:
        """Save a checkpoint to resume from, and note its name."""
        # A validation restores at its end what it found.
        state = getattr(runner.train_loop, 'state_before_validation', None)
        self._random_states = gather_random_states(state or get_random_state())
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args)
        self._random_states = None
        if is_main_process():
            with replaced_atomically(
                    Path(runner.work_dir, LAST), is_checkpoint=False) as path:
                path.write_text(
                    self.file_backend.join_path(self.out_dir, name))

    def save_interrupted(self, runner: Runner, meta: dict) -> str:
        """Save what a run has reached, between its regular checkpoints.

        Returns:
            str: The name of the file, in the folder of the checkpoints.
        """
        self._write(runner, INTERRUPTED, meta)
        return INTERRUPTED

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Save the best checkpoint, and that this validation is done."""
        if not isinstance(runner._train_loop, BaseLoop):
            return  # A validation of its own, which has nothing to save.
        metrics = dict(metrics or {})
        runner.message_hub.update_info(VALIDATED, runner.iter)
        missing = [] if 'auto' in (self.save_best or ()) else [
            key for key in self.save_best or () if key not in metrics
        ]
        if metrics and missing:
            runner.logger.warning(
                f'default_hooks.checkpoint.save_best={missing}: no best '
                'checkpoint was saved, as the validation gives only '
                f'{", ".join(metrics)}.')
        else:
            super().after_val_epoch(runner, metrics)
        step = runner.epoch if self.by_epoch else runner.iter
        if self._last_step == step and self._saved_validation != runner.iter:
            self._save_checkpoint_with_step(
                runner, step, dict(epoch=runner.epoch, iter=runner.iter))

    def _save_best_checkpoint(self, runner, metrics) -> None:
        before = self._best_paths()
        for suffix in before:  # mmengine would delete it first.
            self._set_best_path(suffix, None)
        runner.message_hub.update_info(_OUTDATED, list(before.values()))
        super()._save_best_checkpoint(runner, metrics)
        after = self._best_paths()
        for suffix in before.keys() - after.keys():
            self._set_best_path(suffix, before[suffix])
        self._remove_best(runner, before.values())

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add what an exact resume needs, and refuse weights that went bad.

        Raises:
            FloatingPointError: If weights are not finite.
        """
        bad = find_non_finite(checkpoint['state_dict'], runner.model)
        if bad:
            raise FloatingPointError(
                f'Iteration {runner.iter + 1}: no checkpoint was saved, as '
                f'{len(bad)} tensors of the model are not finite, the first '
                f'of them {bad[0]}. What was saved before is kept.')
        if self._random_states:
            checkpoint['random_states'] = self._random_states
            gradients = _pending_gradients(runner)
            if gradients:
                checkpoint['gradients'] = gradients


def find_non_finite(state_dict: dict, model) -> list[str]:
    """Return names of parameters and running statistics with NaN or infinity.

    Other buffers may hold infinity on purpose, as masks do.
    """
    names = {
        name.removeprefix('module.')
        for name, _ in model.named_parameters()
    }
    return [
        name for name, value in state_dict.items()
        if (name in names or name.endswith(('running_mean', 'running_var')))
        and not torch.isfinite(value).all()
    ]


def _pending_gradients(runner: Runner) -> dict[str, torch.Tensor]:
    """Return gradients that are accumulated for a later step.

    Those of several processes differ, and are not saved.
    """
    wrappers = optim_wrappers(runner.optim_wrapper)
    if get_world_size() > 1 or all(w.should_update() for w in wrappers):
        return {}
    return {
        name: parameter.grad.cpu()
        for name, parameter in runner.model.named_parameters()
        if parameter.grad is not None
    }


def load_gradients(model: nn.Module, checkpoint: dict) -> None:
    """Load accumulated gradients, if the checkpoint has some.

    Args:
        model (nn.Module): The model, without a wrapper.
        checkpoint (dict): What is resumed from.
    """
    gradients = checkpoint.get('gradients') or {}
    for name, parameter in model.named_parameters():
        if name in gradients:
            parameter.grad = gradients[name].to(parameter.device)


def _estimate_sizes(runner: Runner) -> tuple[int, int]:
    """Return bytes of the weights alone, and of a whole checkpoint."""
    model = runner.model
    weights = sum(value.numel() * value.element_size()
                  for value in model.state_dict().values())
    # Adam and its kin keep two values for each parameter, more than others.
    trained = sum(parameter.numel() * parameter.element_size()
                  for parameter in model.parameters()
                  if parameter.requires_grad)
    return weights, weights + 2 * trained
