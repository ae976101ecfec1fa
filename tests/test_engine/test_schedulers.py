"""Learning rates of a run, by mmengine's own Runner."""
import math

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

import emo_mm  # noqa: F401, registers WarmupLR

BASE = 1.2e-3


class Model(BaseModel):

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x, mode='loss'):
        return dict(loss=self.layer(x).sum())


def learning_rates(max_epochs, epoch_length, tmp_path):
    """Rate of each iteration, as a list per epoch."""
    rates = []

    class Recorder(Runner):

        def call_hook(self, name, **kwargs):
            if name == 'before_train_epoch':
                rates.append([])
            elif name == 'before_train_iter':
                rates[-1].append(self.optim_wrapper.get_lr()['lr'][0])
            super().call_hook(name, **kwargs)

    data = torch.utils.data.TensorDataset(torch.rand(epoch_length, 1))
    Recorder(
        Model(),
        str(tmp_path),
        train_dataloader=dict(
            dataset=data,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=lambda batch: dict(x=torch.stack(batch[0])),
            batch_size=1),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=BASE)),
        param_scheduler=[
            dict(
                type='WarmupLR',
                start_factor=0.001,
                warmup_iters=500,
                by_epoch=False),
            dict(type='CosineAnnealingLR', by_epoch=True)
        ],
        default_hooks=dict(checkpoint=None),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs)).train()
    return rates


def test_a_long_run_warms_up_over_the_published_iterations(tmp_path):
    rates = sum(learning_rates(60, 100, tmp_path), [])
    assert rates[0] == pytest.approx(BASE * 0.001)
    # The cosine moves per epoch; at its 5th, the warm-up ends.
    cosine = [BASE * (1 + math.cos(math.pi * e / 60)) / 2 for e in range(60)]
    assert rates[250] == pytest.approx(cosine[2] * 0.5, rel=0.01)
    assert rates[498] < rates[499] == pytest.approx(cosine[4])
    assert rates[500:600] == pytest.approx([cosine[5]] * 100)
    assert rates[-1] == pytest.approx(cosine[59])


@pytest.mark.parametrize('max_epochs', [1, 2, 10])
def test_a_short_run_warms_up_over_a_tenth_of_itself(tmp_path, max_epochs):
    rates = sum(learning_rates(max_epochs, 40, tmp_path), [])
    length = max_epochs * 4
    assert rates[0] == pytest.approx(BASE * 0.001)
    assert rates[length - 2] < BASE
    assert rates[length - 1] == pytest.approx(BASE)
    last = math.pi * (max_epochs - 1) / max_epochs
    assert rates[-1] == pytest.approx(BASE * (1 + math.cos(last)) / 2)


def test_a_run_of_one_iteration(tmp_path):
    assert learning_rates(1, 1, tmp_path) == [[pytest.approx(BASE * 0.001)]]


def test_warmup_by_epoch_is_refused():
    from emo_mm.engine import WarmupLR
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), 0.1)
    with pytest.raises(ValueError, match='by_epoch=False'):
        WarmupLR(optimizer, warmup_iters=5, end=10, by_epoch=True)


@pytest.mark.parametrize('epoch, rate', [
    (0, 1e-6),
    (20, 6.000e-3),
    (20.1, 5.934e-3),
    (64, 5.351e-3),
    (300, 1e-6),
])
def test_warmup_cosine_has_the_rates_of_the_published_log(epoch, rate):
    from emo_mm.engine import WarmupCosineLR
    epoch_length = 1251
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), 6e-3)
    scheduler = WarmupCosineLR(
        optimizer,
        warmup_ratio=20 / 300,
        eta_min=1e-6,
        end=300 * epoch_length,
        by_epoch=False)
    for _ in range(min(round(epoch * epoch_length), 300 * epoch_length - 1)):
        scheduler.step()
    assert optimizer.param_groups[0]['lr'] == pytest.approx(rate, rel=1e-3)
