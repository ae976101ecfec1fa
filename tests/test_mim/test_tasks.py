"""Every config trains and tests, as ``mim train`` and ``mim test`` run it.

Only ``--cfg-options`` that shorten the run are given. By default the smallest
size of each task runs; ``make test-configs`` runs all.
"""
from pathlib import Path

import pytest
import torch

from emo_mm.models.weights import FROM_SCRATCH
from tests.helpers import (
    CONFIGS,
    run_in_two_processes,
    run_test,
    run_train,
)
from tests.test_mim.conftest import (
    METRIC,
    resumable,
    short_loaders,
    unit_of,
)

BY_DEFAULT = ('emo_1m', 'retinanet_emo_1m', 'deeplabv3_emo_1m',
              'pspnet_emo_1m')
PATHS = [
    pytest.param(
        path,
        id=path.stem,
        marks=() if path.stem in BY_DEFAULT else pytest.mark.all_configs)
    for path in sorted(CONFIGS.glob('*/*_*m.py'))
]


@pytest.mark.parametrize('config', PATHS)
def test_train_and_test(config, folder_of, tmp_path):
    scope = config.parent.name
    folder = folder_of(scope)
    loaders = short_loaders(config)
    length = dict(mmseg='train_cfg.max_iters=2').get(scope,
                                                     'train_cfg.max_epochs=1')
    output = run_train(folder, config, '--work-dir', tmp_path, '--cfg-options',
                       length, FROM_SCRATCH, *loaders)
    assert 'Effective batch: 1 process(es) x 2 samples' in output
    assert '--auto-scale-lr' in output
    checkpoint, = (
        path for path in tmp_path.glob('*_[12].pth')
        if not path.stem.startswith('best'))
    assert_finite(checkpoint)
    assert list(tmp_path.rglob('curves.png'))
    output = run_test(folder, config, checkpoint, '--work-dir',
                      tmp_path / 'tested', '--cfg-options', *loaders)
    assert METRIC[scope] in output


def assert_finite(checkpoint: Path):
    weights = torch.load(checkpoint, weights_only=False)['state_dict']
    assert all(value.isfinite().all() for value in weights.values())


# Of mmdet, two processes are started by MIM in test_commands.py.
TWO_PROCESSES = [
    ('mmseg/pspnet_emo_1m.py', 1.2e-4, 32),
    ('mmpretrain/emo_1m.py', 6e-3, 2048),
]


@pytest.fixture(scope='module')
def in_two_processes(ade, imagenet, tmp_path_factory):
    """A folder with a whole run of each library, and one resumed at half.

    All runs are in the same two processes, which import the libraries once.
    """
    folder = tmp_path_factory.mktemp('two_processes')
    (folder / 'data').mkdir()
    for data in (ade / 'data/ade', imagenet / 'data/imagenet'):
        (folder / 'data' / data.name).symlink_to(data)
    lines = []
    for path, *_ in TWO_PROCESSES:
        config = CONFIGS / path
        scope, unit = config.parent.name, unit_of(config)
        pytest.importorskip(scope)
        half = f'{scope}/whole/{unit}_1.pth'
        # mmseg's flag takes no path.
        flags = ['--resume'] if scope == 'mmseg' else ['--resume', half]
        options = [f'load_from={half}'] if scope == 'mmseg' else []
        lines += [[
            'train',
            str(config), '--work-dir', f'{scope}/{name}', *flags, '--launcher',
            'pytorch', '--cfg-options', *resumable(config, 2), *options
        ] for name, flags, options in (('whole', [], []), ('resumed', flags,
                                                           options))]
    run_in_two_processes(folder, lines)
    return folder


@pytest.mark.parametrize('config, lr, base_batch', TWO_PROCESSES)
def test_two_processes_scaled_rate_and_resume(config, lr, base_batch,
                                              in_two_processes):
    config = CONFIGS / config
    unit = unit_of(config)

    def result_of(name):
        work_dir = in_two_processes / config.parent.name / name
        log, = work_dir.glob('*/*.log')
        saved = torch.load(work_dir / f'{unit}_2.pth', weights_only=False)
        return log.read_text(), saved

    output, whole = result_of('whole')
    assert 'Effective batch: 2 process(es) x 2 samples' in output
    assert 'is meant for a batch of' not in output
    group, = {(group['initial_lr'], group['lr'])
              for group in whole['optimizer']['param_groups']}
    assert group[0] == pytest.approx(lr * 4 / base_batch)
    output, resumed = result_of('resumed')
    line, = (line for line in output.splitlines() if 'resumed epoch' in line)
    assert f'{unit}: 1' in line.partition('resumed')[2]
    assert resumed['optimizer']['param_groups'][0]['lr'] == group[1]
    # The same to the last bit, with two processes as with one.
    for key, value in whole['state_dict'].items():
        assert torch.equal(resumed['state_dict'][key], value), key


@pytest.mark.parametrize('config', [
    'mmdet/ssdlite_emo_1m.py',
    'mmseg/pspnet_emo_1m.py',
    'mmpretrain/emo_1m.py',
])
def test_testing_without_data_names_the_field(config, tmp_path):
    pytest.importorskip(Path(config).parent.name)
    (tmp_path / 'x.pth').touch()
    with pytest.raises(
            FileNotFoundError, match='test_dataloader.dataset.data_root='):
        run_test(tmp_path, CONFIGS / config, 'x.pth')
