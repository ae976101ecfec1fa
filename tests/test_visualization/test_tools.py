"""The tools for looking inside."""
import runpy
import subprocess
import sys

import pytest

from tests.helpers import ROOT

TOOLS = ROOT / 'tools' / 'visualization'
MODEL = ('tiny.py', 'tiny.pth')


@pytest.mark.parametrize('tool, args', [
    ('attention_map.py', (*MODEL, 'red.png', '--position', '1', '1')),
    ('diagonal_similarity.py',
     ('red.png', '--model', *MODEL, '--model', *MODEL)),
    ('operator_shares.py', ('1m', '--size', '64')),
    ('grad_cam.py', (*MODEL, 'red.png', '--labels', '0', '3')),
])
def test_writes_an_image(folder, monkeypatch, capsys, tool, args):
    if tool == 'grad_cam.py':
        pytest.importorskip('pytorch_grad_cam')
    monkeypatch.chdir(folder)
    runpy.run_path(TOOLS / tool)['main'](args)
    name = tool.replace('.py', '.png')
    assert capsys.readouterr().out.strip() == name
    assert (folder / name).read_bytes().startswith(b'\x89PNG')


def test_errors_are_one_line(folder):
    command = [sys.executable, TOOLS / 'attention_map.py', *MODEL, 'red.png']
    result = subprocess.run([*command, '--block', '0'],
                            cwd=folder,
                            capture_output=True,
                            text=True)
    assert result.returncode != 0
    assert result.stderr.splitlines()[-1] == (
        'error: stage=3, block=0 has no attention. Blocks that have: 3.1, '
        '3.2, 4.1.')
