"""The wheel, and what an installation of it offers."""
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections import defaultdict

import pytest
import torch
import yaml

from emo_mm.libraries import LIBRARIES
from tests.helpers import ROOT, run_mim
from tests.imports import imports, modules

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope='module', autouse=True)
def installed_packages_only():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv('PYTHONPATH', raising=False)
        yield


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


def files_of(folder):
    """Return the files below a folder of the checkout, relative to it."""
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and not {'.mim', '__pycache__', '.mypy_cache'}
        & set(path.parts)
    }


def test_wheel_carries_the_package_configs_tools_and_the_hooks(wheel):
    names = {
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if '.dist-info/' not in name
    }
    for_mim = files_of('configs') | files_of('tools') | {'model-index.yml'}
    assert names == {
        *files_of('emo_mm'),
        *(f'emo_mm/.mim/{name}' for name in for_mim),
        *(f'_emo_mm_{hook}.{suffix}' for hook in ('mmcv_hook', 'publish_hook')
          for suffix in ('py', 'pth')),
    }


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


@pytest.mark.timing
def test_import_is_quick(installed, tmp_path):
    """Beside that of mmengine.model, whose BaseModule EMO is."""
    seconds = min(
        float(
            run(
                installed, 'import time, torch, mmengine.model; '
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


def test_versions_agree(wheel):
    version = wheel.name.split('-')[1]
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == version
    assert f'## {version} ' in (ROOT / 'CHANGELOG.md').read_text()


# --- Declared dependencies --------------------------------------------------
# Distribution to module, where pip's name is not that of what is imported.
IMPORTED_AS = {
    'grad-cam': 'pytorch_grad_cam',
    'mmcv-lite': 'mmcv',
    'mmsegmentation': 'mmseg',
    'opencv-python': 'cv2',
    'pillow': 'PIL',
    'pyyaml': 'yaml',
}
# Declared for others, as pyproject.toml says where it names them.
FOR_OTHERS = {'click', 'ftfy', 'opendatalab', 'openmim', 'regex', 'setuptools'}
# The older name of ai-edge-litert.
ALTERNATIVES = {'tflite_runtime'}
# What works without any extra, or with the libraries of OpenMMLab alone.
TRAINING = ('models', 'inference', 'checks', 'datasets', 'visualization',
            'engine')


def read_project():
    with (ROOT / 'pyproject.toml').open('rb') as file:
        return tomllib.load(file)['project']


def module_of(requirement):
    distribution = re.match(r'[\w-]+', requirement)[0]
    return IMPORTED_AS.get(distribution, distribution.replace('-', '_'))


def declared():
    """Return the modules of each list of dependencies, 'core' among them."""
    project = read_project()
    tables = dict(
        project['optional-dependencies'], core=project['dependencies'])
    for development in ('test', 'lint'):
        del tables[development]
    return {
        name: set(map(module_of, table)) - FOR_OTHERS - {'emo_mm'}
        for name, table in tables.items()
    }


def imported():
    """Return third-party modules, and where each is imported."""
    places = defaultdict(dict)
    for name, path in modules(ROOT).items():
        for line, target, at_import in imports(name, path):
            module = target.partition('.')[0]
            another_tool = path.with_name(f'{module}.py').is_file()
            if not (another_tool or module == 'emo_mm'
                    or module in sys.stdlib_module_names):
                places[module][f'{path.relative_to(ROOT)}:{line}'] = at_import
    return places


def test_what_is_imported_is_declared():
    unknown = {
        module: list(places)
        for module, places in imported().items()
        if module not in set().union(*declared().values()) | ALTERNATIVES
    }
    assert not unknown


def test_what_is_declared_is_imported():
    by_name = set(LIBRARIES)  # of which emo_mm.libraries imports classes
    unused = set().union(*declared().values()) - set(imported()) - by_name
    assert not unused


def test_training_needs_no_extra_of_its_own():
    tables = declared()
    folders = tuple(f'emo_mm/{name}/' for name in TRAINING)
    for module, places in imported().items():
        if module not in tables['core'] | tables['openmmlab']:
            assert not [
                place for place, at_import in places.items()
                if at_import and place.startswith(folders)
            ], module


def test_import_emo_mm_needs_the_core_alone():
    """What is imported where nothing but a model is asked for."""
    core = declared()['core']
    folders = ('emo_mm/__init__', 'emo_mm/inference/', 'emo_mm/models/')
    lazy_packages = ('emo_mm/models/studies/', )
    for module, places in imported().items():
        if module not in core:
            assert not [
                place for place, at_import in places.items()
                if at_import and place.startswith(folders)
                and not place.startswith(lazy_packages)
            ], module


def test_oldest_torch_is_one_that_is_tested():
    tested = (ROOT / '.github/workflows/test.yml').read_text()
    for requirement in read_project()['dependencies']:
        if requirement.startswith('torch'):
            name, oldest = requirement.split('>=')
            assert f'/{name}=={oldest}' in tested
