"""A training of each library is stopped by a signal, moved, and resumed."""
import shutil
import signal

import pytest
import torch

from emo_mm.models.weights import FROM_SCRATCH
from tests.helpers import CONFIGS, assert_same, run_train
from tests.test_mim.conftest import short_loaders, unit_of

CONFIG = dict(
    mmpretrain='emo_1m.py',
    mmdet='ssdlite_emo_1m.py',
    mmseg='pspnet_emo_1m.py')
STEPS = dict(epoch=2, iter=4)
# Sends a signal after the third iteration, which is amid the second epoch.
STOP = """
import os
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module(force=True)
class StopHook(Hook):

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter == 2:
            os.kill(os.getpid(), {})
"""


@pytest.mark.parametrize('scope', CONFIG)
def test_the_weights_are_those_of_an_uninterrupted_run(scope, folder_of,
                                                       tmp_path, monkeypatch):
    folder, config = folder_of(scope), CONFIGS / scope / CONFIG[scope]
    unit = unit_of(config)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'stop_hook.py').write_text(STOP.format(int(signal.SIGTERM)))
    options = [
        FROM_SCRATCH, *short_loaders(config),
        f'train_cfg.max_{unit}s={STEPS[unit]}', 'randomness.seed=0',
        f'train_cfg.val_interval={1 if unit == "epoch" else 2}',
        f'default_hooks.checkpoint.interval={1 if unit == "epoch" else 2}'
    ]

    (tmp_path / 'stopped.py').write_text(
        f"_base_ = {str(config)!r}\n"
        "custom_imports = dict(imports=['emo_mm', 'stop_hook'])\n"
        "default_hooks = dict(stop=dict(type='StopHook'))\n")

    def train(config, name, *flags):
        run_train(folder, config, '--work-dir', tmp_path / name, *flags,
                  '--cfg-options', *options)

    train(config, 'whole')
    with pytest.raises(SystemExit) as end:
        train(tmp_path / 'stopped.py', 'stopped')
    assert end.value.code == 128 + signal.SIGTERM
    assert (tmp_path / 'stopped' / 'interrupted.pth').is_file()
    shutil.move(tmp_path / 'stopped', tmp_path / 'moved')
    train(config, 'moved', '--resume')
    last = f'{unit}_{STEPS[unit]}.pth'
    whole, moved = (
        torch.load(tmp_path / name / last) for name in ('whole', 'moved'))
    for part in ('state_dict', 'optimizer'):
        assert_same(moved[part], whole[part], part)
    assert [
        path.name for path in (tmp_path / 'moved').glob('*.pth')
        if not path.name.startswith('best')
    ] == [last]
