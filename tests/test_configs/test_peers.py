"""Backbones of others behind our heads, against the paper's rows."""

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch.nn.modules.batchnorm import _BatchNorm

from tests.helpers import CONFIGS

ROWS = {
    model['Name']: model
    for library in ('mmdet', 'mmseg')
    for model in yaml.safe_load((CONFIGS / library / 'peers' /
                                 'metafile.yml').read_text())['Models']
}
BY_DEFAULT = ('ssdlite_mobilevitv2_050', 'ssdlite_mobilenetv2',
              'retinanet_pvtv2_b0', 'pspnet_mobilenetv2',
              'deeplabv3_mobilevitv2_050')


def load(name):
    path, = CONFIGS.glob(f'*/peers/{name}.py')
    cfg = Config.fromfile(path)
    pytest.importorskip(cfg.default_scope)
    if cfg.model.backbone.type == 'TimmFeatures':
        pytest.importorskip('timm')
    return cfg


def params_of(names):
    return [
        pytest.param(
            name, marks=() if name in BY_DEFAULT else pytest.mark.all_configs)
        for name in names
    ]


@pytest.fixture(scope='module', params=params_of(ROWS))
def built(request):
    """Name, config and model of a peer, built once for all tests of it."""
    cfg = load(request.param)
    init_default_scope(cfg.default_scope)
    return request.param, cfg, MODELS.build(cfg.model)


@pytest.fixture
def peer(built):
    """``built``, in the scope of its library."""
    init_default_scope(built[1].default_scope)
    return built


def count(module):
    return sum(p.numel() for p in module.parameters())


# --- Heads of the rows that are printed with another -------------------------
def separable(in_channels, out_channels):
    """Parameters of a depth-wise and a 1x1 convolution, each with its norm."""
    return in_channels * (9 + 2) + (in_channels + 2) * out_channels


def cvnets_ssdlite(c4, c5):
    """Parameters of cvnets' SSDLite head for 81 classes on maps of c4 and c5
    channels (ml-cvnets, config/detection/ssd_coco/mobilevit_v2.yaml)."""
    widths = (512, 256, 256, 128, 128, 64)
    params = sum(map(separable, (c5, 256, 128), (256, 128, 128)))
    params += 128 * 64 + 64  # the last level is pooled
    params += sum((c_in + 2) * c_out * (c_in != c_out)
                  for c_in, c_out in zip((c4, c5), widths))
    for width, anchors in zip(widths, (6, 6, 6, 6, 6, 4)):
        params += 9 * width + (width + 1) * anchors * (4 + 81)
    return params


def cvnets_deeplabv3(channels, width=512):
    """Parameters of cvnets' DeepLabv3 head: a 1x1 branch, three dilated, a
    pooled one, fused by a 1x1 convolution (…/ade20k/deeplabv3_mobilevitv2)."""
    branches = channels * width * (1 + 3 * 9 + 1) + 5 * 2 * width
    return branches + 5 * width * width + 2 * width + (width + 1) * 150


def cvnets_pspnet(channels, width=512):
    """Parameters of cvnets' PSPNet head: four pooled branches of a quarter of
    the channels, fused by a 3x3 convolution (…/ade20k/pspnet_mobilevitv2)."""
    branches = channels * channels + 2 * channels
    return branches + 2 * channels * width * 9 + 2 * width + (width + 1) * 150


@pytest.mark.parametrize(
    'built',
    params_of(name for name, row in ROWS.items()
              if 'cvnets' in row['Metadata'].get('Note', '')),
    indirect=True)
def test_why_rows_of_cvnets_differ(peer):
    """The backbone with cvnets' head has the printed number."""
    name, cfg, model = peer
    params = count(model.backbone)
    if name.startswith('ssdlite'):
        c4, c5 = cfg.model.neck.in_channels
        if 'mobilevit_' in name:  # cvnets drops the last 1x1 convolution
            last = model.backbone.network.final_conv
            params -= count(last)
            c5 = last.conv.in_channels
        params += cvnets_ssdlite(c4, c5)
    else:
        head = (
            cvnets_deeplabv3
            if name.startswith('deeplabv3') else cvnets_pspnet)
        params += head(cfg.model.decode_head.in_channels)
    printed = ROWS[name]['Metadata']['Published Parameters']
    # In millions, with one digit, which may be cut off.
    assert 0.97 * printed < params < max(1.03 * printed, printed + 1e5)


