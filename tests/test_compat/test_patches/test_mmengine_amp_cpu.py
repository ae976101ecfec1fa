import pytest
import torch
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper

import emo_mm.compat  # noqa: F401

CFG = dict(type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=0.1))


@pytest.mark.skipif(get_device() != 'cpu', reason='has a GPU')
def test_says_which_setting_and_what_to_do():
    with pytest.raises(RuntimeError) as caught:
        build_optim_wrapper(torch.nn.Linear(1, 1), CFG)
    message = str(caught.value)
    assert "optim_wrapper.type='AmpOptimWrapper' (--amp)" in message
    assert 'needs a GPU' in message
    assert 'drop --amp' in message


def test_leaves_other_errors(monkeypatch):
    from mmengine.optim.optimizer import amp_optimizer_wrapper as module
    monkeypatch.setattr(module, 'is_cuda_available', lambda: True)
    with pytest.raises(AssertionError, match='dtype should be any of'):
        build_optim_wrapper(
            torch.nn.Linear(1, 1), dict(CFG, loss_scale={}, dtype='int8'))
