"""Hooks that show how a training goes, for all three libraries."""
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from emo_mm.visualization.plots import new_figure
from emo_mm.visualization.predictions import draw_sample, read_rgb

Curve = Tuple[List[float], List[float]]


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
        scalars = Path(runner.log_dir, 'vis_data', 'scalars.json')
        if scalars.is_file():
            plot_curves(
                read_curves(scalars), Path(runner.work_dir, 'curves.png'))


def read_curves(scalars: Path) -> Dict[str, Curve]:
    """Steps and values of each scalar that may be plotted.

    Args:
        scalars (Path): ``vis_data/scalars.json``, as mmengine's
            ``LocalVisBackend`` writes it: one JSON object per line.
    """
    curves: Dict[str, Curve] = defaultdict(lambda: ([], []))
    for line in scalars.read_text().splitlines():
        values = json.loads(line)
        step = values.pop('step', None)
        for name, value in values.items():
            wanted = 'loss' in name or name == 'lr' or _is_metric(name, values)
            if step is None or not wanted or not _is_number(value):
                continue
            curves[name][0].append(step)
            curves[name][1].append(value)
    return dict(curves)


def _is_metric(name: str, values: dict) -> bool:
    """Lines of a validation have neither a rate nor a loss."""
    return 'lr' not in values and name not in ('time', 'data_time')


def _is_number(value) -> bool:
    # COCO's metric is -1 where there is nothing to find.
    return isinstance(value,
                      (int, float)) and math.isfinite(value) and (value != -1)


def plot_curves(curves: Dict[str, Curve], path: Path) -> None:
    """Draw losses, learning rate and metrics side by side.

    Args:
        curves (dict): Steps and values of each scalar.
        path (Path): Of the picture.
    """
    panels: Dict[str, list] = defaultdict(list)
    for name in curves:
        panels['loss' if 'loss' in name else 'learning rate' if name ==
               'lr' else 'validation'].append(name)
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
            xlabel='iteration' if title != 'validation' else
            'epoch, or iteration of a run without epochs')
        axis.grid(alpha=0.3)
        axis.legend(fontsize='small')
    figure.savefig(path)


@HOOKS.register_module()
class ValPicturesHook(Hook):
    """Draw predictions on the same few pictures in every validation.

    They go to the visualizer's backends, which is
    ``vis_data/vis_image/<name>_<step>.png`` unless the config says otherwise.
    The libraries' own hooks draw other pictures each time, and every one of a
    test; they stay in charge of ``--show-dir``.

    Args:
        num_pictures (int): How many, the first ones of the data set. 0 draws
            none. Defaults to 4.

    Raises:
        ValueError: If ``num_pictures`` is no such number.
    """

    def __init__(self, num_pictures: int = 4):
        if not isinstance(num_pictures, int) or num_pictures < 0:
            raise ValueError(f'num_pictures={num_pictures!r} must be an int '
                             'of at least 0.')
        self.num_pictures = num_pictures
        self._drawn = 0

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin with the first picture again."""
        self._drawn = 0

    @master_only
    def after_val_iter(self,
                       runner: Runner,
                       batch_idx: int,
                       data_batch=None,
                       outputs: Sequence = ()) -> None:
        """Draw the first samples of the validation."""
        for sample in outputs[:self.num_pictures - self._drawn]:
            path = sample.get('img_path')
            if not path:
                continue
            draw_sample(runner.visualizer, read_rgb(path), sample,
                        Path(path).stem, runner.iter)
            self._drawn += 1
