"""mmengine's Runner with checks at the start."""
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

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
            raise ValueError(
                f'dataloader.batch_size={loader.batch_size} is more than the '
                f'{len(loader.dataset)} samples of {loader.dataset!r}, so '
                'that there is no whole batch. Lower batch_size, or set '
                'drop_last=False.')
        return loader

    def load_checkpoint(self, filename: str, *args, **kwargs) -> dict:
        """Load weights; when resuming, compare the schedules first."""
        checkpoint = super().load_checkpoint(filename, *args, **kwargs)
        if self._resume:
            check_same_schedule(self.param_schedulers, checkpoint, filename)
        return checkpoint