# --- Recipe ------------------------------------------------------------------
@pytest.mark.parametrize('name',
                         [name for name in ROWS if not name.endswith('_d8')])
def test_head_and_recipe_are_those_of_emo(name):
    """But for channels and for what spares norms of weight decay."""
    path, = CONFIGS.glob(f'*/peers/{name}.py')
    peer = Config.fromfile(path, import_custom_modules=False).to_dict()
    task = name.partition('_')[0]
    emo = Config.fromfile(path.parents[1] / f'{task}_emo_1m.py').to_dict()
    for cfg in (peer, emo):
        for key in ('backbone', 'neck', 'bbox_head', 'decode_head',
                    'auxiliary_head'):
            for field in ('in_channels', 'out_channels', 'type'):
                cfg['model'].get(key, {}).pop(field, None)
        cfg['model'].pop('backbone')
        cfg['optim_wrapper'].pop('paramwise_cfg')
        cfg.pop('custom_imports')
    assert peer == emo


def test_no_norm_decays(peer):
    _, cfg, model = peer
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, (_BatchNorm, torch.nn.LayerNorm))
        for parameter in module.parameters()
    }
    names = {id(p): name for name, p in model.named_parameters()}
    for group in optimizer.param_groups:
        parameter, = group['params']
        spared = id(parameter) in norms or 'norm' in names[id(parameter)]
        assert group['weight_decay'] == (
            0 if spared else cfg.optim_wrapper.optimizer.weight_decay)


def test_statistics_of_norms(peer):
    """As with EMO: kept in detectors' backbones, synchronised in segmenters'.
    """
    name, _, model = peer
    model.train()
    norms = [m for m in model.backbone.modules() if isinstance(m, _BatchNorm)]
    for norm in norms:
        if name.startswith(('ssdlite', 'retinanet')):
            assert not norm.training
        else:
            assert norm.training and isinstance(norm, torch.nn.SyncBatchNorm)


def test_one_training_step(peer):
    name, cfg, model = peer
    torch.manual_seed(0)
    model = revert_sync_batchnorm(model).train()
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    size = 320 if name.startswith('ssdlite') else 64
    losses = model.train_step(samples(cfg.default_scope, size), optimizer)
    assert all(value.isfinite().all() for value in losses.values())
    moved = {
        key.partition('.')[0]
        for key, p in model.named_parameters() if (p != before[key]).any()
    }
    assert moved >= {'backbone', 'bbox_head'} or moved >= {
        'backbone', 'decode_head', 'auxiliary_head'
    }


def samples(scope, size):
    """A batch of two random images with a box each, or a mask each."""
    from mmengine.structures import InstanceData, PixelData
    images = list(torch.randint(256, (2, 3, size, size), dtype=torch.uint8))
    meta = dict(
        img_shape=(size, size),
        ori_shape=(size, size),
        pad_shape=(size, size),
        scale_factor=(1., 1.))
    if scope == 'mmdet':
        from mmdet.structures import DetDataSample
        truth = InstanceData(
            bboxes=torch.tensor([[8., 8., size - 8., size - 8.]]),
            labels=torch.tensor([3]))
        data = [
            DetDataSample(metainfo=meta, gt_instances=truth) for _ in images
        ]
        for sample in data:
            sample.ignored_instances = InstanceData(
                bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    else:
        from mmseg.structures import SegDataSample
        truth = PixelData(data=torch.randint(150, (1, size, size)))
        data = [SegDataSample(metainfo=meta, gt_sem_seg=truth) for _ in images]
    return dict(inputs=images, data_samples=data)
