"""What a user types: training, resuming and testing through MIM.

The other files run more of it, without MIM.
"""
import re
import shutil

import pytest
import torch

from emo_mm.libraries import LIBRARIES
from tests.helpers import CONFIGS, run_mim
from tests.test_mim.conftest import METRIC, resumable, short_loaders, unit_of


@pytest.mark.parametrize('config, processes, lr, base_batch', [
    ('mmdet/retinanet_emo_1m.py', 2, 2e-4, 32),
    ('mmseg/pspnet_emo_1m.py', 1, 1.2e-4, 32),
    ('mmpretrain/emo_1m.py', 1, 6e-3, 2048),
])
def test_train_resume_and_test(config, processes, lr, base_batch, folder_of,
                               tmp_path):
    config = CONFIGS / config
    scope, unit = config.parent.name, unit_of(config)
    folder, library = folder_of(scope), LIBRARIES[scope].distribution

    def train(work_dir, *flags):
        launcher = ('--launcher', 'pytorch', '--gpus', '2')
        result = run_mim(folder, 'train', library, config, '--work-dir',
                         work_dir, *flags, *launcher[:4 * (processes > 1)],
                         '--cfg-options', *resumable(config, processes))
        assert result.returncode == 0
        saved = torch.load(work_dir / f'{unit}_2.pth', weights_only=False)
        return result.stdout, saved['optimizer']['param_groups'][0]

    output, whole = train(tmp_path / 'whole')
    assert f'Effective batch: {processes} process(es) x 2 samples' in output
    assert 'is meant for a batch of' not in output
    assert ('plain BatchNorm' in output) == (processes > 1)
    assert whole['initial_lr'] == pytest.approx(lr * 2 * processes /
                                                base_batch)
    # The same run, interrupted after its first half.
    interrupted = tmp_path / 'interrupted'
    interrupted.mkdir()
    first = shutil.copy(tmp_path / f'whole/{unit}_1.pth', interrupted)
    (interrupted / 'last_checkpoint').write_text(first)
    output, resumed = train(interrupted, '--resume')
    assert f'{unit}: 1' in re.search('resumed (epoch.*)', output)[1]
    assert resumed['lr'] == whole['lr']

    result = run_mim(folder, 'test', library, config, '--checkpoint',
                     tmp_path / f'whole/{unit}_2.pth', '--work-dir',
                     tmp_path / 'tested', '--cfg-options',
                     *short_loaders(config))
    assert result.returncode == 0
    assert METRIC[scope] in result.stdout
