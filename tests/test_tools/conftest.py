import runpy
from types import SimpleNamespace

import pytest

from emo_mm.cli import run
from tests.helpers import ROOT

TOOLS = ROOT / 'tools'


@pytest.fixture
def run_tool(capsys, tmp_path, monkeypatch):
    """Run a tool's ``main`` in this process, as a shell would run the tool.

    It takes the tool's path below ``tools/`` and its arguments, and returns
    what ``subprocess.run`` would, ``returncode``, ``stdout`` and ``stderr``.
    """
    monkeypatch.chdir(tmp_path)

    def call(tool, *args):
        main = runpy.run_path(str(TOOLS / tool))['main']
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            run(lambda: main([str(arg) for arg in args]))
        code = exit.value.code
        message = code if isinstance(code, str) else ''
        captured = capsys.readouterr()
        return SimpleNamespace(
            returncode=bool(message) or code or 0,
            stdout=captured.out,
            stderr=captured.err + message)

    return call
