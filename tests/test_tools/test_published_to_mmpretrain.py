"""The converter, up to logits of mmpretrain's own classifier."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint

from tests.helpers import (
    GOLDEN,
    ROOT,
    assert_close,
    make_input,
    parse_case,
    published_state_dict,
)


@pytest.fixture
def convert(run_tool, tmp_path):

    def call(state_dict):
        source, target = tmp_path / 'net.pth', tmp_path / 'new' / 'emo.pth'
        torch.save(state_dict, source)
        return target, run_tool('model_converters/published_to_mmpretrain.py',
                                source, target)

    return call


def test_converted_weights_give_the_published_logits(convert):
    mmpretrain = pytest.importorskip('mmpretrain')
    case = 'emo_5m_win7_1x200x264'
    arch, window = parse_case(case)
    target, result = convert(dict(net=published_state_dict(arch)))
    assert result.returncode == 0, result.stderr
    assert 'EMO-5M' in result.stdout
    model = mmpretrain.get_model(
        Config.fromfile(ROOT / f'configs/mmpretrain/emo_{arch}.py')).eval()
    load_checkpoint(model, str(target), strict=True)
    with torch.no_grad():
        logits = model(make_input(case))
    golden = np.load(GOLDEN / f'{case}.npz')
    assert_close(logits.numpy(), golden['logits'])


@pytest.mark.parametrize('spoil, message', [
    (lambda state: state.pop('stage4.2.proj.conv.weight'),
     'backbone.stages.4.2.project.weight: not in the checkpoint'),
    (lambda state: state.pop('norm.norm.bias'),
     'neck.norm.bias: not in the checkpoint'),
    (lambda state: state.pop('stage0.0.convs.0.0.weight'),
     'backbone.stages.0.0.conv.weight: not in the checkpoint'),
    (lambda state: [state.pop(key) for key in list(state) if 'stage' in key],
     'not the state dict of a published EMO'),
])
def test_incomplete_weights_are_refused(convert, spoil, message):
    state_dict = published_state_dict('1m')
    spoil(state_dict)
    target, result = convert(state_dict)
    assert result.returncode != 0
    assert message in result.stderr
    assert not target.exists()


def test_published_weights_by_their_name(run_tool, tmp_path, monkeypatch):
    torch.save(published_state_dict('1m'), tmp_path / 'net.pth')
    monkeypatch.setattr('emo_mm.models.weights.find_published',
                        lambda arch: tmp_path / 'net.pth')
    result = run_tool('model_converters/published_to_mmpretrain.py',
                      'emo://1m', 'emo.pth')
    assert 'EMO-1M to emo.pth, for configs/mmpretrain/emo_1m.py' in (
        result.stdout)
    weights = torch.load(tmp_path / 'emo.pth')['state_dict']
    assert 'head.fc.weight' in weights


def test_a_file_that_is_no_checkpoint(run_tool, tmp_path):
    (tmp_path / 'net.pth').write_text('<html>')
    result = run_tool('model_converters/published_to_mmpretrain.py', 'net.pth',
                      'emo.pth')
    assert result.returncode != 0
    assert "error: checkpoint='net.pth' is no checkpoint" in result.stderr
