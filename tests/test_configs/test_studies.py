"""The paper's ablations and recipes: settings, a step of training."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from emo_mm.checks.config import effective_batch
from emo_mm.models.emo import get_arch
from tests.helpers import ROOT, TINY

pytest.importorskip('mmpretrain')
CONFIGS = ROOT / 'configs' / 'mmpretrain'
ABLATIONS, RECIPES = CONFIGS / 'ablations', CONFIGS / 'recipes'


def load(path):
    """Read a config, where what its model needs is installed."""
    if path.stem.startswith('pvt'):
        pytest.importorskip('mmdet')
    return Config.fromfile(path)


# --- Settings of the ablations ----------------------------------------------
def test_the_arch_written_out_is_emo_5m():
    base = Config.fromfile(ABLATIONS / '_base_' / 'emo_5m_arch.py')
    assert get_arch(dict(base.model.backbone.arch)) == get_arch('5m')


@pytest.mark.parametrize('name', [
    path.stem for path in sorted(ABLATIONS.glob('*.py'))
    if '_drop_path_' in path.stem or '_batch_' in path.stem
])
def test_studies_of_the_training_keep_the_network(name):
    assert load(ABLATIONS / f'{name}.py').model.backbone.arch == '5m'


@pytest.mark.parametrize('percent', [0, 10, 15, 20])
def test_drop_path(percent):
    cfg = load(ABLATIONS / f'emo_5m_drop_path_{percent}.py')
    rate = MODELS.build(cfg.model.backbone).stages[4][-1].drop_path.drop_prob
    assert rate == pytest.approx(percent / 100)


@pytest.mark.parametrize('batch', [256, 512, 1024, 4096])
def test_batch_size(batch):
    cfg = load(ABLATIONS / f'emo_5m_batch_{batch}.py')
    line, warning = effective_batch(cfg, world_size=8)
    assert f'= {batch}.' in line and not warning
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(6e-3 * batch / 2048)


# --- Recipes ----------------------------------------------------------------
@pytest.mark.parametrize(
    'name, batch, optimizer, lr, decay, warmup, drop_path, mixup, cutmix, '
    'erasing, multi_scale',
    [('recipes/emo_5m_mnetv3', 512, 'RMSprop', 6e-2, 1e-5, 3, 0.2, None, None,
      0.2, False),
     ('recipes/emo_5m_deit', 1024, 'AdamW', 1e-3, 5e-2, 5, 0.1, 0.8, 1.0, 0.25,
      False),
     ('recipes/emo_5m_edgenext', 4096, 'AdamW', 6e-3, 5e-2, 20, 0.1, None,
      None, None, True),
     ('emo_5m', 2048, 'AdamW', 6e-3, 5e-2, 20, None, None, None, None, False)])
def test_recipe(name, batch, optimizer, lr, decay, warmup, drop_path, mixup,
                cutmix, erasing, multi_scale):
    """Tab. 6. (For EMO's drop path it prints 0.1; the weights have 0.05.)"""
    cfg = load(CONFIGS / f'{name}.py')
    assert cfg.train_cfg.max_epochs == 300
    line, warning = effective_batch(cfg, world_size=8)
    assert f'= {batch}.' in line and not warning
    settings = cfg.optim_wrapper.optimizer
    assert settings.type == optimizer
    assert (settings.lr, settings.weight_decay) == (lr, decay)
    assert cfg.param_scheduler.warmup_ratio * 300 == pytest.approx(warmup)
    assert cfg.model.head.loss.label_smooth_val == 0.1
    assert cfg.model.backbone.get('drop_path_rate') == drop_path
    augments = cfg.data_preprocessor.get('batch_augments', {})
    alphas = {a.type: a.alpha for a in augments.get('augments', [])}
    assert (alphas.get('Mixup'), alphas.get('CutMix')) == (mixup, cutmix)
    loader = cfg.train_dataloader
    pipeline = loader.dataset.get('dataset', loader.dataset).pipeline
    steps = {step.type: step for step in pipeline}
    assert steps['RandAugment'].magnitude_level == 9
    assert steps['RandAugment'].magnitude_std == 0.5
    assert steps.get('RandomErasing', {}).get('erase_prob') == erasing
    assert list(steps)[-1] == 'PackInputs'
    assert (loader.dataset.type == 'MultiScaleDataset') == multi_scale
    assert ('batch_sampler' in loader) == multi_scale


@pytest.mark.parametrize('recipe', ['mnetv3', 'deit', 'edgenext'])
def test_recipes_take_any_size(recipe, tmp_path):
    config = tmp_path / 'emo_1m.py'
    config.write_text(
        f"_base_ = '{CONFIGS}/_base_/recipes/{recipe}.py'\n"
        "model = dict(backbone=dict(arch='1m'), neck=dict(in_channels=168), "
        'head=dict(in_channels=168))\n')
    assert torch.isfinite(train_step(Config.fromfile(config)))


# --- A step of training -----------------------------------------------------
def train_step(cfg):
    """Return the loss of a step on two random images, and see weights move."""
    from mmpretrain.structures import DataSample
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build({
        **cfg.model, 'data_preprocessor':
        dict(type='ClsDataPreprocessor', **cfg.data_preprocessor)
    }).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    data = dict(
        inputs=list(torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)),
        data_samples=[DataSample().set_gt_label(i) for i in range(2)])
    weight = model.head.fc.weight.detach().clone()
    losses = model.train_step(data, wrapper)
    assert not torch.equal(model.head.fc.weight, weight)
    return losses['loss']


