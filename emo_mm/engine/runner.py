"""mmengine's Runner, with checks at the start and safe checkpoints."""
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS, RUNNERS
from mmengine.runner import BaseLoop, Runner
from torch import nn

from emo_mm.checks.compatibility import (
    check_annotations,
    check_complete,
    check_num_classes,
    check_same_labels,
    classes_of,
    describe_start,
)
from emo_mm.checks.config import (
    check_data,
    check_load_from,
    check_work_dir,
    describe_empty,
    effective_batch,
    without_idle_workers,
)
from emo_mm.checks.data.reading import guard_reading
from emo_mm.checks.data.samples import check_samples
from emo_mm.checks.fields import check_fields
from emo_mm.checks.model import (
    check_topk,
    check_widths,
    explain_assertion,
    explain_one_value,
)
from emo_mm.models import EMO, TimmFeatures
from emo_mm.models.weights import explain_unreadable
from emo_mm.random_state import set_random_state

from .checkpoints import (
    SafeCheckpointHook,
    load_gradients,
    replaced_atomically,
)
from .from_scratch import find_frozen
from .harmless import make_harmless
from .interrupt import InterruptHook
from .loops import make_resumable, unwrap
from .processes import (
    apart_from_last_start,
    average_over_processes,
    find_own_checkpoint,
)
from .resume import (
    ScheduleResumer,
    check_schedule_name,
    find_resumed,
    random_state_of,
)
from .wrappers import bare_model

# Where a checkpoint lists the backbones of its run that had no weights.
_FROM_SCRATCH = 'from_scratch'
_TRAIN = 'train_dataloader.dataset'
# Hooks besides mmengine's, by their name in `default_hooks`.
_DEFAULT_HOOKS = dict(
    curves='CurvesHook',
    first_batch='FirstBatchHook',
    interrupt='InterruptHook',
    non_finite='NonFiniteHook',
    plain_checkpoint='PlainCheckpointHook',
    val_images='ValImagesHook')


