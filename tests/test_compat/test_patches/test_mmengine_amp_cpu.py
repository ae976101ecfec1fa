from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper

from emo_mm.compat.patches.mmengine_amp_cpu import PATCH, is_faulty

CFG = dict(type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=0.1))


def test_says_which_setting_and_what_to_do(monkeypatch):
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available',
                        lambda: False)
    with pytest.raises(RuntimeError) as caught:
        build_optim_wrapper(torch.nn.Linear(1, 1), CFG)
    message = str(caught.value)
    assert "optim_wrapper.type='AmpOptimWrapper' (--amp)" in message
    assert 'needs a GPU' in message
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
