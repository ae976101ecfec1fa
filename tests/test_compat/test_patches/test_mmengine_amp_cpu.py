from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper

from emo_mm.compat.patches.mmengine_amp_cpu import PATCH, is_faulty

CFG = dict(type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=0.1))


@pytest.fixture
def on(monkeypatch):
    """Let mmengine see another device, and no GPU."""

    def see(device):
        monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available',
                            lambda: False)
        monkeypatch.setattr('mmengine.device.get_device', lambda: device)

    return see


@pytest.mark.parametrize('settings, dtype', [
    ({}, torch.bfloat16),
    (dict(dtype='bfloat16'), torch.bfloat16),
    (dict(dtype='float16', loss_scale=512.), torch.float16),
    (dict(dtype='float16', loss_scale=dict(init_scale=8.)), torch.float16),
])
def test_trains_on_a_cpu(on, settings, dtype):
    on('cpu')
    model = torch.nn.Linear(4, 2)
    before = model.weight.clone()
    wrapper = build_optim_wrapper(model, dict(CFG, **settings))
    with wrapper.optim_context(model):
        output = model(torch.rand(3, 4))
    assert output.dtype == dtype
    wrapper.update_params(output.float().mean())
    assert model.weight.isfinite().all()
    assert not torch.equal(model.weight, before)
    state = wrapper.state_dict()
    wrapper.loss_scaler.update(3.)
    scale = state['loss_scaler']['scale']
    wrapper.load_state_dict(state)
    assert wrapper.loss_scaler.get_scale() == scale


def test_a_step_with_infinite_gradients_is_left_out(on):
    on('cpu')
    model = torch.nn.Linear(4, 2)
    before = model.weight.clone()
    wrapper = build_optim_wrapper(model, dict(CFG, dtype='float16'))
    wrapper.update_params(model(torch.full((3, 4), 1e38)).sum())
    assert torch.equal(model.weight, before)
    assert wrapper.loss_scaler.get_scale() == 2**15


def test_says_which_setting_and_what_to_do(on):
    on('mps')
    with pytest.raises(RuntimeError) as caught:
        build_optim_wrapper(torch.nn.Linear(1, 1), CFG)
    message = str(caught.value)
    assert "optim_wrapper.type='AmpOptimWrapper' (--amp)" in message
    assert 'needs a CPU or a GPU' in message
    assert "'mps'" in message
    assert 'drop --amp' in message


def test_leaves_other_errors(monkeypatch):
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available',
                        lambda: True)
    with pytest.raises(AssertionError, match='dtype should be any of'):
        build_optim_wrapper(
            torch.nn.Linear(1, 1), dict(CFG, loss_scale={}, dtype='int8'))


def test_library_has_the_fault(undo, run_patch):
    undo(amp_optimizer_wrapper.AmpOptimWrapper, '__init__')
    assert is_faulty(amp_optimizer_wrapper)
    run_patch(PATCH, amp_optimizer_wrapper)


class Wrapper:
    """An AmpOptimWrapper that accepts a CPU."""

    def __init__(self, optimizer):
        pass


def test_leaves_a_fixed_library(run_patch):
    before = Wrapper.__init__
    run_patch(PATCH, SimpleNamespace(AmpOptimWrapper=Wrapper))
    assert Wrapper.__init__ is before


def test_warns_where_it_does_not_help(assert_warns):

    class OtherWrapper(Wrapper):

        def __new__(cls, optimizer):
            raise AssertionError('is only available training on gpu')

    assert_warns(PATCH, SimpleNamespace(AmpOptimWrapper=OtherWrapper))