# Each block and network of the studies, as small as can be, and the width of
# its output.
TINY_EMO = dict(arch=TINY), 16
TINY_DEIT = dict(
    arch=dict(
        embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=96)), 24
TINY_PVT = dict(embed_dims=8, num_layers=[1, 1, 1, 1]), 64


@pytest.mark.parametrize('name, tiny', [
    ('emo_5m_attn_1234', TINY_EMO),
    ('emo_5m_ln_1234', TINY_EMO),
    ('emo_5m_no_attn', TINY_EMO),
    ('emo_5m_no_attn_no_dw', TINY_EMO),
    ('emo_5m_no_dw', TINY_EMO),
    ('emo_5m_attn_after_expansion', TINY_EMO),
    ('emo_5m_dw_before_attn', TINY_EMO),
    ('emo_5m_parallel', TINY_EMO),
    ('emo_5m_metaformer', TINY_EMO),
    ('deit_tiny', TINY_DEIT),
    ('deit_tiny_irmb', TINY_DEIT),
    ('pvt_tiny', TINY_PVT),
    ('pvt_tiny_irmb', TINY_PVT),
])
def test_trains_a_step(name, tiny):
    cfg = load(ABLATIONS / f'{name}.py')
    backbone, width = tiny
    if isinstance(cfg.model.backbone.get('arch'), str):
        cfg.model.backbone.arch = dict()
    head = dict(in_channels=width)
    cfg.merge_from_dict(dict(model=dict(backbone=backbone, head=head)))
    if cfg.model.neck:
        cfg.model.neck.in_channels = width
    assert torch.isfinite(train_step(cfg))


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """A data set of 32 images, each of a class of its own."""
    from emo_mm.datasets.shapes import generate_imagenet
    folder = tmp_path_factory.mktemp('images')
    generate_imagenet(folder, dict(train=1), size=32, num_classes=32)
    return folder


def make_runner(images, work_dir, **settings):
    from emo_mm.engine import CheckedRunner
    cfg = Config.fromfile(RECIPES / 'emo_5m_edgenext.py')
    cfg.merge_from_dict({
        'model.backbone.arch': '1m',
        'model.neck.in_channels': 168,
        'model.head.in_channels': 168,
        'train_dataloader.batch_size': 4,
        'train_dataloader.num_workers': 1,
        'train_dataloader.batch_sampler.base_size': 48,
        'train_dataloader.batch_sampler.sizes': (32, 48, 64),
        'train_cfg.max_epochs': 2,
        'val_dataloader': None,
        'val_cfg': None,
        'val_evaluator': None,
        'default_hooks.checkpoint.save_best': None,
        'default_hooks.checkpoint.max_keep_ckpts': 2,
        'randomness': dict(seed=5),
        'work_dir': str(work_dir),
        **settings
    })
    cfg.train_dataloader.dataset.dataset = dict(
        type='CustomDataset',
        data_root=str(images),
        data_prefix='train',
        pipeline=cfg.train_dataloader.dataset.dataset.pipeline)

    class Recorder(CheckedRunner):
        shapes = []  # of each batch: its size and its images'

        def call_hook(self, name, **kwargs):
            if name == 'before_train_iter':
                inputs = kwargs['data_batch']['inputs']
                shape, = {tuple(image.shape) for image in inputs}
                self.shapes.append((len(inputs), shape))
            super().call_hook(name, **kwargs)

    return Recorder.from_cfg(cfg)


@pytest.mark.parametrize('settings, missing', [
    ({}, set()),
    ({
        'default_hooks.val_images': None
    }, {'ValImagesHook'}),
])
def test_hooks_that_show_the_training(images, tmp_path, settings, missing):
    """The runner brings them; a config may leave one out."""
    runner = make_runner(images, tmp_path, **settings)
    hooks = {type(hook).__name__ for hook in runner.hooks}
    ours = {'CurvesHook', 'ValImagesHook'}
    assert hooks & ours == ours - missing


def test_multi_scale_recipe_trains_and_resumes(images, tmp_path):
    runner = make_runner(images, tmp_path)
    runner.train()
    # 9 + 4 + 2 images a round, two rounds, and two images over.
    small, base, large = ((n, (3, size, size))
                          for n, size in ((9, 32), (4, 48), (2, 64)))
    epochs = runner.shapes[:7], runner.shapes[7:]
    for shapes in epochs:
        assert sorted(shapes) == sorted([small, base, large] * 2 +
                                        [(2, base[1])])
    assert epochs[0] != epochs[1]
    resumed = make_runner(
        images, tmp_path, resume=True, load_from=str(tmp_path / 'epoch_1.pth'))
    resumed.train()
    assert resumed.shapes == epochs[1]
