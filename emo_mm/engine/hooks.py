"""Hooks that show how a training goes, for all three libraries."""
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from emo_mm.visualization.plots import new_figure
from emo_mm.visualization.predictions import draw_sample, read_rgb

from .scalars import Curve, curves_of, read_scalars


@HOOKS.register_module()
class CurvesHook(Hook):
    """Plot losses, learning rate and metrics to ``<work_dir>/curves.png``.

    The plot is drawn anew after each validation and at the end. It shows what
    mmengine's logger wrote to ``vis_data/scalars.json``, of this run alone:
    after ``--resume`` it begins where the run was resumed.
    """
    priority = 'LOWEST'  # after the LoggerHook has written

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Plot what there is, unless this is a validation alone."""
        if runner.iter > 0:
            self._plot(runner)

    def after_train(self, runner: Runner) -> None:
        """Plot the whole run."""
        self._plot(runner)

    @master_only
    def _plot(self, runner: Runner) -> None:
        path = Path(runner.log_dir, 'vis_data', 'scalars.json')
        if path.is_file():
            plot_curves(
                curves_of(read_scalars(path)),
                Path(runner.work_dir, 'curves.png'))


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
        for name in names:
            axis.plot(*curves[name], '.-', label=name, markersize=3)
        # A validation counts epochs where the training loop does.
        axis.set(
            title=title,
            xlabel='epoch, or iteration of a run without epochs'
            if title == 'validation' else 'iteration')
        axis.grid(alpha=0.3)
        axis.legend(fontsize='small')
    figure.savefig(path)


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
            draw_sample(runner.visualizer, read_rgb(path), sample,
                        Path(path).stem, runner.iter)
            self._drawn += 1


@HOOKS.register_module()
class ValPicturesHook(ValImagesHook):
    """Keep the name that version 0.1 wrote into configs of its runs."""

    def __init__(self, num_pictures: int = 4):
        super().__init__(num_pictures)
