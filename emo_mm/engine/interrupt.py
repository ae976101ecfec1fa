"""Save and stop where a signal asks for it."""
import math
import signal
import sys

import torch
from mmengine.dist import all_reduce, barrier, get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from .checkpoints import SafeCheckpointHook

# Ctrl-C, what batch systems send before they end a job, and what SLURM can be
# asked to send some time before that (--signal=USR1@120).
SIGNALS = tuple(
    getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGUSR1')
    if hasattr(signal, name))  # Windows has no SIGUSR1.
# Processes ask each other as rarely as that, since each time they wait.
_INTERVAL = 10


def _common_length(loader: DataLoader) -> float:
    """Return how many batches each process has at least."""
    if get_world_size() == 1:
        return math.inf
    # A sampler without round_up gives some processes a batch less.
    return len(loader.dataset) // (
        get_world_size() * (loader.batch_size or len(loader.dataset)))


@HOOKS.register_module()
class InterruptHook(Hook):
    """Save a training that SIGINT, SIGTERM or SIGUSR1 asks to stop.

    The process ends after the current iteration with status 128 plus the
    signal's number, as shells report it: 130, 143 or 138. A second signal
    ends it at once. ``--resume`` goes on at the next iteration.
    """
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._received = 0
        self._handlers: dict = {}

    def before_train(self, runner: Runner) -> None:
        """Begin to listen."""
        try:
            for number in SIGNALS:
                self._handlers[number] = signal.signal(number, self._receive)
        except ValueError:  # Only the main thread may.
            runner.logger.debug('Signals are not handled in this thread.')

    def after_train(self, runner: Runner) -> None:
        """Leave signals to those who had them before."""
        self.release()

    def release(self) -> None:
        """Restore the handlers that were there, also after a failure."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _receive(self, number: int, frame) -> None:
        self._received = number
        for other in SIGNALS:
            signal.signal(other, signal.SIG_DFL)

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch=None,
                         outputs=None) -> None:
        """Save what the run has reached, and stop, if a signal came."""
        if self._stops(runner.iter):
            meta = dict(
                epoch=runner.epoch,
                iter=runner.iter + 1,
                batches_done=batch_idx + 1)
            self._stop(runner, meta)

    def after_val_iter(self,
                       runner: Runner,
                       batch_idx: int,
                       data_batch=None,
                       outputs=None) -> None:
        """Save what the run has reached, and stop, if a signal came.

        The validation is done again when the run is resumed.
        """
        # What the message hub was told belongs to a run, not to a validation
        # of its own: `after_train` has removed the handlers by then.
        if (self._handlers and not self._validates_origin(runner)
                and batch_idx < _common_length(runner.val_dataloader)
                and self._stops(batch_idx)):
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    # It has put the averaged weights into the model.
                    hook._swap_ema_parameters()
            self._stop(runner, dict(epoch=runner.epoch, iter=runner.iter))

    @staticmethod
    def _validates_origin(runner: Runner) -> bool:
        # mmpretrain's EMAHook may put the model's own weights back for it.
        return any(
            getattr(hook, 'evaluate_on_origin', False)
            for hook in runner.hooks)

    def _stops(self, step: int) -> bool:
        """Tell whether a signal came to any of the processes."""
        if get_world_size() == 1:
            return bool(self._received)
        if (step + 1) % _INTERVAL:
            return False
        received = torch.tensor(self._received)
        all_reduce(received, 'max')
        self._received = int(received)
        return bool(self._received)

    def _stop(self, runner: Runner, meta: dict) -> None:
        name = signal.Signals(self._received).name
        self.release()
        for hook in runner.hooks:
            if isinstance(hook, SafeCheckpointHook):
                saved = hook.save_interrupted(runner, meta)
                runner.logger.warning(
                    f'{name}: iteration {meta["iter"]} was saved to '
                    f'{hook.out_dir}/{saved}. --resume goes on from there.')
                break
        else:
            runner.logger.warning(f'{name}: this run saves no checkpoints.')
        if hasattr(signal, 'SIGCHLD'):
            # torch would report workers that now end as failures.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Launchers kill the process that writes once another has ended.
        barrier()
        sys.exit(128 + self._received)
