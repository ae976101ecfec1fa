"""A training step computes what the reference form does, in less memory."""
import copy
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import build_optim_wrapper
from torch import nn

from emo_mm.analysis.timing import peak_memory
from emo_mm.inference import make_reference
from emo_mm.models import EMO

SMALL = dict(
    depths=(1, 2, 3, 2),
    widths=(16, 16, 32, 32),
    exp_ratios=(2, 2, 2, 2),
    head_dims=(8, 8, 8, 8))


class Classifier(nn.Module):

    def __init__(self, arch=SMALL, **kwargs):
        super().__init__()
        self.backbone = EMO(arch, window_size=3, drop_path_rate=0., **kwargs)
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        return self.fc(self.backbone(x)[0].mean((2, 3)))


def train(model, steps, size=64, batch_size=4, **autocast):
    """Return the losses of steps on the same images each time."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(batch_size, 3, size, size, generator=generator)
    labels = torch.arange(batch_size) % 10
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-3)
    losses = []
    for _ in range(steps):
        with torch.autocast('cpu', enabled=bool(autocast), **autocast):
            loss = F.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_losses_are_those_of_the_reference_rendering():
    torch.manual_seed(0)
    model = Classifier()
    reference = make_reference(copy.deepcopy(model))
    losses = train(model, 20)
    assert losses == pytest.approx(train(reference, 20), rel=1e-4)
    assert losses[-1] < 0.8 * losses[0]


def test_bfloat16_autocast_trains():
    torch.manual_seed(0)
    model = Classifier()
    losses = train(model, 20, dtype=torch.bfloat16)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_amp_trains_as_float32_does(dtype):
    """With the wrapper of ``--amp``, from a scale that is low enough: where it
    is too high, steps are left out."""

    def losses_of(**settings):
        torch.manual_seed(0)
        model = Classifier().train()
        wrapper = build_optim_wrapper(
            model,
            dict(
                optimizer=dict(type='AdamW', lr=1e-3),
                clip_grad=dict(max_norm=5.),
                **settings))
        x, labels = torch.rand(4, 3, 64, 64), torch.arange(4)
        losses = []
        for _ in range(20):
            with wrapper.optim_context(model):
                loss = F.cross_entropy(model(x), labels)
            wrapper.update_params(loss)
            losses.append(loss.item())
        return losses

    expected = losses_of(type='OptimWrapper')
    losses = losses_of(
        type='AmpOptimWrapper', dtype=dtype, loss_scale=dict(init_scale=256.))
    assert losses == pytest.approx(expected, rel=0.05)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.timing
@pytest.mark.skipif(
    not os.path.exists('/proc/self/clear_refs'), reason='Linux alone')
def test_with_cp_saves_memory():
    without, with_cp = _in_a_process('memory_of_a_step(False)',
                                     'memory_of_a_step(True)')
    assert with_cp < 0.6 * without


def memory_of_a_step(with_cp):
    model = Classifier(dict(SMALL, depths=(6, 4, 3, 2)), with_cp=with_cp)
    step = partial(train, model, 1, size=224, batch_size=8)
    step()
    return peak_memory(step)


def _in_a_process(*expressions):
    """Values of this module, where glibc gives back what is freed: elsewhere
    the peak depends on what ran before."""
    code = (f'from {Path(__file__).stem} import *; '
            f'print([{", ".join(expressions)}])')
    env = dict(os.environ, MALLOC_MMAP_THRESHOLD_='65536')
    command = [sys.executable, '-c', code]
    return json.loads(
        subprocess.check_output(command, cwd=Path(__file__).parent, env=env))
