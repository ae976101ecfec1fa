"""The network against numbers of the published implementation."""
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from emo_mm.inference import make_reference, switch_to_deploy
from emo_mm.models import EMO, NormGlobalAveragePooling
from emo_mm.models.weights import rename_published, to_classifier
from tests.golden import recipe

GOLDEN = Path(recipe.__file__).parent
CASES = sorted(path.stem for path in GOLDEN.glob('*.npz'))
TOLERANCE = 1e-4  # of the largest value


class Classifier(nn.Module):
    """EMO as mmpretrain's ImageClassifier assembles it, names included."""

    def __init__(self, arch, **kwargs):
        super().__init__()
        self.backbone = EMO(arch, out_indices=range(5), **kwargs)
        width = self.backbone.feature_widths[-1]
        self.neck = NormGlobalAveragePooling(width)
        self.head = nn.Module()
        self.head.fc = nn.Linear(width, 1000)

    def forward(self, x):
        features = self.backbone(x)
        return features, self.head.fc(self.neck(features)[0])


def published_state_dict(arch):
    path = GOLDEN / f'official_state_dict_{arch}.json'
    state_dict = {
        key: torch.as_tensor(recipe.fill(key, tuple(shape)))
        for key, shape in json.loads(path.read_text()).items()
    }
    return {
        key: value.float() if value.is_floating_point() else value
        for key, value in state_dict.items()
    }


def build(arch, **kwargs):
    model = Classifier(arch, **kwargs)
    model.load_state_dict(to_classifier(published_state_dict(arch)))
    return model.eval()


def make_input(case):
    shape = re.search(r'(\d+)x(\d+)x(\d+)$', case).groups()
    batch, height, width = map(int, shape)
    return torch.as_tensor(recipe.make_input(
        (batch, 3, height, width))).float()


def parse(case):
    arch, window = re.match(r'emo_(\w+?)_win(\d+)', case).groups()
    return arch, int(window)


def assert_close(actual, expected, largest=None):
    expected = np.asarray(expected)
    largest = np.abs(expected).max() if largest is None else largest
    assert np.abs(actual - expected).max() <= TOLERANCE * largest


def assert_matches(case, features, logits):
    golden = np.load(GOLDEN / f'{case}.npz')
    for stage, feature in enumerate(features):
        feature = feature.detach().numpy()
        mean, std, largest = golden[f'stage{stage}.stats']
        assert feature.shape == tuple(golden[f'stage{stage}.shape'])
        assert_close([feature.mean(), feature.std()], [mean, std], largest)
        assert_close(
            recipe.sample(feature), golden[f'stage{stage}.sample'], largest)
    assert_close(logits.detach().numpy(), golden['logits'])


@pytest.mark.parametrize('case', CASES)
def test_stage_outputs_and_logits(case):
    arch, window = parse(case)
    with torch.no_grad():
        outputs = build(arch, window_size=window)(make_input(case))
    assert_matches(case, *outputs)


@pytest.mark.parametrize('case', ['emo_1m_win16_1x333x500'])
def test_reference_form_matches_too(case):
    arch, window = parse(case)
    model = make_reference(build(arch, window_size=window))
    with torch.no_grad():
        outputs = model(make_input(case))
    assert_matches(case, *outputs)


@pytest.mark.parametrize('case', ['emo_1m_win16_1x333x500'])
def test_deployed_matches_too(case):
    arch, window = parse(case)
    model = switch_to_deploy(build(arch, window_size=window))
    with torch.no_grad():
        outputs = model(make_input(case))
    assert_matches(case, *outputs)


@pytest.mark.parametrize('with_cp', [False, True])
def test_gradients(with_cp):
    case = 'emo_1m_win7_2x224x224'
    golden = np.load(GOLDEN / f'{case}.npz')
    model = build('1m', with_cp=with_cp)
    logits = model(make_input(case))[1]
    weights = torch.as_tensor(recipe.make_grad(tuple(logits.shape))).float()
    ((logits * weights).sum() / logits.numel()).backward()
    parameters = dict(model.named_parameters())
    published = published_state_dict('1m')
    ours = dict(zip(published, to_classifier(published)))  # in one order
    assert {ours[name] for name in golden['grad.names']} == set(parameters)
    norms = [
        parameters[ours[name]].grad.norm().item()
        for name in golden['grad.names']
    ]
    np.testing.assert_allclose(
        norms,
        golden['grad.norms'],
        rtol=1e-3,
        atol=TOLERANCE * golden['grad.norms'].max())


@pytest.mark.parametrize('with_cp', [False, True])
def test_train_mode_statistics(with_cp):
    case = 'emo_1m_win7_2x224x224'
    golden = np.load(GOLDEN / f'{case}.npz')
    model = build('1m', drop_path_rate=0., with_cp=with_cp).train()
    logits = model(make_input(case))[1]
    logits.sum().backward()  # with_cp runs each block again here
    assert_close(logits.detach().numpy(), golden['train.logits'])
    statistics = model.backbone.stages[4][1].dw_conv.norm.running_mean
    assert_close(
        recipe.sample(statistics.numpy()), golden['train.running_mean.sample'])


@pytest.mark.parametrize('arch', ['1m', '2m', '5m', '6m'])
def test_published_keys_fill_the_backbone_exactly(arch):
    state_dict = published_state_dict(arch)
    rename_published(state_dict)
    EMO(arch).load_state_dict(state_dict, strict=True)
