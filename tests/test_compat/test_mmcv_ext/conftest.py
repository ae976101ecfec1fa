"""mmcv's compiled operators, as the measure of those in emo_mm.compat.mmcv_ext."""
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from packaging.tags import sys_tags

import emo_mm.compat.mmcv_ext

ROOT = Path(__file__).resolve().parents[2]
COMPILED = tuple(importlib.machinery.EXTENSION_SUFFIXES)
OPS = ('bbox', 'deform_conv', 'focal_loss', 'modulated_deform_conv',
       'multi_scale_deform_attn', 'nms', 'roi_align', 'roi_pool')


def find_wheel():
    folder = os.environ.get('EMO_MM_WHEELS', ROOT.parent / 'shared' / 'wheels')
    tags = {str(tag) for tag in sys_tags()}
    for wheel in sorted(Path(folder).glob('mmcv-2.1.0-*.whl')):
        python, abi, platforms = wheel.stem.split('-')[-3:]
        # Of a compound tag each part is a tag.
        if tags & {f'{python}-{abi}-{name}' for name in platforms.split('.')}:
            return wheel
    pytest.skip(f'no mmcv 2.1.0 wheel for this Python in {folder}; set '
                'EMO_MM_WHEELS to a folder that has one')


def load_apart(path):
    """Load a compiled ``mmcv._ext`` without making it mmcv's."""
    spec = importlib.util.spec_from_file_location('mmcv._ext', path)
    saved = sys.modules.get('mmcv._ext')
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        # An extension module may enter itself there.
        sys.modules.pop('mmcv._ext', None)
        if saved is not None:
            sys.modules['mmcv._ext'] = saved
    return module


@pytest.fixture(scope='session')
def compiled_ext(tmp_path_factory):
    """The compiled ``mmcv._ext``: the installed one, or one from a wheel."""
    spec = importlib.util.find_spec('mmcv._ext')
    if spec is not None and spec.origin.endswith(COMPILED):
        return importlib.import_module('mmcv._ext')
    folder = tmp_path_factory.mktemp('mmcv_wheel')
    with zipfile.ZipFile(find_wheel()) as wheel:
        name, = (
            name for name in wheel.namelist()
            if name.startswith('mmcv/_ext') and name.endswith(COMPILED))
        return load_apart(wheel.extract(name, folder))


@contextmanager
def using(ext):
    """Let the functions of ``mmcv.ops`` call the operators of ``ext``."""
    with pytest.MonkeyPatch.context() as patch:
        for name in OPS:
            # By name: ``mmcv.ops.nms`` the attribute is the function.
            module = importlib.import_module(f'mmcv.ops.{name}')
            patch.setattr(module, 'ext_module', ext)
        yield


@pytest.fixture
def ours():
    """Has ``mmcv.ops`` call the operators under test."""
    with using(emo_mm.compat.mmcv_ext):
        yield emo_mm.compat.mmcv_ext


@pytest.fixture
def compare(compiled_ext, device):
    """Returns what a function gives with our and the compiled operators.

    The compiled ones always run on the CPU, ours on ``device``.
    """

    def run(function, *tensors, **kwargs):
        with using(compiled_ext):
            expected = function(*tensors, **kwargs)
        with using(emo_mm.compat.mmcv_ext):
            moved = [tensor.to(device) for tensor in tensors]
            actual = function(*moved, **kwargs)
        return to_cpu(actual), to_cpu(expected)

    return run


def to_cpu(result):
    if isinstance(result, (tuple, list)):
        return [to_cpu(item) for item in result]
    return result.cpu() if torch.is_tensor(result) else result


@pytest.fixture(params=['cpu', 'cuda'])
def device(request):
    if request.param == 'cuda' and not torch.cuda.is_available():
        pytest.skip('needs a CUDA device')
    return request.param


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)
