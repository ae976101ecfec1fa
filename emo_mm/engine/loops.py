"""Training loops that go on at any iteration as if nothing had happened.

mmengine's loops resume an epoch at its first batch, and read all batches of a
run by iterations again to find its place. Its data loader workers draw their
augmentations from generators that live as long as the workers, so that no
resumed run can draw the same. Here each sample has a seed of its own, which
depends on the run's seed, the process, the iteration and the place in the
batch alone; the same samples come in the same order whatever the number of
workers, and batches are left out without being read.
"""
from collections.abc import Callable, Iterator
from typing import Any

from mmengine.dist import get_rank
from mmengine.registry import LOOPS
from mmengine.runner import (
    BaseLoop,
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
)
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from emo_mm.random_state import (
    get_random_state,
    kept_random_state,
    seed_all,
    set_random_state,
)

# Where the message hub keeps the iteration of the last validation. mmengine
# logs what begins with 'val'.
VALIDATED = 'last_validated'


# --- Data -------------------------------------------------------------------
class SeededBatchSampler:
    """Yield the batches of another sampler, with a seed for each sample.

    Args:
        batch_sampler: Yields lists of indices.
        seed (int): Seed of the run.
        endless (bool): Begin again after the last batch.

    Attributes:
        iteration (int): Iteration of the first batch that is yielded.
        skip (int): How many batches are left out before it.
    """

    def __init__(self, batch_sampler, seed: int, endless: bool):
        self.batch_sampler = batch_sampler
        self.seed = seed
        self.endless = endless
        self.iteration = 0
        self.skip = 0

    def __iter__(self) -> Iterator[list[tuple[int, tuple[int, ...]]]]:
        rank, iteration = get_rank(), self.iteration
        for position, batch in enumerate(self._batches()):
            if position < self.skip:
                continue
            yield [(index, (self.seed, rank, iteration, place))
                   for place, index in enumerate(batch)]
            iteration += 1

    def _batches(self) -> Iterator[list[int]]:
        yield from self.batch_sampler
        epoch = 0
        while self.endless:
            epoch += 1
            if hasattr(self.sampler, 'set_epoch'):
                self.sampler.set_epoch(epoch)
            yield from self.batch_sampler

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __getattr__(self, name: str) -> Any:
        # sampler, batch_size and drop_last, which hooks ask for.
        if name == 'batch_sampler':  # not set yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)


class SeededDataset:
    """A data set that seeds the generators before it loads a sample.

    Everything but its items is that of the data set below.
    """

    def __init__(self, dataset):
        object.__setattr__(self, 'dataset', dataset)

    def __getitem__(self, item):
        if not isinstance(item, tuple):
            return self.dataset[item]
        index, key = item
        if get_worker_info() is None:  # The model draws from the same ones.
            with kept_random_state():
                seed_all(key)
                return self.dataset[index]
        seed_all(key)
        return self.dataset[index]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset' or name.startswith('__'):  # as it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value) -> None:
        # Hooks replace the pipeline of a data set.
        setattr(self.dataset, name, value)


def unwrap(dataset):
    """Return the data set that a loader was built from."""
    return dataset.dataset if isinstance(dataset, SeededDataset) else dataset


def seed_samples(loader: DataLoader, seed: int, endless: bool) -> None:
    """Have a loader seed each sample, in place."""
    if (isinstance(loader.dataset, IterableDataset)
            or loader.batch_sampler is None
            or isinstance(loader.batch_sampler, SeededBatchSampler)):
        return
    # DataLoader refuses to have them set. A new one, made with a batch
    # sampler, would have no batch_size and no sampler for hooks to read.
    vars(loader)['batch_sampler'] = SeededBatchSampler(loader.batch_sampler,
                                                       seed, endless)
    vars(loader)['dataset'] = SeededDataset(loader.dataset)


