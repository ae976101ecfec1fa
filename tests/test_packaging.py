"""The wheel, and what an installation of it offers."""
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import torch

from tests.test_mim.conftest import run_mim

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    # First the source distribution, then the wheel from it.
    subprocess.run(
        [sys.executable, '-m', 'build', '--outdir', folder,
         str(ROOT)],
        check=True)
    path, = folder.glob('*.whl')
    return path


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    """Interpreter of an environment with the wheel, on top of this one."""
    environment = tmp_path_factory.mktemp('environment')
    subprocess.run(
        [sys.executable, '-m', 'venv', '--without-pip', environment],
        check=True)
    python = environment / 'bin' / 'python'
    site = next(environment.glob('lib/python*/site-packages'))
    # Such a line adds the folder, but not the editable install it may hold.
    (site / 'base.pth').write_text(sysconfig.get_paths()['purelib'])
    subprocess.run([
        sys.executable, '-m', 'pip', '--python', python, 'install', '-q',
        '--no-deps', wheel
    ],
                   check=True)
    return python


def run(python, code, folder):
    result = subprocess.run([python, '-c', code],
                            cwd=folder,
                            capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_wheel_carries_configs_tools_and_the_stand_in(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ('configs', 'tools'):
        expected = {
            f'emo_mm/.mim/{path.relative_to(ROOT)}'
            for path in (ROOT / folder).rglob('*.py')
        }
        assert expected and expected <= names
    assert {'_emo_mm_mmcv_hook.py', '_emo_mm_mmcv_hook.pth'} <= names
    assert 'emo_mm/mmcv_ext/_ext.py' in names
    assert not [name for name in names if name.startswith('mmcv/')]
    assert not [name for name in names if name.startswith('tests')]


def test_record_lists_every_file(wheel):
    """pip removes what the record lists, so all must be in it."""
    archive = zipfile.ZipFile(wheel)
    record, = (
        name for name in archive.namelist()
        if name.endswith('.dist-info/RECORD'))
    listed = {
        line.split(',')[0]
        for line in archive.read(record).decode().splitlines()
    }
    assert listed == set(archive.namelist())


def test_package_is_the_installed_one(installed, tmp_path):
    path = run(installed, 'import emo_mm; print(emo_mm.__file__)', tmp_path)
    assert str(installed.parents[1]) in path


def test_mmcv_ops_run_on_the_installed_stand_in(installed, tmp_path):
    """mmcv lies in another folder of packages here."""
    ext = pytest.importorskip('mmcv._ext')
    if not ext.__file__.endswith('.py'):
        pytest.skip('the full mmcv is installed')
    path = run(installed,
               'import mmcv.ops, mmcv._ext; print(mmcv._ext.__file__)',
               tmp_path)
    assert str(installed.parents[1]) in path


def test_a_runner_trains_without_mmcv(installed, tmp_path):
    """mmengine must not take the stand-in for the full mmcv."""
    code = """
import sys
sys.modules['mmcv'] = None  # importing it fails
import torch, emo_mm
from mmengine.model import BaseModel, revert_sync_batchnorm
class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.SyncBatchNorm(2)
    def forward(self, *args, **kwargs): pass
print(type(revert_sync_batchnorm(Model()).layer).__name__)
"""
    assert '_BatchNormXd' in run(installed, code, tmp_path)


def test_import_brings_only_torch_and_mmengine(installed, tmp_path):
    loaded = run(
        installed, 'import sys, emo_mm; '
        'print(*{name.partition(".")[0] for name in sys.modules})', tmp_path)
    assert not {
        'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'torchvision', 'fvcore'
    } & set(loaded.split())


def test_import_is_quick(installed, tmp_path):
    seconds = min(
        float(
            run(
                installed, 'import time, torch, mmengine; '
                'start = time.perf_counter(); import emo_mm; '
                'print(time.perf_counter() - start)', tmp_path))
        for _ in range(3))
    assert seconds < 0.5


def test_mim_trains_and_tests_by_the_packages_name(installed, tmp_path):
    pytest.importorskip('mmdet')
    from emo_mm.datasets.shapes import generate_coco
    generate_coco(
        tmp_path / 'demo/shapes', dict(train2017=4, val2017=2), size=160)
    config = 'ssdlite_emo_1m_shapes.py'
    options = ('train_cfg.max_epochs=1', 'train_dataloader.batch_size=2',
               'train_dataloader.dataset.times=1')
    result = run_mim(
        tmp_path,
        'train',
        'emo_mm',
        config,
        '--work-dir',
        'run',
        '--cfg-options',
        *options,
        python=installed)
    assert result.returncode == 0
    assert torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)
    result = run_mim(
        tmp_path,
        'test',
        'emo_mm',
        config,
        '--checkpoint',
        'run/epoch_1.pth',
        python=installed)
    assert result.returncode == 0
    assert 'coco/bbox_mAP_50' in result.stdout


def test_a_config_can_build_on_ours_once_emo_mm_is_imported(
        installed, tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = 'emo_mm::mmdet/ssdlite_emo_1m.py'\n"
                      'train_cfg = dict(max_epochs=3)\n')
    arch = run(
        installed, 'import emo_mm; from mmengine.config import Config; '
        f'print(Config.fromfile({str(config)!r}).model.backbone.arch)',
        tmp_path)
    assert arch == '1m'
