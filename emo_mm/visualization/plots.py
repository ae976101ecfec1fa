"""Plot accuracies as the paper does, on the figure that all plots share."""
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

# Importing it takes a third of a second, in every run that may plot.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OURS = 'EMO'


def new_figure(width: float, height: float) -> 'Figure':
    """Return a figure of a size in inches, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure((width, height), dpi=150, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def plot_accuracies(families: dict[str, list[tuple[str, float, float]]],
                    path: Path) -> None:
    """Plot Top-1 against FLOPs, one line for each family (Fig. 1).

    Args:
        families (dict[str, list[tuple[str, float, float]]]): Size, FLOPs in
            M and Top-1 in percent, see
            :func:`emo_mm.analysis.peers.accuracies`.
        path (Path): The image to write.
    """
    from matplotlib import colormaps
    figure = new_figure(11, 7.5)
    axes = figure.add_subplot()
    styles = zip(cycle(colormaps['tab20'].colors), cycle('osD^v<>pPX*hH8d'))
    for (family, points), (color, marker) in zip(families.items(), styles):
        ours = family == _OURS
        sizes, flops, top1 = zip(*points)
        axes.plot(
            flops,
            top1,
            marker=marker,
            markersize=9 if ours else 5,
            linewidth=2.5 if ours else 1,
            color='crimson' if ours else color,
            zorder=3 if ours else 2,
            label=family)
        for size, x, y in points:
            axes.annotate(
                size, (x, y), (-8, 4) if ours else (4, -9),
                textcoords='offset points',
                ha='right' if ours else 'left',
                fontsize=10 if ours else 7,
                weight='bold' if ours else 'normal',
                color='crimson' if ours else '0.3')
    axes.set_xscale('log')
    axes.set_xticks([50, 100, 200, 500, 1000, 2000, 5000])
    axes.xaxis.set_major_formatter('{x:g}')
    axes.minorticks_off()
    axes.set_xlabel('FLOPs (M multiply-adds), as published')
    axes.set_ylabel('ImageNet-1K Top-1 (%), as published')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncol=2, loc='lower right')
    figure.savefig(path)
