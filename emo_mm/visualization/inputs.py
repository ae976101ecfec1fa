"""Images as a classifier sees them, and the maps that it makes of them."""
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from emo_mm.apis import find_config, find_test_dataset, init_model
from emo_mm.models import EMO

from .predictions import make_pipeline


def init_classifier(config: str, checkpoint: str) -> nn.Module:
    """Build a classifier whose forward pass takes images alone.

    Args:
        config (str): Path or name.
        checkpoint (str): Path or URL of its weights.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If the config is no classifier's, or the weights do not
            fill the model.
    """
    cfg = Config.fromfile(find_config(str(config)))
    scope = cfg.get('default_scope')
    if scope != 'mmpretrain':
        raise ValueError(f'config={config!r} is not a classifier: its '
                         f"default_scope is {scope!r}, not 'mmpretrain'.")
    model = init_model(cfg, checkpoint)
    model.forward = partial(model.forward, mode='tensor')
    return model


def load_image(model: nn.Module, path: Path) -> tuple[Tensor, np.ndarray]:
    """Load an image as the config's test pipeline prepares it.

    Args:
        model (nn.Module): Of :func:`init_classifier`.
        path (Path): Of the image.

    Returns:
        tuple[Tensor, ndarray]: The normalised input (1, 3, H, W), and the
        same crop to look at: RGB, uint8, (H, W, 3).

    Raises:
        FileNotFoundError: If there is no such image.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'image={str(path)!r}: there is no such file.')
    pipeline = make_pipeline(find_test_dataset(model.cfg)['pipeline'])
    packed = pipeline(str(path))
    batch = dict(
        inputs=[packed['inputs']], data_samples=[packed['data_samples']])
    inputs = model.data_preprocessor(batch, False)['inputs']
    bgr = packed['inputs'].permute(1, 2, 0).numpy()
    return inputs, np.ascontiguousarray(bgr[..., ::-1])


def emo_of(model: nn.Module) -> EMO:
    """Return the model's backbone.

    Raises:
        ValueError: If it is not an EMO.
    """
    if not isinstance(model.backbone, EMO):
        raise ValueError('model.backbone is a '
                         f'{type(model.backbone).__name__}, not an EMO.')
    return model.backbone


@contextmanager
def recorded(module: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Record the (input, output) of each call of a module, detached."""
    calls: list[tuple[Tensor, Tensor]] = []
    handle = module.register_forward_hook(
        lambda _, inputs, output: calls.append(
            (inputs[0].detach(), output.detach())))
    try:
        yield calls
    finally:
        handle.remove()


@torch.inference_mode()
def map_of_stage(model: nn.Module, inputs: Tensor, stage: int) -> Tensor:
    """Return the output of a stage of EMO, (B, C, H, W).

    Raises:
        ValueError: If EMO has no such stage.
    """
    stages = emo_of(model).stages
    if stage not in range(len(stages)):
        raise ValueError(f'stage={stage} must lie between 0 and '
                         f'{len(stages) - 1}.')
    with recorded(stages[stage]) as calls:
        model(inputs)
    return calls[0][1]
