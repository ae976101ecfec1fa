"""A checkpoint that emo_mm 0.1.0 wrote, after an epoch of a small classifier.

It holds the classifier, AdamW, schedules and averaged weights, and beside
them ``logits_of_recipe_input``, what 0.1.0 computed with it.
"""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import load_checkpoint

from emo_mm.apis import build_model, find_config
from emo_mm.datasets.shapes import generate_imagenet
from emo_mm.inference import switch_to_deploy
from emo_mm.models import EMO
from tests.golden import recipe
from tests.helpers import GOLDEN

CHECKPOINT = GOLDEN / 'emo_mm_0.1.0_epoch_1.pth'
ARCH = dict(
    depths=(1, 1, 2, 1),
    widths=(8, 8, 8, 8),
    exp_ratios=(2, 2, 2, 2),
    head_dims=(4, 4, 4, 4))
CLASSES = [f'n{i:08d}' for i in range(4)]


@pytest.fixture
def cfg():
    """The config of that run."""
    pytest.importorskip('mmpretrain')
    cfg = Config.fromfile(find_config('emo_1m'))
    cfg.merge_from_dict({
        'model.backbone.arch': dict(ARCH, _delete_=True),
        'model.backbone.window_size': 3,
        'model.neck.in_channels': 8,
        'model.head.in_channels': 8,
        'model.head.num_classes': 4,
        'model.head.topk': (1, ),
        'train_cfg.max_epochs': 1,
    })
    return cfg


@pytest.fixture
def written():
    return torch.load(CHECKPOINT, weights_only=True)


def logits(model):
    x = torch.as_tensor(recipe.make_input((1, 3, 64, 96))).float()
    with torch.no_grad():
        return model.head(model.neck(model.backbone(x)))


@pytest.mark.parametrize('fast', [False, True])
def test_it_computes_what_it_did(cfg, written, fast):
    model = build_model(cfg).eval()
    load_checkpoint(model, str(CHECKPOINT), strict=True)
    if fast:
        switch_to_deploy(model)
    torch.testing.assert_close(
        logits(model), written['logits_of_recipe_input'], rtol=1e-4, atol=1e-5)


def test_torch_loads_its_state_dict(cfg, written):
    build_model(cfg).load_state_dict(written['state_dict'], strict=True)


def test_a_backbone_starts_from_it(written):
    init_cfg = dict(type='Pretrained', checkpoint=str(CHECKPOINT))
    model = EMO(ARCH, window_size=3, init_cfg=init_cfg)
    model.init_weights()
    project = written['state_dict']['backbone.stages.4.0.mlp_s.weight']
    assert torch.equal(model.stages[4][0].project.weight, project)


def test_a_training_resumes_from_it(cfg, written, tmp_path):
    data = tmp_path / 'data'
    generate_imagenet(data, dict(train=2, val=1), size=32, num_classes=4)
    for loop in ('train', 'val', 'test'):
        loader = cfg[f'{loop}_dataloader']
        loader.dataset.update(
            data_root=str(data), metainfo=dict(classes=CLASSES))
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
        if loop != 'train':
            cfg[f'{loop}_evaluator'] = dict(type='Accuracy', topk=(1, ))
    cfg.work_dir = str(tmp_path / 'work')
    cfg.load_from, cfg.resume = str(CHECKPOINT), True
    runner = RUNNERS.build(cfg)
    runner.train()
    assert runner.epoch == 1 and runner.iter == 2
    # The averaged weights are swapped in; the trained ones are kept beside.
    averaged = written['state_dict']['backbone.stages.4.0.mlp_s.weight']
    trained = written['ema_state_dict'][
        'module.backbone.stages.4.0.mlp_s.weight']
    project = runner.model.backbone.stages[4][0].project.weight
    assert any(torch.equal(project, weight) for weight in (averaged, trained))
    moments = written['optimizer']['state']
    resumed = runner.optim_wrapper.optimizer.state_dict()['state']
    assert resumed.keys() == moments.keys()
    for i, moment in moments.items():
        assert torch.equal(resumed[i]['exp_avg'], moment['exp_avg'])


def test_names_of_0_1_are_found():
    from emo_mm.models.deploy import compile_deployed, switch_to_deploy  # noqa: F401

    from emo_mm.models import EMO  # noqa: F401
    assert hasattr(EMO, 'switch_to_deploy')
