from functools import partial

import pytest


@pytest.fixture
def complexity(run_tool):
    return partial(run_tool, 'analysis_tools/complexity.py')


def test_table(complexity):
    args = ('-C', '24', '-W', '12', '-w', '4', '-k', '5', '-G', '3')
    lines = complexity(*args).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]
            ] == ['MHSA', 'W-MHSA', 'Conv', 'DW-Conv', 'EW-MHSA', 'iRMB']
    assert lines[1].split() == ['MHSA', '2,400', '2,716,416', '1.00']
    assert lines[2].split()[-1] == 'inf'


def test_shares(complexity):
    lines = complexity('--shares', '5m').stdout.splitlines()
    assert lines[1].split() == ['DW-Conv', '4.06%', '4.49%']
    assert lines[2].split() == ['MHSA', '14.58%', '13.73%']


def test_error_is_one_line(complexity):
    result = complexity('-w', '5')
    assert result.returncode != 0 and not result.stdout
    assert result.stderr.splitlines()[-1].startswith('error: w=5')
