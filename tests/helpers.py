"""What several tests share."""
import contextlib
import io
import json
import os
import re
import runpy
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.utils import ManagerMixin
from PIL import Image
from torch import nn

from emo_mm.models import EMO, NormGlobalAveragePooling
from tests.golden import recipe

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'
GOLDEN = ROOT / 'tests' / 'golden'
TOLERANCE = 1e-4  # of golden numbers, by the largest of them
TINY = dict(
    depths=(1, 2, 2, 2),
    widths=(8, 8, 16, 16),
    exp_ratios=(2, 2, 2, 2),
    head_dims=(8, 8, 8, 8))
# No weights are to be downloaded: no cache, and a proxy that is not there.
OFFLINE = dict(
    TORCH_HOME='torch_home',
    http_proxy='http://127.0.0.1:9',
    https_proxy='http://127.0.0.1:9')


# --- The network ------------------------------------------------------------
class Classifier(nn.Module):
    """EMO as mmpretrain's ImageClassifier assembles it, names included."""

    def __init__(self, arch, **kwargs):
        super().__init__()
        self.backbone = EMO(arch, out_indices=range(5), **kwargs)
        width = self.backbone.feature_widths[-1]
        self.neck = NormGlobalAveragePooling(width)
        self.head = nn.Module()
        self.head.fc = nn.Linear(width, 1000)

    def forward(self, x):
        features = self.backbone(x)
        return features, self.head.fc(self.neck(features)[0])


def published_state_dict(arch):
    """Return a state dict of the published names and shapes, by a formula."""
    path = GOLDEN / f'official_state_dict_{arch}.json'
    state_dict = {
        key: torch.as_tensor(recipe.fill(key, tuple(shape)))
        for key, shape in json.loads(path.read_text()).items()
    }
    return {
        key: value.float() if value.is_floating_point() else value
        for key, value in state_dict.items()
    }


def make_input(case):
    """Return the input of a golden file, by the file's name."""
    shape = re.search(r'(\d+)x(\d+)x(\d+)$', case).groups()
    batch, height, width = map(int, shape)
    return torch.as_tensor(recipe.make_input(
        (batch, 3, height, width))).float()


def parse_case(case):
    """Return arch and window of a golden file, by its name."""
    arch, window = re.match(r'emo_(\w+?)_win(\d+)', case).groups()
    return arch, int(window)


def assert_close(actual, expected, largest=None):
    expected = np.asarray(expected)
    largest = np.abs(expected).max() if largest is None else largest
    assert np.abs(actual - expected).max() <= TOLERANCE * largest


def assert_same(actual, expected, where=''):
    """Compare to the last bit."""
    assert type(actual) is type(expected), where
    if isinstance(actual, torch.Tensor):
        assert torch.equal(actual, expected), where
    elif isinstance(actual, dict):
        assert actual.keys() == expected.keys(), where
        for key in actual:
            assert_same(actual[key], expected[key], f'{where}.{key}')
    elif isinstance(actual, (list, tuple)):
        assert len(actual) == len(expected), where
        for i, pair in enumerate(zip(actual, expected)):
            assert_same(*pair, f'{where}.{i}')
    else:
        assert actual == expected, where


def flatten(outputs):
    """Return the tensors of nested tuples and lists, in order."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [tensor for output in outputs for tensor in flatten(output)]


# --- Data -------------------------------------------------------------------
def write_image(path, seed=0, size=(40, 30), **save):
    """Write noise of ``size`` (width, height); ``save`` goes to Pillow."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path, **save)


# --- Commands ---------------------------------------------------------------
def free_port():
    """Return a port that nothing listens at."""
    with socket.socket() as sock:
        sock.bind(('localhost', 0))
        return sock.getsockname()[1]


def run_mim(folder, *args, python=sys.executable):
    """Run ``mim`` and return the finished process with its joint output."""
    environment = dict(os.environ, **OFFLINE)
    environment['PATH'] = os.pathsep.join(
        [str(Path(python).parent), environment['PATH']])
    result = subprocess.run(
        [python, '-c', 'from mim.__main__ import cli; cli()', *map(str, args)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900)
    arguments = ' '.join(str(arg) for arg in args)
    print(f'mim {arguments}\n{result.stdout[-12000:]}')
    return result


def run_script(folder, script, *args):
    """Run a script in this process and return what it printed.

    It sees what ``python script args`` sees in ``folder``, without the
    seconds that importing a library takes. ``tools/train.py`` and
    ``tools/test.py`` start a library's tool as ``mim train`` does.

    Raises:
        Exception: What the script raises, or SystemExit of another status
            than 0.
    """
    printed = io.StringIO()
    forget_runs()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, 'argv', [str(script), *map(str, args)])
        # Tools set it, which a later test must not see.
        patch.setenv('LOCAL_RANK', os.environ.get('LOCAL_RANK', '0'))
        for name, value in OFFLINE.items():
            patch.setenv(name, value)
        # It keeps the proxies of its first use.
        patch.setattr(urllib.request, '_opener', None)
        try:
            with contextlib.redirect_stdout(printed):
                runpy.run_path(str(script), run_name='__main__')
        except SystemExit as end:
            if end.code:
                raise
        finally:
            print(printed.getvalue()[-12000:])
    return printed.getvalue()


def run_train(folder, config, *args):
    """Train as ``mim train`` does, in this process; return the output."""
    return run_script(folder, ROOT / 'tools' / 'train.py', config, *args)


def run_test(folder, config, *args):
    """Test as ``mim test`` does, in this process; return the output."""
    return run_script(folder, ROOT / 'tools' / 'test.py', config, *args)


# Runs each tool of ours with the command line that it is given.
SEVERAL = f"""
import json, runpy, sys
for tool, *arguments in json.loads(sys.argv[1]):
    sys.argv = [tool, *arguments]
    runpy.run_path(f'{ROOT}/tools/{{tool}}.py', run_name='__main__')
"""


def run_in_two_processes(folder, commands):
    """Run 'train' or 'test' with arguments, one command after the other.

    All are in the same two processes, which import the libraries once.
    """
    (folder / 'several.py').write_text(SEVERAL)
    result = subprocess.run([
        sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2',
        f'--master_port={free_port()}', 'several.py',
        json.dumps(commands)
    ],
                            cwd=folder,
                            stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT,
                            text=True,
                            timeout=600)
    assert result.returncode == 0, result.stdout[-12000:]


def forget_runs():
    """Let the next run have loggers, visualizers and a scope of its own."""
    kinds = [ManagerMixin]
    for kind in kinds:
        kinds += kind.__subclasses__()
        kind._instance_dict.clear()
