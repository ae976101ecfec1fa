"""A small EMO classifier: its config, its weights and an image."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from emo_mm.apis import build_model
from tests.helpers import ROOT, TINY

CONFIG = f"""
_base_ = {str(ROOT / 'configs/mmpretrain/emo_1m.py')!r}
model = dict(
    backbone=dict(window_size=2, arch=dict(
        _delete_=True, **{dict(TINY, depths=(1, 1, 3, 2))})),
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
