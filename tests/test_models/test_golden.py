"""The network against numbers of the published implementation."""

import numpy as np
import pytest
import torch

from emo_mm.inference import make_reference, switch_to_deploy
from emo_mm.models import EMO
from emo_mm.models.weights import rename_published, to_classifier
from tests.golden import recipe
from tests.helpers import (
    GOLDEN,
    TOLERANCE,
    Classifier,
    assert_close,
    make_input,
    parse_case,
    published_state_dict,
)

CASES = sorted(path.stem for path in GOLDEN.glob('emo_*.npz'))


def build(arch, **kwargs):
    model = Classifier(arch, **kwargs)
    model.load_state_dict(to_classifier(published_state_dict(arch)))
    return model.eval()


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
    arch, window = parse_case(case)
    with torch.no_grad():
        outputs = build(arch, window_size=window)(make_input(case))
    assert_matches(case, *outputs)


@pytest.mark.parametrize('case', ['emo_1m_win16_1x333x500'])
def test_reference_form_matches_too(case):
    arch, window = parse_case(case)
    model = make_reference(build(arch, window_size=window))
    with torch.no_grad():
        outputs = model(make_input(case))
    assert_matches(case, *outputs)


@pytest.mark.parametrize('case', ['emo_1m_win16_1x333x500'])
def test_deployed_matches_too(case):
    arch, window = parse_case(case)
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