@RUNNERS.register_module()
class CheckedRunner(Runner):
    """A Runner that stops at the start where a config cannot work.

    ``runner_type = 'CheckedRunner'`` in a config selects it, as all configs
    of this project do. See :mod:`emo_mm.checks` for what is checked,
    :mod:`emo_mm.engine.from_scratch` for backbones that start without
    weights, :mod:`emo_mm.engine.checkpoints` for what is saved, and
    :mod:`emo_mm.engine.resume` for how a run goes on.
    """

    _has_loaded: bool
    optim_wrapper: Any
    param_schedulers: Any

    def __init__(self, *args, load_from=None, resume=False, **kwargs):
        if find_own_checkpoint(*args, **kwargs):
            load_from, resume = None, True
        # What is resumed has the seed, which is needed before all else.
        self._wanted = (load_from, kwargs.get('default_hooks')) \
            if resume else None
        self._resumed = None
        self._notes: list[str] = []
        self._random_state: dict | None = None
        super().__init__(*args, load_from=load_from, resume=resume, **kwargs)
        self._scheduler_cfg = self.param_schedulers

    def setup_env(self, env_cfg: dict) -> None:
        """Set up the environment, after a restart by torchrun too."""
        super().setup_env(apart_from_last_start(env_cfg, self._launcher))

    def set_randomness(self, seed, *args, **kwargs) -> None:
        """Seed the generators, by the interrupted run's seed if none is set.

        The samplers of a resumed run are built by it.
        """
        if self._wanted is not None and self._resumed is None:
            load_from, hooks = self._wanted
            self._resumed, self._notes = find_resumed(
                self.work_dir, load_from, (hooks or {}).get('checkpoint'))
        if seed is None and self._resumed is not None:
            seed = self._resumed.meta.get('seed')
        super().set_randomness(seed, *args, **kwargs)

    @classmethod
    def from_cfg(cls, cfg):
        """Check the fields of this package's classes, then build."""
        check_fields(cfg)
        check_work_dir(cfg['work_dir'])
        check_load_from(cfg.get('load_from'))
        return super().from_cfg(cfg)

    def train(self):
        """Check, then train."""
        self._check_data('train', 'val')
        line, warning = effective_batch(self.cfg, self.world_size)
        self.logger.info(line)
        if warning:
            self.logger.warning(warning)
        check_schedule_name(self.cfg.get('resume_schedule'))
        try:
            with explain_one_value(self.cfg):
                return super().train()
        finally:
            for hook in self.hooks:
                if isinstance(hook, InterruptHook):
                    hook.release()

    def val(self):
        """Check, then validate."""
        self._check_data('val')
        return super().val()

    def test(self):
        """Check, then test."""
        self._check_data('test')
        return super().test()

    def _check_data(self, *loops: str) -> None:
        for loop in loops:
            check_data(self.cfg, loop)

    def build_model(self, model) -> nn.Module:
        """Build the model, frozen or not as its start requires.

        That cannot wait for the weights: DistributedDataParallel wraps the
        model right after.
        """
        if isinstance(model, dict) and (self._resumed or not self._load_from):
            self._unfreeze_from_scratch(model)
        settings = self.cfg.get('model') or {}
        with explain_assertion(settings):
            model = super().build_model(model)
        check_widths(model, settings)
        average_over_processes(model)
        if self._resumed or self._load_from:
            # Other weights, which may not be here, are not needed.
            for module in model.modules():
                if isinstance(module, (EMO, TimmFeatures)):
                    module.is_init = True
        return model

    def _unfreeze_from_scratch(self, model: dict) -> None:
        """Let backbones that start without weights train as a whole.

        A resumed run does as the interrupted one did.
        """
        found = list(find_frozen(model))
        if self._resumed:
            chosen = self._resumed.runtime_info.get(_FROM_SCRATCH, ())
            found = [item for item in found if item[0] in chosen]
        # So that the config that is dumped tells, too.
        dumped = find_frozen(self.cfg.get('model') or {})
        fields = [field for field, _, _ in found]
        for field, _, settings in found:
            text = ' and '.join(f'{k}={v}' for k, v in settings.items())
            self.logger.info(
                f'{field} starts without weights, so it trains as a whole: '
                f'{text}, whatever the config says.')
        for field, backbone, settings in [*found, *dumped]:
            if field in fields:
                backbone.update(settings)
        if fields:
            self.message_hub.update_info(_FROM_SCRATCH, fields)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register mmengine's default hooks, and those of ``_DEFAULT_HOOKS``.

        A config replaces one by its name in ``default_hooks``, or leaves it
        out by None. SafeCheckpointHook takes the place of CheckpointHook.
        """
        # Not in a config that all share: mmengine refuses two bases with a
        # key in common, and every library's runtime has default_hooks.
        hooks = dict(hooks or {})
        for name, kind in _DEFAULT_HOOKS.items():
            hook = hooks.get(name, {})
            if isinstance(hook, dict):
                hooks[name] = dict(hook, type=hook.get('type', kind))
        hooks['checkpoint'] = _make_safe(
            hooks.get('checkpoint', dict(interval=1)))
        super().register_default_hooks({
            name: hook
            for name, hook in hooks.items()
            if hook is not None or name not in _DEFAULT_HOOKS
        })

    def build_train_loop(self, loop) -> BaseLoop:
        """Build a loop that can be resumed at any iteration."""
        return super().build_train_loop(make_resumable(loop))

    def register_hooks(self, *args, **kwargs) -> None:
        """Register all hooks, of which those that draw end no training."""
        super().register_hooks(*args, **kwargs)
        for hook in self.hooks:
            make_harmless(hook)

    @staticmethod
    def build_dataloader(dataloader, *args, **kwargs):
        """Build a data loader that yields at least one batch."""
        dataloader = without_idle_workers(dataloader)
        try:
            loader = Runner.build_dataloader(dataloader, *args, **kwargs)
        except (AssertionError, RuntimeError, ValueError) as error:
            text = describe_empty(dataloader.get('dataset'), error)
            if not text:
                raise
            raise ValueError(text) from error
        # An iterator draws a seed for its workers, which have others. From
        # torch's generator, it would change what the model draws.
        if loader.generator is None:
            loader.generator = torch.Generator()
        if len(loader) == 0:
            dataset = loader.dataset
            raise ValueError(
                f'{type(dataset).__name__} has {len(dataset)} samples, which '
                'fill no batch. Check its ann_file and filter_cfg; if the '
                'samples are just few, lower batch_size or set '
                'drop_last=False in its dataloader.')
        return loader

    def load_or_resume(self) -> None:
        """Check that the model and the data of all loops fit, then load."""
        datasets = self._datasets()
        trained = classes_of(datasets.get(_TRAIN))
        for field, dataset in datasets.items():
            check_same_labels(classes_of(dataset), trained, field, _TRAIN)
            warning = check_num_classes(bare_model(self.model), dataset, field)
            if warning:
                self.logger.warning(warning)
            check_samples(dataset, field)
            guard_reading(dataset, field)
            if not field.startswith('test'):  # It may have no annotations.
                check_annotations(bare_model(self.model), dataset, field)
        for name, loop in self._loops().items():
            check_topk(
                bare_model(self.model), getattr(loop, 'evaluator', None),
                f'{name}_evaluator')
        if self._resume and not self._has_loaded:
            self._report_resumed()
            if self._resumed is not None:
                self.resume(self._resumed.path)
            self._has_loaded = True
        super().load_or_resume()

    def _report_resumed(self) -> None:
        for note in self._notes:
            self.logger.warning(note)
        if self._resumed is None:
            self.logger.info(f'--resume: {self.work_dir} has no checkpoint '
                             'yet, so the training starts anew.')
        elif self._load_from is None:
            self.logger.info('Auto resumed from the latest checkpoint '
                             f'{self._resumed.path}.')

    def _datasets(self) -> dict:
        """Return the data sets of the loops that are built, by their field."""
        return {
            f'{name}_dataloader.dataset': unwrap(loop.dataloader.dataset)
            for name, loop in self._loops().items()
        }

    def _loops(self) -> dict[str, BaseLoop]:
        """Return the loops that are built, by 'train', 'val' and 'test'."""
        loops = dict(
            train=self._train_loop, val=self._val_loop, test=self._test_loop)
        return {
            name: loop
            for name, loop in loops.items() if isinstance(loop, BaseLoop)
        }

    def load_checkpoint(self, filename: str, *args, **kwargs) -> dict:
        """Load weights, and report or refuse what they leave unfilled.

        A training may begin with part of a model, whose rest is listed; a
        test or a resumed run may not.
        """
        with explain_unreadable(filename):
            checkpoint = super().load_checkpoint(filename, *args, **kwargs)
        model = bare_model(self.model)
        if isinstance(self._train_loop, BaseLoop) and not self._resume:
            self.logger.info(describe_start(model, checkpoint, filename))
        else:
            check_complete(model, checkpoint, filename)
            meta = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
            for field, dataset in self._datasets().items():
                check_same_labels(
                    classes_of(dataset),
                    meta.get('classes') or (), field,
                    f'checkpoint={filename!r}')
        return checkpoint

    def resume(self,
               filename: str,
               resume_optimizer: bool = True,
               resume_param_scheduler: bool = True,
               map_location='default') -> None:
        """Go on as the interrupted run would have.

        On the same machine, with as many processes and in float32, weights
        are the same to the last bit.

        Raises:
            ValueError: If the schedule is another and the config's
                ``resume_schedule`` does not say how to go on.
        """
        if self._resumed is None or self._resumed.path != filename:
            self._resumed, _ = find_resumed(self.work_dir, filename, None)
        if self.param_schedulers is self._scheduler_cfg is not None:
            self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
            self.param_schedulers = self.build_param_scheduler(
                self._scheduler_cfg)
        schedule = ScheduleResumer(self, self._scheduler_cfg,
                                   self.cfg.get('resume_schedule'))
        super().resume(
            filename,
            resume_optimizer,
            resume_param_scheduler=False,
            # What is computed on another device is copied there.
            map_location='cpu' if map_location == 'default' else map_location)
        checkpoint = self._resumed.checkpoint
        if resume_param_scheduler:
            line = schedule.resume(checkpoint, filename)
            if line:
                self.logger.info(line)
        self.train_loop.batches_done = self._resumed.meta.get(
            'batches_done', 0)
        if 'optimizer' not in checkpoint:
            self.logger.warning(
                f'{filename} holds no state of the optimizer, which begins '
                'anew.')
        load_gradients(bare_model(self.model), checkpoint)
        self._random_state = random_state_of(checkpoint, self.world_size)
        if self._random_state is None:
            self.logger.warning(
                f'{filename} has no random states for {self.world_size} '
                'process(es), so the run goes on, but not exactly as it would '
                'have without the interruption.')

    def restore_random_state(self) -> None:
        """Let the generators go on where the interrupted run left them."""
        if self._random_state is not None:
            set_random_state(self._random_state)

    def save_checkpoint(self, out_dir, filename, *args, **kwargs) -> None:
        """Save a checkpoint whole, or leave what was there.

        Arguments are those of :meth:`mmengine.runner.Runner.save_checkpoint`.

        Raises:
            OSError: If the disk is full, or the file cannot be written.
        """
        if not is_main_process():
            return
        if '://' in str(out_dir):  # Storage that takes a file as a whole.
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        with replaced_atomically(Path(out_dir, filename)) as path:
            super().save_checkpoint(
                str(path.parent), path.name, *args, **kwargs)


def _make_safe(hook):
    """Return the config of a hook with CheckpointHook replaced by ours."""
    if not isinstance(hook, dict):
        return hook
    kind = hook.get('type', CheckpointHook)
    if (HOOKS.get(kind) if isinstance(kind, str) else kind) is CheckpointHook:
        return dict(hook, type=SafeCheckpointHook)
    return hook
