"""What a training goes on from, and with which schedule."""
import dataclasses
import warnings
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, get_rank, is_main_process
from mmengine.runner import (
    EpochBasedTrainLoop,
    Runner,
    find_latest_checkpoint,
)

from emo_mm.checks.config import check_same_schedule
from emo_mm.models.weights import read_checkpoint

from .checkpoints import find_newest
from .wrappers import param_groups

# How a resumed run of another length goes on; `resume_schedule` in a config.
SCHEDULES = ('stretch', 'restart')
# Where the message hub keeps where a schedule was restarted: the epoch, the
# iteration, and the length of the run in its unit.
_RESTARTED = 'schedule_restarted'


# --- The checkpoint ---------------------------------------------------------
@dataclasses.dataclass
class Resumed:
    """A checkpoint that a training goes on from.

    Attributes:
        path (str): Its path.
        checkpoint (dict): What it holds besides weights and optimizer.
        notes (list[str]): Newer checkpoints that were skipped, a line each.
    """
    path: str
    checkpoint: dict[str, Any]
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def meta(self) -> dict[str, Any]:
        """Return the epoch, the iteration, the seed and more."""
        return self.checkpoint.get('meta') or {}

    @property
    def runtime_info(self) -> dict[str, Any]:
        """Return what the interrupted run had told its message hub."""
        hub = self.checkpoint.get('message_hub') or {}
        return hub.get('runtime_info') or {}


def find_resumed(work_dir: str, load_from: str | None,
                 hook: dict | None) -> tuple[Resumed | None, list[str]]:
    """Read what a run is to be resumed from.

    Args:
        work_dir (str): Folder of the run.
        load_from (str, optional): The checkpoint that the user names.
        hook (dict, optional): ``default_hooks.checkpoint``, which may have
            another ``out_dir`` or ``filename_tmpl``.

    Returns:
        tuple[Resumed | None, list[str]]: The checkpoint, or None if there is
        none yet, and a line for each one that was skipped.

    Raises:
        FileNotFoundError: If no checkpoint is left of a run that had some.
        ValueError: If the one that the user names cannot be read.
    """
    notes: list[str] = []
    if load_from is None:
        # One process looks, so that all go on from the same.
        answer: list = [None, [], None]
        if is_main_process():
            answer = _find_newest(work_dir, hook or {})
        broadcast_object_list(answer)
        load_from, notes, problem = answer
        if problem:
            raise FileNotFoundError(problem)
    if load_from is None:
        return None, notes
    checkpoint = read_checkpoint(load_from)
    rest = {
        key: value
        for key, value in checkpoint.items()
        if key not in ('state_dict', 'ema_state_dict')
    }
    if 'optimizer' in rest:
        rest['optimizer'] = None  # Only whether it is there.
    return Resumed(load_from, rest), notes


def _find_newest(work_dir: str, hook) -> list:
    """Return the newest checkpoint, what was skipped, and a problem."""
    if not isinstance(hook, dict):  # It is built already.
        hook = vars(hook)
    folder, out_dir = Path(work_dir), hook.get('out_dir')
    if out_dir and '://' in str(out_dir):
        # Storage that cannot be searched, and holds whole files alone.
        return [find_latest_checkpoint(work_dir), [], None]
    if out_dir and Path(out_dir, folder.name).is_dir():
        folder = Path(out_dir, folder.name)
    template = hook.get('filename_tmpl')
    try:
        path, skipped = find_newest(folder, Path(work_dir),
                                    [template] if template else [])
    except FileNotFoundError as error:
        return [None, [], str(error)]
    return [path and str(path), skipped, None]


def random_state_of(checkpoint: dict, world_size: int) -> dict | None:
    """Return the random state of this process in a checkpoint."""
    states = checkpoint.get('random_states') or ()
    return states[get_rank()] if len(states) == world_size else None


# --- The schedule -----------------------------------------------------------
def check_schedule_name(name: str | None) -> None:
    """Check ``resume_schedule``.

    Raises:
        ValueError: If it is no schedule.
    """
    if name is not None and name not in SCHEDULES:
        raise ValueError(
            f'resume_schedule={name!r} must be one of {SCHEDULES}: '
            "'stretch' follows the config's schedule over the new length, "
            "'restart' follows it anew over what is left, from the config's "
            'learning rate.')


