"""The libraries' ``publish_model.py``, started as a process of its own."""
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer

import emo_mm
from emo_mm.compat import publish_hook
from tests.helpers import GOLDEN

SCRIPTS = dict(
    mmdet='model_converters/publish_model.py',
    mmseg='misc/publish_model.py',
    mmpretrain='model_converters/publish_model.py')
# What site-packages do when Python starts, then the script on each file.
RUN = """
import runpy, sys
script, hook, *files = sys.argv[1:]
sys.path.append({root!r})
sys.orig_argv = ['python', script, *files]
exec(open(hook).read())
for file in files:
    sys.argv = [script, file, file.replace('.pth', '_small.pth')]
    try:
        runpy.run_path(script, run_name='__main__')
    except Exception as error:
        print('refused:', type(error).__name__, error)
"""


class Code:

    def __reduce__(self):
        return os.system, ('touch ran', )


@pytest.fixture(params=SCRIPTS)
def script(request):
    spec = importlib.util.find_spec(request.param)
    if spec is None:
        pytest.skip(f'{request.param} is not installed')
    return Path(spec.origin).parent / '.mim/tools' / SCRIPTS[request.param]


def test_publishes_what_a_runner_wrote_and_runs_no_code(script, tmp_path):
    """Of mmengine itself, and of version 0.1 of this package."""
    state_dict = dict(weight=torch.ones(1))
    hub = dict(log_scalars=dict(loss=HistoryBuffer([1.], [1])))
    torch.save(
        dict(state_dict=state_dict, meta={}, message_hub=hub, optimizer={}),
        tmp_path / 'theirs.pth')
    old = GOLDEN / 'emo_mm_0.1.0_epoch_1.pth'
    (tmp_path / 'old.pth').write_bytes(old.read_bytes())
    torch.save(
        dict(state_dict=state_dict, meta=Code()), tmp_path / 'crafted.pth')
    root = str(Path(emo_mm.__file__).parents[1])
    result = subprocess.run([
        sys.executable, '-c',
        RUN.format(root=root), script, publish_hook.__file__, 'theirs.pth',
        'old.pth', 'crafted.pth'
    ],
                            cwd=tmp_path,
                            env=dict(
                                os.environ,
                                TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD='1'),
                            capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stderr
    assert 'refused: UnpicklingError crafted.pth was not' in result.stdout
    assert result.stdout.count('refused') == 1
    assert not (tmp_path / 'ran').exists()
    for name in ('theirs', 'old'):
        published, = tmp_path.glob(f'{name}_small*-*.pth')
        # In this process torch allows more; a stranger's does not.
        allowed = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
        try:
            small = torch.load(published, weights_only=True)
        finally:
            torch.serialization.add_safe_globals(allowed)
        assert small['state_dict'] and 'optimizer' not in small


@pytest.mark.parametrize('command, acts', [
    (['python', '/clone/tools/misc/publish_model.py', 'a.pth'], True),
    (['python', '-X', 'dev', 'publish_model.py'], True),
    (['python', 'train.py'], False),
    (['python'], False),
])
def test_acts_for_these_scripts_alone(command, acts, monkeypatch):
    monkeypatch.setattr(sys, 'meta_path', list(sys.meta_path))
    publish_hook.install(command)
    assert (publish_hook.TorchFinder in sys.meta_path) == acts


def test_other_processes_are_left_alone():
    code = """
import sys
assert 'torch' not in sys.modules
assert not [f for f in sys.meta_path
            if getattr(f, '__name__', '') == 'TorchFinder']
"""
    subprocess.run([sys.executable, '-c', code], check=True, cwd='/')
