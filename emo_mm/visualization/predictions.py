"""Draw boxes, masks or labels on images, whichever a model predicts."""
from collections.abc import Callable, Sequence
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.fileio import get
from mmengine.registry import VISUALIZERS, init_default_scope
from mmengine.visualization import Visualizer
from torch import nn

from emo_mm.apis import find_test_dataset, names_and_colors

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
# Shorter side in pixels below which a label would cover the image.
_SMALLEST_LABELLED = 320


def draw_sample(visualizer: Visualizer,
                image: np.ndarray,
                sample,
                name: str,
                step: int = 0,
                **kwargs) -> np.ndarray:
    """Draw a data sample with its library's own visualizer.

    Args:
        visualizer (Visualizer): Of mmdet, mmseg or mmpretrain. Its
            ``dataset_meta`` is completed, see :func:`complete_meta`.
        image (np.ndarray): (H, W, 3), RGB.
        sample: What the model predicted.
        name (str): Under which the visualizer's backends keep it.
        step (int): Step under which they keep it. Defaults to 0.
        kwargs: Handed to the visualizer.

    Returns:
        np.ndarray: The drawn image, (H', W', 3), RGB.
    """
    visualizer.dataset_meta = complete_meta(visualizer.dataset_meta or {},
                                            _largest_label(sample) + 1)
    draw = visualizer.add_datasample
    if hasattr(visualizer, 'visualize_cls'):
        draw = visualizer.visualize_cls
        if min(image.shape[:2]) < _SMALLEST_LABELLED:
            kwargs['resize'] = _SMALLEST_LABELLED
    drawn = draw(
        name=name, image=image, data_sample=sample, step=step, **kwargs)
    return visualizer.get_image() if drawn is None else drawn


def complete_meta(meta: dict, count: int) -> dict:
    """Give every class a name and a colour.

    The libraries' visualizers fail, or leave classes out, where names or
    colours are missing; mmseg's takes those of Cityscapes where it has none.

    Args:
        meta (dict): A data set's metainfo, with or without ``classes`` and
            ``palette``.
        count (int): How many classes there are at least.

    Returns:
        dict: ``meta``, whose classes without a name have their number, and
        those without a colour one as the libraries draw it at random.
    """
    known = names_and_colors(meta)
    names = list(known['classes'] or ())
    names += [str(i) for i in range(len(names), count)]
    colors = list(known['palette'] or ())[:len(names)]
    # mmdet and mmseg have this seed, too.
    drawn = np.random.RandomState(42).randint(0, 255, (len(names), 3))
    colors += [tuple(color) for color in drawn[len(colors):].tolist()]
    return dict(meta, classes=tuple(names), palette=colors)


def _largest_label(sample) -> int:
    """Return the largest label that a data sample predicts, -1 for none."""
    if 'pred_sem_seg' in sample:
        labels = sample.pred_sem_seg.data
    elif 'pred_instances' in sample:
        labels = sample.pred_instances.labels
    else:
        labels = sample.get('pred_label', ())
    labels = torch.as_tensor(labels)
    return int(labels.max()) if labels.numel() else -1


def read_rgb(path: str | Path) -> np.ndarray:
    """Read an image as (H, W, 3) in RGB.

    Raises:
        ValueError: If it cannot be decoded.
    """
    content = get(str(path))
    image = mmcv.imfrombytes(content) if content else None
    if image is None:
        raise ValueError(f'{path} is not an image that can be decoded.')
    return np.ascontiguousarray(image[..., ::-1])


def find_images(path: Path) -> list[Path]:
    """Find the images in a folder and those below it, or the one at ``path``.

    Raises:
        FileNotFoundError: If there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f'images={str(path)!r}: there is no such '
                                'file or folder.')
    found = [
        file for file in sorted(path.rglob('*'))
        if file.suffix.lower() in SUFFIXES
    ]
    if not found:
        raise FileNotFoundError(f'images={str(path)!r} holds no file with '
                                f'one of {", ".join(SUFFIXES)}.')
    return found


def make_drawer(model: nn.Module,
                score_thr: float = 0.3) -> Callable[[Path], np.ndarray]:
    """Return a function that draws what a model predicts for an image.

    Args:
        model (nn.Module): Of :func:`emo_mm.apis.init_model`.
        score_thr (float): Boxes below it are not drawn. Defaults to 0.3.

    Returns:
        Callable: Of the path of an image, returning the drawn image in RGB.
        It raises ValueError where the image cannot be decoded.
    """
    cfg = model.cfg
    init_default_scope(cfg.default_scope)
    pipeline = make_pipeline(find_test_dataset(cfg)['pipeline'])
    visualizer = VISUALIZERS.build(
        dict(cfg.visualizer, name='drawer', vis_backends=None))
    visualizer.dataset_meta = model.dataset_meta
    kwargs: dict = dict(draw_gt=False)
    if cfg.default_scope == 'mmdet':
        kwargs['pred_score_thr'] = score_thr

    @torch.no_grad()
    def draw(path: Path) -> np.ndarray:
        image = read_rgb(path)
        data = pseudo_collate([pipeline(str(path))])
        sample, = model.test_step(data)
        return draw_sample(visualizer, image, sample.cpu(), path.stem,
                           **kwargs)

    return draw


def make_pipeline(steps: Sequence[dict]) -> Callable[[str], dict]:
    """Return a test pipeline that takes the path of an image alone.

    Args:
        steps (Sequence[dict]): Its config; annotations are not loaded.
    """
    compose = Compose(
        [step for step in steps if 'LoadAnnotations' not in str(step['type'])])
    return lambda path: compose(dict(img_path=path, img_id=0))
