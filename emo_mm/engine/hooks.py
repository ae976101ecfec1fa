"""Hooks that show how a training goes, for all three libraries."""
import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import torch
from mmengine.dist import get_world_size, master_only
from mmengine.hooks import Hook, LoggerHook
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, Runner

from emo_mm.checks.model import check_first_batch
from emo_mm.visualization.plots import new_figure
from emo_mm.visualization.predictions import draw_sample, read_rgb

from .harmless import harmless, warn_once
from .scalars import (
    RECORDS,
    Curve,
    as_number,
    curves_of,
    is_rate,
    read_scalars,
)
from .val_loss import ValidationLoss
from .wrappers import bare_model

# Steps between two points where no LoggerHook says how many.
_INTERVAL = 10


@HOOKS.register_module()
class CurvesHook(Hook):
    """Plot losses, learning rate and metrics to ``<work_dir>/curves.png``.

    The plot is drawn anew after each validation and at the end. Its values
    are kept in ``<work_dir>/curves.json``, whatever backends the visualizer
    has, as often as mmengine's LoggerHook logs them; a resumed run goes on
    with those of the interrupted one.

    Args:
        val_loss (bool): Whether to compute the losses on the validation data
            as well. It costs a second pass over them, and changes nothing in
            the training. They are logged as ``val/loss`` and so on. Defaults
            to False.

    Raises:
        ValueError: If ``val_loss`` is no bool.
    """
    # After the metrics are known, before LoggerHook logs the losses.
    priority = 'NORMAL'

    def __init__(self, val_loss: bool = False):
        if not isinstance(val_loss, bool):
            raise ValueError(f'default_hooks.curves.val_loss={val_loss!r} '
                             'must be True or False.')
        self.val_loss = val_loss
        self._records: list[dict] = []
        self._num_plotted = 0
        self._losses: ValidationLoss | None = None
        self._has_no_loss = False

    @harmless
    @master_only
    def before_train(self, runner: Runner) -> None:
        """Begin a file, or go on with that of the interrupted run."""
        path = Path(runner.work_dir, RECORDS)
        if runner.iter > 0 and path.is_file():
            self._records = [
                record for record in read_scalars(path)
                if record.get('iter', 0) <= runner.iter
            ]
        lines = [json.dumps(record) + '\n' for record in self._records]
        path.write_text(''.join(lines))

    @harmless
    @master_only
    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch=None,
                         outputs: dict | None = None) -> None:
        """Keep the losses and rates that LoggerHook logs now."""
        interval = getattr(_logger_hook(runner), 'interval', _INTERVAL)
        if (self.every_n_inner_iters(batch_idx, interval)
                or self.end_of_epoch(runner.train_dataloader, batch_idx)
                or self.is_last_train_iter(runner)):
            window = runner.log_processor.window_size
            values = {}
            for name, buffer in runner.message_hub.log_scalars.items():
                loop, _, name = name.partition('/')
                if loop == 'train' and is_rate(name):
                    values[name] = buffer.current()
                elif loop == 'train' and 'loss' in name:
                    values[name] = buffer.mean(window)
            step = runner.iter + 1
            self._keep(runner, values, step, step)

    def before_val_epoch(self, runner: Runner) -> None:
        """Let the copy that computes the losses be made anew."""
        self._losses = None

    def after_val_iter(self,
                       runner: Runner,
                       batch_idx: int,
                       data_batch=None,
                       outputs: Sequence | None = None) -> None:
        """Compute the losses of a batch, if that is asked for."""
        if not self.val_loss or self._has_no_loss or not _trains(runner):
            return
        try:
            if self._losses is None:
                # Not earlier: averaged weights are in place only now.
                self._losses = ValidationLoss(
                    bare_model(runner.model), runner.val_dataloader.dataset)
            self._losses.add(data_batch)
        except Exception as error:
            self._losses, self._has_no_loss = None, True
            runner.logger.warning(f'CurvesHook computes no validation loss: '
                                  f'{type(error).__name__}: {error}.')

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Log the losses, and plot what there is.

        A validation alone, without a training, is not plotted.
        """
        if not _trains(runner):
            return
        losses: dict[str, float] = {}
        if self.val_loss:
            losses = self._mean_losses()
            hub = runner.message_hub
            for name, value in losses.items():
                # LoggerHook logs the mean of the last few of what has 'loss'
                # in its name. So there is one.
                hub.log_scalars.pop(f'val/{name}', None)
                hub.update_scalar(f'val/{name}', value)
            if metrics is not None:  # so that save_best can name them
                metrics.update(losses)
        self._plot_validation(runner, dict(metrics or {}, **losses))

    def _mean_losses(self) -> dict[str, float]:
        """Return the losses of a validation, the same in all processes."""
        losses = self._losses or ValidationLoss(torch.nn.Module(), None)
        self._losses = None
        return {f'val/{name}': v for name, v in losses.mean().items()}

    @harmless
    @master_only
    def _plot_validation(self, runner: Runner, metrics: dict) -> None:
        by_epoch = getattr(_logger_hook(runner), 'log_metric_by_epoch', True)
        step = runner.epoch if by_epoch else runner.iter
        self._keep(runner, metrics, step, runner.iter)
        self._plot(runner)

    @harmless
    @master_only
    def after_train(self, runner: Runner) -> None:
        """Plot the whole run."""
        self._plot(runner)

    def _keep(self, runner: Runner, values: dict, step: int,
              iteration: int) -> None:
        """Keep what are numbers, in memory and in the file."""
        numbers = {name: as_number(value) for name, value in values.items()}
        record = {
            name: value
            for name, value in numbers.items() if value is not None
        }
        if record:
            self._records.append(dict(record, step=step, iter=iteration))
            with open(Path(runner.work_dir, RECORDS), 'a') as file:
                file.write(json.dumps(self._records[-1]) + '\n')

    def _plot(self, runner: Runner) -> None:
        if len(self._records) > self._num_plotted:
            self._num_plotted = len(self._records)
            plot_curves(
                curves_of(self._records), Path(runner.work_dir, 'curves.png'))


def _logger_hook(runner: Runner) -> LoggerHook | None:
    return next((h for h in runner.hooks if isinstance(h, LoggerHook)), None)


def _trains(runner: Runner) -> bool:
    """Tell whether a training has begun, and this is no validation alone."""
    return isinstance(runner._train_loop, BaseLoop) and runner.iter > 0


def plot_curves(curves: dict[str, Curve], path: Path) -> None:
    """Draw losses, learning rate and metrics side by side.

    Args:
        curves (dict): Steps and values of each scalar.
        path (Path): The image to write.
    """
    panels: dict[str, list[str]] = defaultdict(list)
    for name in curves:
        title = 'learning rate' if name == 'lr' else 'validation'
        panels['loss' if 'loss' in name else title].append(name)
    if not panels:
        return
    figure = new_figure(5 * len(panels), 4)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, names) in zip(axes, panels.items()):
        colors = dict(zip(_without_val(names), _palette()))
        for name in names:
            axis.plot(
                *curves[name],
                'o--' if name.startswith('val/') else '.-',
                color=colors[name.removeprefix('val/')],
                label=name,
                markersize=3)
        # A validation counts epochs where the training loop does.
        axis.set(
            title=title,
            xlabel='epoch, or iteration of a run without epochs'
            if title == 'validation' else 'iteration')
        axis.grid(alpha=0.3)
        axis.legend(fontsize='small')
    figure.savefig(path)


def _without_val(names: Sequence[str]) -> list[str]:
    """Return names of losses, once each, which have one color each."""
    return list(dict.fromkeys(name.removeprefix('val/') for name in names))


def _palette():
    return cycle(f'C{i}' for i in range(10))


@HOOKS.register_module()
class ValImagesHook(Hook):
    """Draw predictions on the same few images in every validation.

    They go to the visualizer's backends, which is
    ``vis_data/vis_image/<name>_<step>.png`` unless the config says otherwise.
    The libraries' own hooks draw other images each time, and every one of a
    test; they stay in charge of ``--show-dir``.

    Args:
        num_images (int): How many, the first ones of the data set. 0 draws
            none. Defaults to 4.

    Raises:
        ValueError: If ``num_images`` is not such a number.
    """

    def __init__(self, num_images: int = 4):
        if not isinstance(num_images, int) or num_images < 0:
            raise ValueError(f'num_images={num_images!r} must be an int of at '
                             'least 0.')
        self.num_images = num_images
        self._drawn = 0

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin with the first image again."""
        self._drawn = 0

    @harmless
    @master_only
    def after_val_iter(self,
                       runner: Runner,
                       batch_idx: int,
                       data_batch=None,
                       outputs: Sequence | None = None) -> None:
        """Draw the first samples of the validation."""
        for sample in (outputs or ())[:self.num_images - self._drawn]:
            path = sample.get('img_path')
            if not path:
                continue
            self._drawn += 1
            try:
                draw_sample(runner.visualizer, read_rgb(path), sample,
                            Path(path).stem, runner.iter)
            except Exception as error:  # The others may be sound.
                warn_once(self, runner, error)


@HOOKS.register_module()
class ValPicturesHook(ValImagesHook):
    """Keep the name that version 0.1 wrote into configs of its runs."""

    def __init__(self, num_pictures: int = 4):
        super().__init__(num_pictures)


@HOOKS.register_module()
class FirstBatchHook(Hook):
    """Stop before the first iteration if a batch of one image would fail.

    See :func:`emo_mm.checks.model.check_first_batch`.
    """
    priority = 'VERY_HIGH'

    def __init__(self):
        self._checked = False

    def before_train_iter(self,
                          runner: Runner,
                          batch_idx: int,
                          data_batch=None) -> None:
        """Check the first batch.

        Raises:
            ValueError: If a norm sees a single value of a channel.
        """
        if not self._checked:
            self._checked = True
            check_first_batch(
                bare_model(runner.model), data_batch, runner.train_dataloader,
                runner.max_iters - runner.iter, get_world_size())
