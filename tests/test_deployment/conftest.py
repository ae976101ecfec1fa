"""Models with weights that spread scores, images, and exported files."""
import copy
import re
from functools import cache, partial

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from emo_mm.apis import init_model
from emo_mm.deployment import export
from tests.helpers import ROOT

# At the classifier's, stage 3 needs no padding; it does at the others.
SIZES = dict(
    detector=(160, 160),
    retinanet=(96, 128),
    deeplab=(96, 96),
    pspnet=(96, 128),
    classifier=(112, 112))
CONFIGS = dict(
    detector='mmdet/ssdlite_emo_1m_shapes.py',
    retinanet='mmdet/retinanet_emo_1m.py',
    deeplab='mmseg/deeplabv3_emo_1m.py',
    pspnet='mmseg/pspnet_emo_1m.py',
    classifier='mmpretrain/emo_1m.py')
LAST_LAYERS = re.compile(
    r'(conv_seg|head\.fc|retina_(cls|reg)|(cls|reg)_convs\.\d\.1)$')
CLASSES = tuple(f'class {i}' for i in range(7))


def read_config(kind):
    """A config of ours with seven classes and no published weights."""
    cfg = Config.fromfile(ROOT / 'configs' / CONFIGS[kind])
    cfg.model.backbone.init_cfg = None
    head = dict(detector='bbox_head', retinanet='bbox_head', classifier='head')
    cfg.model[head.get(kind, 'decode_head')].num_classes = len(CLASSES)
    if 'auxiliary_head' in cfg.model:
        cfg.model.auxiliary_head.num_classes = len(CLASSES)
    return cfg


def make_image(seed, height=240, width=320):
    """RGB noise of all scales, so that outputs differ over the image."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for cells in (3, 6, 12, 24, 48):
        noise = rng.normal(size=(cells, cells, 3))
        image += cv2.resize(noise, (width, height))
    return (128 + 50 * image).clip(0, 255).astype(np.uint8)


def _spread(wide, layer, inputs, output):
    """Let a last layer's outputs have mean 0 and a deviation, once."""
    if not hasattr(layer, 'spread'):
        layer.spread = True
        flat = output.transpose(0, 1).flatten(1)
        mean, std = flat.mean(1), flat.std(1) / wide
        layer.weight.div_(std.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias.copy_((layer.bias - mean) / std)


def make_model(cfg):
    """A model whose scores spread over the classes, from a fixed seed.

    Its norms have statistics of real activations, its last layers wide
    weights. Trained weights would do as well and take longer.
    """
    from mmengine.model import revert_sync_batchnorm
    torch.manual_seed(0)
    init_default_scope(cfg.default_scope)
    model = revert_sync_batchnorm(MODELS.build(copy.deepcopy(cfg.model)))
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    images = np.stack([make_image(seed, 160, 160) for seed in range(4)])
    images = torch.from_numpy(images).permute(0, 3, 1, 2)
    images = (images - 120.) / 58.
    model.eval()
    for norm in norms:
        norm.momentum = None  # the mean of all batches seen
        norm.train()
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, std=0.3)
    for name, layer in model.named_modules():
        if LAST_LAYERS.search(name):
            wide = 0.5 if 'reg' in name else 2.
            layer.register_forward_hook(partial(_spread, wide))
    with torch.no_grad():
        model(images, mode='tensor')
    for layer in model.modules():
        layer._forward_hooks.clear()
    if hasattr(model, 'bbox_head') and hasattr(model.bbox_head, 'retina_cls'):
        torch.nn.init.constant_(model.bbox_head.retina_cls.bias, -4.)
    return model.eval()


def save_checkpoint(model, path, classes=CLASSES):
    torch.save(
        dict(
            state_dict=model.state_dict(),
            meta=dict(dataset_meta=dict(classes=classes))), path)


@pytest.fixture(scope='session')
def checkpoints(tmp_path_factory):
    """Path of a checkpoint for each kind, made when asked for."""
    folder = tmp_path_factory.mktemp('checkpoints')

    def get(kind):
        path = folder / f'{kind}.pth'
        if not path.exists():
            save_checkpoint(make_model(read_config(kind)), path)
        return str(path)

    return get


@pytest.fixture(scope='session')
def images(tmp_path_factory):
    """Paths of two images."""
    folder = tmp_path_factory.mktemp('images')
    for seed in range(2):
        cv2.imwrite(str(folder / f'{seed}.png'), make_image(seed))
    return [str(path) for path in sorted(folder.iterdir())]


def run_export(kind, checkpoint, out, images, format='onnx', **options):
    """Export a model of ``kind`` and return what its verification said."""
    lines = []
    export.export(
        read_config(kind),
        checkpoint,
        format,
        out,
        options.pop('size', SIZES[kind]),
        images=images,
        log=lines.append,
        **options)
    return '\n'.join(lines)


@pytest.fixture(scope='session')
def exported(checkpoints, images, tmp_path_factory):
    """Dynamic ONNX models and what their verification said, by kind."""
    folder = tmp_path_factory.mktemp('exported')

    @cache
    def get(kind):
        path = folder / f'{kind}.onnx'
        log = run_export(
            kind, checkpoints(kind), path, images[:1], dynamic=True)
        return path, log

    return get


@pytest.fixture(scope='session')
def models(checkpoints):
    """The libraries' models in PyTorch, by kind. Tests do not change them."""

    @cache
    def get(kind):
        return init_model(read_config(kind), checkpoints(kind))

    return get
