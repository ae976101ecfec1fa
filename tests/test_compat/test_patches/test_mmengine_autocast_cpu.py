from contextlib import contextmanager
from types import SimpleNamespace

import mmengine.runner
import pytest
import torch
from mmengine.runner import amp, loops

from emo_mm.compat.patches.mmengine_autocast_cpu import PATCH, is_faulty


@pytest.mark.parametrize('module', [amp, mmengine.runner, loops])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_computes_in_the_format(module, dtype):
    layer = torch.nn.Linear(2, 2)
    with module.autocast('cpu', dtype):
        assert layer(torch.rand(1, 2)).dtype == dtype
    with module.autocast('cpu', dtype, enabled=False):
        assert layer(torch.rand(1, 2)).dtype == torch.float32


def test_bfloat16_stays_the_default():
    with amp.autocast('cpu'):
        assert torch.get_autocast_dtype('cpu') == torch.bfloat16


def test_library_has_the_fault(monkeypatch, run_patch):
    monkeypatch.setattr(amp, 'autocast', amp.autocast.__wrapped__)
    assert is_faulty(amp)
    run_patch(PATCH, amp)


@contextmanager
def autocast(*args):
    yield


def test_leaves_a_fixed_library(run_patch):
    fixed = SimpleNamespace(autocast=autocast)
    run_patch(PATCH, fixed)
    assert fixed.autocast is autocast


def test_warns_where_it_does_not_help(assert_warns, monkeypatch):

    def refuse(*args, **kwargs):
        raise AssertionError('In CPU autocast, only support bfloat16')

    monkeypatch.setattr(torch, 'autocast', refuse)
    assert_warns(PATCH, SimpleNamespace(autocast=refuse))
