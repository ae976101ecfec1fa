"""Draw boxes, masks or labels on pictures, whichever a model predicts."""
from pathlib import Path
from typing import Callable, List, Optional

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.fileio import get
from mmengine.registry import VISUALIZERS, init_default_scope
from mmengine.visualization import Visualizer

from emo_mm.models.weights import read_checkpoint

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
# Shorter side in pixels below which a label would cover the picture.
_SMALLEST_LABELLED = 320


def draw_sample(visualizer: Visualizer,
                image: np.ndarray,
                sample,
                name: str,
                step: int = 0,
                **kwargs) -> np.ndarray:
    """Draw a data sample with its library's own visualizer.

    Args:
        visualizer (Visualizer): Of mmdet, mmseg or mmpretrain.
        image (np.ndarray): (H, W, 3), RGB.
        sample: What the model predicted.
        name (str): Under which the visualizer's backends keep it.
        step (int): Likewise. Defaults to 0.
        kwargs: Handed to the visualizer.

    Returns:
        np.ndarray: The drawn picture, (H', W', 3), RGB.
    """
    draw = visualizer.add_datasample
    if hasattr(visualizer, 'visualize_cls'):
        draw = visualizer.visualize_cls
        if min(image.shape[:2]) < _SMALLEST_LABELLED:
            kwargs['resize'] = _SMALLEST_LABELLED
    drawn = draw(
        name=name, image=image, data_sample=sample, step=step, **kwargs)
    return visualizer.get_image() if drawn is None else drawn


def read_rgb(path: str) -> np.ndarray:
    """A picture as (H, W, 3) in RGB.

    Raises:
        ValueError: If it cannot be decoded.
    """
    content = get(str(path))
    image = mmcv.imfrombytes(content) if content else None
    if image is None:
        raise ValueError(f'{path} is not a picture that can be decoded.')
    return np.ascontiguousarray(image[..., ::-1])


def find_pictures(path: Path) -> List[Path]:
    """The pictures in a folder and those below it, or the one at ``path``.

    Raises:
        FileNotFoundError: If there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f'pictures={str(path)!r}: there is no such '
                                'file or folder.')
    found = [
        file for file in sorted(path.rglob('*'))
        if file.suffix.lower() in SUFFIXES
    ]
    if not found:
        raise FileNotFoundError(f'pictures={str(path)!r} holds no file with '
                                f'one of {", ".join(SUFFIXES)}.')
    return found


def make_drawer(
        cfg: Config,
        checkpoint: str,
        device: Optional[str] = None,
        score_thr: float = 0.3) -> Callable[[np.ndarray, str], np.ndarray]:
    """A function that draws what a model sees in a picture.

    The model is run by the library's own inferencer.

    Args:
        cfg (Config): Of mmdet, mmseg or mmpretrain.
        checkpoint (str): Path or URL of the model's weights.
        device (str, optional): Defaults to None, a GPU if there is one.
        score_thr (float): Boxes below it are not drawn. Defaults to 0.3.

    Returns:
        Callable: Of a picture (H, W, 3) in RGB and its name, returning the
        drawn picture in RGB.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the checkpoint does not fill the model, or the config
            is of another library.
    """
    from emo_mm.checks.compatibility import check_complete  # which imports this module
    make_inferencer = _inferencer_class(cfg)
    # Weights to start a training from are not wanted.
    cfg.model.backbone.init_cfg = None
    init_default_scope(cfg.default_scope)
    weights = read_checkpoint(checkpoint)
    inferencer = make_inferencer(cfg, checkpoint, device=device)
    check_complete(inferencer.model, weights, checkpoint)
    inferencer.show_progress = False
    visualizer = inferencer.visualizer
    kwargs = dict(draw_gt=False)
    if cfg.default_scope == 'mmdet':
        kwargs['pred_score_thr'] = score_thr
    if visualizer is None:  # mmpretrain's builds one when it is called
        visualizer = VISUALIZERS.build(dict(cfg.visualizer, name='drawer'))
        kwargs['classes'] = inferencer.classes

    def draw(image: np.ndarray, name: str) -> np.ndarray:
        # Inferencers take pictures as OpenCV reads them, in BGR.
        result = inferencer(image[..., ::-1], return_datasamples=True)
        if isinstance(result, dict):
            result = result['predictions']
        sample = result[0] if isinstance(result, list) else result
        return draw_sample(visualizer, image, sample.cpu(), name, **kwargs)

    return draw


def _inferencer_class(cfg: Config) -> type:
    """The inferencer of a config's library."""
    scope = cfg.get('default_scope')
    if scope == 'mmdet':
        from mmdet.apis import DetInferencer
        return DetInferencer
    if scope == 'mmseg':
        from mmseg.apis import MMSegInferencer
        return MMSegInferencer
    if scope == 'mmpretrain':
        from mmpretrain import ImageClassificationInferencer
        return ImageClassificationInferencer
    raise ValueError(f'default_scope={scope!r} of the config must be mmdet, '
                     'mmseg or mmpretrain.')
