"""mmengine's Runner with checks at the start."""
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint
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
    check_same_schedule,
    check_work_dir,
    describe_empty,
    effective_batch,
    without_idle_workers,
)
from emo_mm.checks.data.reading import guard_reading
from emo_mm.checks.data.samples import check_samples
from emo_mm.checks.fields import check_fields
from emo_mm.models import EMO, TimmFeatures
from emo_mm.models.weights import explain_unreadable, read_checkpoint

from .from_scratch import find_frozen

# Where a checkpoint lists the backbones of its run that had no weights.
_FROM_SCRATCH = 'from_scratch'
_TRAIN = 'train_dataloader.dataset'


@RUNNERS.register_module()
class CheckedRunner(Runner):
    """A Runner that stops at the start where a config cannot work.

    ``runner_type = 'CheckedRunner'`` in a config selects it, as all configs
    of this project do. See :mod:`emo_mm.checks` for what is checked, and
    :mod:`emo_mm.engine.from_scratch` for backbones that start without
    weights.
    """

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
        return super().train()

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
        resumed = None
        if self._resume:
            resumed = self._load_from or find_latest_checkpoint(self.work_dir)
        if isinstance(model, dict) and (resumed or not self._load_from):
            self._unfreeze_from_scratch(model, resumed)
        model = super().build_model(model)
        if resumed or self._load_from:
            # Other weights, which may not be here, are not needed.
            for module in model.modules():
                if isinstance(module, (EMO, TimmFeatures)):
                    module.is_init = True
        return model

    def _unfreeze_from_scratch(self, model: dict, resumed: str | None) -> None:
        """Let backbones that start without weights train as a whole.

        A resumed run does as the interrupted one did.
        """
        found = list(find_frozen(model))
        if found and resumed:
            hub = read_checkpoint(resumed).get('message_hub') or {}
            chosen = hub.get('runtime_info', {}).get(_FROM_SCRATCH, ())
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
        """Register mmengine's default hooks, curves and validation images.

        A config replaces one by its name in ``default_hooks``, or leaves it
        out by None.
        """
        # Not in a config that all share: mmengine refuses two bases with a
        # key in common, and every library's runtime has default_hooks.
        ours = dict(
            curves=dict(type='CurvesHook'),
            val_images=dict(type='ValImagesHook'))
        hooks = {**ours, **(hooks or {})}
        super().register_default_hooks({
            name: hook
            for name, hook in hooks.items()
            if hook is not None or name not in ours
        })

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
            warning = check_num_classes(self._bare_model, dataset, field)
            if warning:
                self.logger.warning(warning)
            check_samples(dataset, field)
            guard_reading(dataset, field)
            if not field.startswith('test'):  # It may have no annotations.
                check_annotations(self._bare_model, dataset, field)
        super().load_or_resume()

    def _datasets(self) -> dict:
        """Return the data sets of the loops that are built, by their field."""
        loops = dict(
            train=self._train_loop, val=self._val_loop, test=self._test_loop)
        return {
            f'{name}_dataloader.dataset': loop.dataloader.dataset
            for name, loop in loops.items() if isinstance(loop, BaseLoop)
        }

    @property
    def _bare_model(self) -> nn.Module:
        if is_model_wrapper(self.model):
            return self.model.module
        return self.model

    def load_checkpoint(self, filename: str, *args, **kwargs) -> dict:
        """Load weights, and report or refuse what they leave unfilled.

        A training may begin with part of a model, whose rest is listed; a
        test or a resumed run may not. A resumed run also has the schedule of
        the interrupted one.
        """
        with explain_unreadable(filename):
            checkpoint = super().load_checkpoint(filename, *args, **kwargs)
        model = self._bare_model
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
        if self._resume:
            check_same_schedule(self.param_schedulers, checkpoint, filename)
        return checkpoint
