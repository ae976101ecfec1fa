"""mmengine's Runner with checks at the start."""
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint

from emo_mm.models import EMO, TimmFeatures
from emo_mm.models.weights import explain_unreadable

from emo_mm.checks.config import (check_data, check_same_schedule, describe_empty,
                     effective_batch)
from emo_mm.checks.compatibility import (check_annotations, check_complete, check_num_classes,
                  check_same_labels, describe_start)


@RUNNERS.register_module()
class CheckedRunner(Runner):
    """A Runner that stops at start where a config cannot work.

    ``runner_type = 'CheckedRunner'`` in a config selects it, as all configs
    of this project do. See :mod:`emo_mm.checks.config`.
    """

    def train(self):
        """Check, then train."""
        for loop in ('train', 'val'):
            check_data(self.cfg, loop)
        line, warning = effective_batch(self.cfg, self.world_size)
        self.logger.info(line)
        if warning:
            self.logger.warning(warning)
        return super().train()

    def val(self):
        """Check, then validate."""
        check_data(self.cfg, 'val')
        return super().val()

    def test(self):
        """Check, then test."""
        check_data(self.cfg, 'test')
        return super().test()

    def build_train_loop(self, loop):
        """Build the loop, whose data must fit the model."""
        return self._with_fitting_data(super().build_train_loop(loop), 'train')

    def build_val_loop(self, loop):
        """Build the loop, whose data must fit the model."""
        return self._with_fitting_data(super().build_val_loop(loop), 'val')

    def build_test_loop(self, loop):
        """Build the loop, whose classes must be those of the model."""
        return self._with_fitting_data(super().build_test_loop(loop), 'test')

    def _with_fitting_data(self, loop, name: str):
        dataset = loop.dataloader.dataset
        field = f'{name}_dataloader.dataset'
        if isinstance(self._train_loop, BaseLoop):
            check_same_labels(
                _classes_of(dataset),
                _classes_of(self._train_loop.dataloader.dataset), field,
                'train_dataloader.dataset')
        warning = check_num_classes(self._bare_model, dataset, field)
        if warning:
            self.logger.warning(warning)
        if name != 'test':  # which may have no annotations
            check_annotations(self._bare_model, dataset, field)
        return loop

    @property
    def _bare_model(self):
        return self.model.module if is_model_wrapper(
            self.model) else self.model

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
        try:
            loader = Runner.build_dataloader(dataloader, *args, **kwargs)
        except ValueError as error:
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

    def _init_model_weights(self) -> None:
        """Initialise the model, without weights that are to be replaced."""
        if self._load_from or (self._resume
                               and find_latest_checkpoint(self.work_dir)):
            for module in self.model.modules():
                if isinstance(module, (EMO, TimmFeatures)):
                    module.is_init = True
        super()._init_model_weights()

    def load_checkpoint(self, filename: str, *args, **kwargs) -> dict:
        """Load weights, and say or refuse what they leave unfilled.

        A training may begin with part of a model, whose rest is listed; a
        test or a resumed run may not. When resuming, schedules are compared,
        too.
        """
        with explain_unreadable(filename):
            checkpoint = super().load_checkpoint(filename, *args, **kwargs)
        model = self._bare_model
        if isinstance(self._train_loop, BaseLoop) and not self._resume:
            self.logger.info(describe_start(model, checkpoint, filename))
        else:
            check_complete(model, checkpoint, filename)
            self._check_labels_of(checkpoint, filename)
        if self._resume:
            check_same_schedule(self.param_schedulers, checkpoint, filename)
        return checkpoint

    def _check_labels_of(self, checkpoint: dict, filename: str) -> None:
        """Data may not label in another way than those of a checkpoint."""
        meta = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
        for name in ('train', 'val', 'test'):
            loop = getattr(self, f'_{name}_loop')
            if isinstance(loop, BaseLoop):
                check_same_labels(
                    _classes_of(loop.dataloader.dataset),
                    meta.get('classes') or (), f'{name}_dataloader.dataset',
                    f'checkpoint={filename!r}')


def _classes_of(dataset) -> tuple:
    metainfo = getattr(dataset, 'metainfo', None) or {}
    return tuple(metainfo.get('classes') or ())
