"""Draw what the tools for looking inside compute."""
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle
from torch import Tensor

from .plots import new_figure


def draw_heat_maps(image: np.ndarray, heats: dict[str, np.ndarray],
                   path: Path) -> None:
    """Draw an image, and heat maps over it.

    Args:
        image (ndarray): RGB, uint8, (H, W, 3).
        heats (dict[str, ndarray]): Title to heat map (H, W) from 0 to 1.
        path (Path): Of the file to write.
    """
    figure = new_figure(3 * (1 + len(heats)), 3.3)
    panels = figure.subplots(1, 1 + len(heats))
    for axes in panels:
        axes.imshow(image)
        axes.axis('off')
    for axes, (title, heat) in zip(panels[1:], heats.items()):
        axes.imshow(heat, cmap='jet', alpha=0.5, vmin=0, vmax=1)
        axes.set_title(title, fontsize=9)
    figure.savefig(path, bbox_inches='tight')


def draw_similarities(matrices: list[tuple[str, Tensor]], path: Path) -> None:
    """Draw matrices of similarities side by side, on one scale.

    Args:
        matrices (list[tuple[str, Tensor]]): Title and matrix (n, n).
        path (Path): Of the file to write.
    """
    figure = new_figure(3.2 * len(matrices) + 0.8, 3.4)
    panels = figure.subplots(1, len(matrices), squeeze=False)[0]
    low = min(float(matrix.min()) for _, matrix in matrices)
    for axes, (title, matrix) in zip(panels, matrices):
        mapped = axes.imshow(matrix, cmap='viridis', vmin=low, vmax=1)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel('position on the diagonal')
        axes.set_xticks(range(0, len(matrix), 2))
        axes.set_yticks(range(0, len(matrix), 2))
    panels[0].set_ylabel('position on the diagonal')
    figure.colorbar(mapped, ax=panels, label='cosine similarity')
    figure.savefig(path, bbox_inches='tight')


def draw_attention(image: np.ndarray, weights: Tensor,
                   position: tuple[int, int], path: Path) -> None:
    """Draw an image, and attention of one position over it for each head.

    Args:
        image (ndarray): RGB, uint8, (H, W, 3).
        weights (Tensor): (heads, H', W'), NaN where nothing is attended.
        position (tuple[int, int]): Row and column on the H' x W' map, marked
            by a square.
        path (Path): Of the file to write.
    """
    num_panels = 1 + len(weights)
    columns = min(4, num_panels)
    rows = -(-num_panels // columns)
    figure = new_figure(3 * columns + 0.6, 3.2 * rows)
    panels = figure.subplots(rows, columns, squeeze=False)
    extent = (-0.5, weights.shape[2] - 0.5, weights.shape[1] - 0.5, -0.5)
    highest = float(weights.nan_to_num().max())
    row, column = position
    for axes in panels.flat:
        axes.axis('off')
    for head, axes in enumerate(panels.flat[:num_panels], -1):
        axes.imshow(image, extent=extent)
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5),
                      1,
                      1,
                      fill=False,
                      edgecolor='cyan',
                      linewidth=2,
                      zorder=3))
        if head < 0:
            axes.set_title(f'position {row}, {column}', fontsize=9)
            continue
        mapped = axes.imshow(
            weights[head], cmap='inferno', alpha=0.75, vmin=0, vmax=highest)
        axes.set_title(f'head {head}', fontsize=9)
    figure.colorbar(mapped, ax=panels, label='attention')
    figure.savefig(path, bbox_inches='tight')


def draw_shares(shares: dict[str, tuple[float, float]], title: str,
                path: Path) -> None:
    """Draw shares of operators in params and FLOPs, and the rest (Fig. 6).

    Args:
        shares (dict[str, tuple[float, float]]): Share of params and of
            FLOPs, from 0 to 1, by operator.
        title (str): Over the plot.
        path (Path): Of the file to write.
    """
    figure = new_figure(9, 2.2)
    axes = figure.add_subplot()
    left = np.zeros(2)
    rest = 1 - np.sum(list(shares.values()), axis=0)
    colors = ('tab:blue', 'tab:orange', '0.85')
    for (name, values), color in zip([*shares.items(), ('rest', rest)],
                                     colors):
        bars = axes.barh(['params', 'FLOPs'],
                         values,
                         left=left,
                         color=color,
                         label=name)
        labels = [f'{value:.1%}' for value in values]
        axes.bar_label(bars, labels, label_type='center', fontsize=7)
        left += values
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(lambda value, _: f'{value:.0%}')
    axes.legend(loc='upper left', bbox_to_anchor=(1, 1))
    axes.set_title(title, fontsize=10)
    figure.savefig(path, bbox_inches='tight')
