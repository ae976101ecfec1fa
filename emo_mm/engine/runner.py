"""mmengine's Runner with checks at the start."""
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from emo_mm.models import EMO

from .checks import check_data, check_same_schedule, effective_batch


@RUNNERS.register_module()
class CheckedRunner(Runner):
    """A Runner that stops at start where a config cannot work.

    ``runner_type = 'CheckedRunner'`` in a config selects it, as all configs
    of this project do. See :mod:`emo_mm.engine.checks`.
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

    @staticmethod
    def build_dataloader(dataloader, *args, **kwargs):
        """Build a data loader that yields at least one batch."""
        loader = Runner.build_dataloader(dataloader, *args, **kwargs)
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
                if isinstance(module, EMO):
                    module.init_weights = lambda: None
        super()._init_model_weights()

    def load_checkpoint(self, filename: str, *args, **kwargs) -> dict:
        """Load weights; when resuming, compare the schedules first."""
        checkpoint = super().load_checkpoint(filename, *args, **kwargs)
        if self._resume:
            check_same_schedule(self.param_schedulers, checkpoint, filename)
        return checkpoint
