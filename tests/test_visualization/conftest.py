"""A small EMO classifier: its config, its weights and an image."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from emo_mm.apis import build_model

ROOT = Path(__file__).parents[2]
CONFIG = f"""
_base_ = {str(ROOT / 'configs/mmpretrain/emo_1m.py')!r}
model = dict(
    backbone=dict(window_size=2, arch=dict(
        _delete_=True,
        depths=(1, 1, 3, 2), widths=(8, 8, 16, 16),
        exp_ratios=(1, 1, 2, 2), head_dims=(8, 8, 8, 8))),
    neck=dict(in_channels=16), head=dict(in_channels=16, num_classes=4))
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'), dict(type='Resize', scale=(64, 64)),
    dict(type='PackInputs')]))
"""


@pytest.fixture(scope='session')
def folder(tmp_path_factory):
    """A folder with ``tiny.py``, ``tiny.pth`` and ``red.png``."""
    pytest.importorskip('mmpretrain')
    folder = tmp_path_factory.mktemp('tiny')
    (folder / 'tiny.py').write_text(CONFIG)
    torch.manual_seed(0)
    model = build_model(Config.fromfile(folder / 'tiny.py'))
    torch.save(model.state_dict(), folder / 'tiny.pth')
    image = np.zeros((80, 100, 3), np.uint8)
    image[..., 0] = 255
    image[40:, 50:] = 100
    Image.fromarray(image).save(folder / 'red.png')
    return folder
