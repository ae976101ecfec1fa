import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/complexity.py'


def run(*args):
    return subprocess.run([sys.executable, TOOL, *args],
                          capture_output=True,
                          text=True)


def test_table():
    args = ('-C', '24', '-W', '12', '-w', '4', '-k', '5', '-G', '3')
    lines = run(*args).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]
            ] == ['MHSA', 'W-MHSA', 'Conv', 'DW-Conv', 'EW-MHSA', 'iRMB']
    assert lines[1].split() == ['MHSA', '2,400', '2,716,416', '1.00']
    assert lines[2].split()[-1] == 'inf'


def test_shares():
    lines = run('--shares', '5m').stdout.splitlines()
    assert lines[1].split() == ['DW-Conv', '4.06%', '4.49%']
    assert lines[2].split() == ['MHSA', '14.58%', '13.73%']


def test_error_is_one_line():
    result = run('-w', '5')
    assert result.returncode != 0 and not result.stdout
    assert result.stderr.splitlines()[-1].startswith('error: w=5')