# --- Loops ------------------------------------------------------------------
class _Resumable(BaseLoop):
    """Share what both loops do when they begin and validate."""

    val_begin: int
    val_interval: int
    _iter: int
    _decide_current_val_interval: Callable[[], None]

    # Batches of the current epoch that the interrupted run has trained on.
    batches_done = 0
    # During one. What it draws makes no difference to the training, so that a
    # validation that was interrupted can be done again.
    state_before_validation: dict | None = None

    def _built_loader(self, runner, dataloader, endless: bool) -> DataLoader:
        if isinstance(dataloader, dict):
            dataloader = runner.build_dataloader(
                dataloader,
                seed=runner.seed,
                diff_rank_seed=runner._randomness_cfg.get(
                    'diff_rank_seed', False))
        seed_samples(dataloader, runner.seed, endless)
        return dataloader

    def _begin(self) -> None:
        self.runner.call_hook('before_train')
        self.runner.restore_random_state()
        self._decide_current_val_interval()

    def _validate(self, step: int, end: int) -> None:
        """Validate where that is due after ``step`` of ``end`` steps."""
        if self.runner.val_loop is None or step < max(1, self.val_begin):
            return
        if step % self.val_interval == 0 or step == end:
            hub = self.runner.message_hub
            if hub.runtime_info.get(VALIDATED) != self._iter:
                self.state_before_validation = get_random_state()
                self.runner.val_loop.run()
                set_random_state(self.state_before_validation)
                self.state_before_validation = None


@LOOPS.register_module()
class ResumableEpochBasedTrainLoop(_Resumable, EpochBasedTrainLoop):
    """Train by epochs, from any iteration on.

    Arguments are those of :class:`mmengine.runner.EpochBasedTrainLoop`.
    """

    def __init__(self, runner, dataloader, *args, **kwargs):
        loader = self._built_loader(runner, dataloader, endless=False)
        super().__init__(runner, loader, *args, **kwargs)

    def run(self):
        """Train, after a validation that the interrupted run owes."""
        self._begin()
        if self.batches_done == 0:
            self._validate(self._epoch, self._max_epochs)
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._decide_current_val_interval()
            self._validate(self._epoch, self._max_epochs)
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Train on the batches of an epoch that are left."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for idx, batch in enumerate(self._batches(), self.batches_done):
            self.run_iter(idx, batch)
        self.batches_done = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _batches(self) -> Iterator:
        skip, sampler = self.batches_done, self.dataloader.batch_sampler
        if not isinstance(sampler, SeededBatchSampler):
            batches = iter(self.dataloader)
            for _ in range(skip):
                next(batches)
            return batches
        if skip >= len(sampler):  # Stopped between its last batch and its end.
            return iter(())
        sampler.iteration, sampler.skip = self._iter, skip
        return iter(self.dataloader)


@LOOPS.register_module()
class ResumableIterBasedTrainLoop(_Resumable, IterBasedTrainLoop):
    """Train by iterations, from any one on.

    Arguments are those of :class:`mmengine.runner.IterBasedTrainLoop`.
    """

    def __init__(self, runner, dataloader, *args, **kwargs):
        loader = self._built_loader(runner, dataloader, endless=True)
        # mmengine's loop reads from it when it is built, before it is known
        # where to begin, and before the data set is checked.
        super().__init__(runner, _Unread(loader.dataset), *args, **kwargs)
        self.dataloader = loader

    def run(self):
        """Train, after a validation that the interrupted run owes."""
        self._begin()
        # The whole training is one epoch to the hooks.
        self.runner.call_hook('before_train_epoch')
        self.dataloader_iterator = self._batches()
        self._validate(self._iter, self._max_iters)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._decide_current_val_interval()
            self._validate(self._iter, self._max_iters)
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _batches(self) -> Iterator:
        sampler = self.dataloader.batch_sampler
        if isinstance(sampler, SeededBatchSampler):
            sampler.iteration = sampler.skip = self._iter
            return iter(self.dataloader)
        batches = _InfiniteDataloaderIterator(self.dataloader)
        for _ in range(self._iter):
            next(batches)
        return batches


class _Unread:
    """Stand in for a loader that is not to be read from yet."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self) -> Iterator:
        return iter(())


def make_resumable(loop):
    """Return the config of a loop with mmengine's type replaced by ours.

    Args:
        loop: ``train_cfg``. A loop of another type, or built, stays.
    """
    if not isinstance(loop, dict):
        return loop
    loop = dict(loop)
    if 'type' not in loop and 'by_epoch' in loop:
        loop['type'] = (
            EpochBasedTrainLoop
            if loop.pop('by_epoch') else IterBasedTrainLoop)
    ours = {
        EpochBasedTrainLoop: ResumableEpochBasedTrainLoop,
        IterBasedTrainLoop: ResumableIterBasedTrainLoop
    }
    kind = loop.get('type')
    loop['type'] = ours.get(
        LOOPS.get(kind) if isinstance(kind, str) else kind, kind)
    return loop
