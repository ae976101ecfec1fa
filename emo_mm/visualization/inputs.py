"""A config's classifier with its weights, and a picture as it sees it."""
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from torch import Tensor, nn

from emo_mm.analysis.from_config import build_network
from emo_mm.checks.compatibility import check_complete
from emo_mm.models import EMO
from emo_mm.models.weights import read_checkpoint
from emo_mm.apis import find_config


def load_classifier(config: str, checkpoint: str) -> Tuple[nn.Module, Config]:
    """The model of a config, in eval mode, and the config.

    Args:
        config (str): Path or name.
        checkpoint (str): Path or URL of its weights.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If the config is no classifier's, or the weights do not
            fill the model.
    """
    cfg = Config.fromfile(find_config(config))
    if cfg.get('default_scope') != 'mmpretrain':
        raise ValueError(f'config={config!r} is not a classifier: its '
                         f'default_scope is {cfg.get("default_scope")!r}, not '
                         "'mmpretrain'.")
    # As mmengine's Runner does.
    cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    model = build_network(cfg).eval()
    weights = read_checkpoint(checkpoint)
    check_complete(model, weights, checkpoint)
    return model, cfg


def load_picture(model: nn.Module, cfg: Config,
                 path: Path) -> Tuple[Tensor, np.ndarray]:
    """A picture as the config's test pipeline prepares it.

    Returns:
        tuple[Tensor, ndarray]: The normalised input (1, 3, H, W), and the
        same crop to look at: RGB, uint8, (H, W, 3).

    Raises:
        FileNotFoundError: If there is no such picture.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'picture={str(path)!r}: there is no such '
                                'file.')
    pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
    packed = pipeline(dict(img_path=str(path)))
    batch = dict(
        inputs=[packed['inputs']], data_samples=[packed['data_samples']])
    inputs = model.data_preprocessor(batch, False)['inputs']
    bgr = packed['inputs'].permute(1, 2, 0).numpy()
    return inputs, np.ascontiguousarray(bgr[..., ::-1])


def emo_of(model: nn.Module) -> EMO:
    """The model's backbone.

    Raises:
        ValueError: If it is not an EMO.
    """
    if not isinstance(model.backbone, EMO):
        raise ValueError('model.backbone is a '
                         f'{type(model.backbone).__name__}, not an EMO.')
    return model.backbone


@contextmanager
def recorded(module: nn.Module) -> Iterator[List[Tuple[Tensor, Tensor]]]:
    """The (input, output) of each call of a module, detached."""
    calls = []
    handle = module.register_forward_hook(
        lambda _, inputs, output: calls.append(
            (inputs[0].detach(), output.detach())))
    try:
        yield calls
    finally:
        handle.remove()


@torch.inference_mode()
def map_of_stage(model: nn.Module, inputs: Tensor, stage: int) -> Tensor:
    """What a stage of EMO gives, (B, C, H, W).

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