class ScheduleResumer:
    """Gives the schedulers of a resumed run their place.

    Args:
        runner (Runner): Its train loop and schedulers are built, and its
            optimizer has the rates that the config asks for, not yet those
            of the checkpoint.
        cfg (list[dict] or dict): ``param_scheduler``.
        name (str, optional): ``resume_schedule``, one of ``SCHEDULES``.
    """

    def __init__(self, runner: Runner, cfg, name: str | None):
        self.runner = runner
        self.cfg = cfg
        self.name = name
        self.rates = self._groups('initial_')

    def resume(self, checkpoint: dict, filename: str) -> str:
        """Go on as the interrupted run, or as ``name`` says.

        Args:
            checkpoint (dict): What is resumed from; the loop and the
                optimizer have their parts of it.
            filename (str): Where it was read from.

        Returns:
            str: A line for the log, or '' where the run just goes on.

        Raises:
            ValueError: If the schedule differs from that of the checkpoint
                and none is chosen, or its length is behind already.
        """
        done, length = self._progress()
        if done > length:
            raise ValueError(
                f'train_cfg.max_{self._unit}={length}, but {filename} has '
                f'{done} {self._unit} behind it. Ask for more, or start a new '
                f'run from its weights: --cfg-options load_from={filename} '
                '(without --resume).')
        hub = self.runner.message_hub
        restarted = hub.runtime_info.get(_RESTARTED)
        if restarted and restarted[2] == length:
            self._continue_restarted(restarted, checkpoint, filename)
        elif self._is_chosen(checkpoint, filename):
            before = self._rate()
            self._set_groups(self.rates)
            if self.name == 'restart':
                start = [self.runner.epoch, self.runner.iter, length]
                hub.update_info(_RESTARTED, start)
                self._build(start)
            else:
                hub.update_info(_RESTARTED, None)
                self._build()
                self._step_to_place()
            return (f'resume_schedule={self.name!r}: {done} of {length} '
                    f'{self._unit} are done; the learning rate was '
                    f'{before:.3g} and is {self._rate():.3g} now.')
        else:
            self._load(checkpoint, filename)
        return ''

    def _is_chosen(self, checkpoint: dict, filename: str) -> bool:
        if self.name is None or not isinstance(self.runner.param_schedulers,
                                               list):
            return False
        if self.name == 'restart':
            return True
        try:  # A run that was stretched before just goes on.
            check_same_schedule(self.runner.param_schedulers, checkpoint,
                                filename)
        except ValueError:
            return True
        return False

    def _continue_restarted(self, start: list[int], checkpoint: dict,
                            filename: str) -> None:
        """Go on with a schedule that was restarted in an earlier run."""
        rates = self._groups('')
        self._set_groups(self.rates)
        self._build(start)
        self._load(checkpoint, filename)
        for group, rate in zip(self._optimizer_groups, rates):
            group.update(rate)

    def _load(self, checkpoint: dict, filename: str) -> None:
        saved = checkpoint.get('param_schedulers')
        schedulers = self.runner.param_schedulers
        if not saved or not schedulers:
            return
        check_same_schedule(schedulers, checkpoint, filename)
        if isinstance(saved, list):
            saved, schedulers = {'': saved}, {'': schedulers}
        for name, states in saved.items():
            for scheduler, state in zip(schedulers[name], states):
                scheduler.load_state_dict(state)

    def _build(self, start: tuple | list = (0, 0)) -> None:
        """Build the schedulers, for what is left of the run from ``start``."""
        loop = self.runner.train_loop
        whole = loop._max_epochs, loop._max_iters
        if self._unit == 'epochs':
            loop._max_epochs -= start[0]
        loop._max_iters -= start[1]
        try:
            self.runner.param_schedulers = self.runner.build_param_scheduler(
                self.cfg)
        finally:
            loop._max_epochs, loop._max_iters = whole

    def _step_to_place(self) -> None:
        """Take all steps up to the place of the run.

        A scheduler computes its value from the one before, which the others
        have changed in between: no shorter way holds for all of them.
        """
        runner = self.runner
        epoch_length = len(runner.train_dataloader)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of steps without an optimizer's
            for iteration in range(1, runner.iter + 1):
                at_end = (
                    self._unit == 'epochs' and iteration % epoch_length == 0)
                for scheduler in runner.param_schedulers:
                    if not scheduler.by_epoch or at_end:
                        scheduler.step()

    @property
    def _unit(self) -> str:
        loop = self.runner.train_loop
        return 'epochs' if isinstance(loop, EpochBasedTrainLoop) else 'iters'

    def _progress(self) -> tuple[int, int]:
        if self._unit == 'epochs':
            return self.runner.epoch, self.runner.max_epochs
        return self.runner.iter, self.runner.max_iters

    def _rate(self) -> float:
        return self._optimizer_groups[0]['lr']

    @property
    def _optimizer_groups(self) -> list[dict]:
        return param_groups(self.runner.optim_wrapper)

    def _groups(self, prefix: str) -> list[dict]:
        """Return what schedulers set in each group of parameters.

        Args:
            prefix (str): 'initial_' for the values that they begin with.
        """
        names = {
            name.removeprefix('initial_')
            for name in self._optimizer_groups[0]
            if name.startswith('initial_')
        }
        return [{
            name: group[prefix + name]
            for name in names
        } for group in self._optimizer_groups]

    def _set_groups(self, rates: list[dict]) -> None:
        for group, values in zip(self._optimizer_groups, rates):
            group.update(values)
            group.update({f'initial_{k}': v for k, v in values.items()})
