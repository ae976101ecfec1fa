"""Where Python finds ``mmcv._ext``, in fresh interpreters.

They run with -S, so that neither site-packages nor what an installation of
this package put there takes part.
"""
import importlib.machinery
import subprocess
import sys
from pathlib import Path

import pytest

import emo_mm
from emo_mm.compat import mmcv_hook

ROOT = Path(emo_mm.__file__).parents[1]
EXT = ROOT / 'emo_mm' / 'compat' / 'mmcv_ext' / '_ext.py'


def find(name, *folders):
    """Return where ``name`` comes from, with ``folders`` on the path."""
    code = f"""
import sys
sys.path += {[str(folder) for folder in (*folders, ROOT)]!r}
exec(open({mmcv_hook.__file__!r}).read())
from importlib.util import find_spec
spec = find_spec({name!r})
print(spec and spec.origin)
"""
    result = subprocess.run([sys.executable, '-S', '-c', code],
                            capture_output=True,
                            text=True,
                            cwd='/')
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture
def mmcv(tmp_path):
    """A folder with a package mmcv that has no compiled module."""
    package = tmp_path / 'site' / 'mmcv'
    package.mkdir(parents=True)
    (package / '__init__.py').touch()
    return package


def test_mmcv_without_a_compiled_module_finds_ours(mmcv, tmp_path):
    elsewhere = tmp_path / 'other_site'
    assert find('mmcv._ext', elsewhere, mmcv.parent) == str(EXT)


@pytest.mark.parametrize('suffix', importlib.machinery.EXTENSION_SUFFIXES)
def test_a_compiled_module_wins(mmcv, suffix):
    compiled = mmcv / f'_ext{suffix}'
    compiled.touch()
    assert find('mmcv._ext', mmcv.parent) == str(compiled)


@pytest.mark.parametrize('name', ['mmcv', 'mmcv_ext', '_ext'])
def test_nothing_else_is_found_by_the_hook(name):
    assert find(name) == 'None'


def test_installed_once():
    mmcv_hook.install()
    mmcv_hook.install()
    names = [getattr(finder, '__name__', '') for finder in sys.meta_path]
    assert names.count('MMCVExtFinder') == 1


def test_an_installation_of_this_package_brings_the_hook():
    """Without emo_mm being imported, and for nothing but the finder."""
    code = """
import sys
assert any(getattr(finder, '__name__', '') == 'MMCVExtFinder'
           for finder in sys.meta_path)
assert not {'emo_mm', 'mmcv', 'torch'} & set(sys.modules)
"""
    subprocess.run([sys.executable, '-c', code], check=True, cwd='/')
