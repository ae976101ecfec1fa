import json
import subprocess
import sys
from functools import partial

import pytest

from emo_mm.analysis.peers import PEERS
from tests.helpers import ROOT

FOLDER = ROOT / 'tools/analysis_tools'
SMALL = ('--shape', 64, 64, '--repeats', 2)


@pytest.fixture
def benchmark(run_tool):
    return partial(run_tool, 'analysis_tools/benchmark.py')


def cells(line):
    return [cell.strip() for cell in line.split('|')[1:-1]]


def test_modes_side_by_side(benchmark, tmp_path):
    pytest.importorskip('mmpretrain')
    models = ['emo_1m@reference', 'emo_1m', 'emo_1m@deployed@bfloat16']
    result = benchmark(*models, 'emo_1m@cudagraph', *SMALL, '--batch-sizes', 1,
                       2, '--json', '--plot', 'plot.png')
    rows = json.loads(result.stdout)
    assert [row['batch_size'] for row in rows] == [1] * 4 + [2] * 4
    assert [row['model'] for row in rows[:3]] == models
    for row in rows[:3] + rows[4:7]:
        low, high = row['quartiles']
        assert 0 < low <= row['images_per_second'] <= high
        assert row['ratio'] == pytest.approx(
            row['images_per_second'] /
            rows[4 * (row['batch_size'] - 1)]['images_per_second'])
        assert row['note'] == ''
    assert rows[2]['dtype'] == 'bfloat16'
    assert rows[3]['images_per_second'] is None
    assert 'CUDA graphs need a GPU' in rows[3]['note']
    assert (tmp_path / 'plot.png').stat().st_size > 0


def test_training_step(benchmark):
    pytest.importorskip('mmpretrain')
    result = benchmark('emo_1m', 'emo_1m@deployed', *SMALL, '--train',
                       '--batch-sizes', 2)
    head, _, eager, deployed, note = result.stdout.splitlines()
    assert cells(head) == [
        'model', 'batch', 'images/s', 'ratio', 'memory (MiB)'
    ]
    assert cells(eager)[:2] == ['emo_1m', '2']
    assert cells(deployed) == ['emo_1m@deployed [1]', '2', '', '', '']
    assert note == '[1] deployed cannot train'


def test_stages_against_the_roofline(benchmark):
    pytest.importorskip('mmpretrain')
    result = benchmark('emo_1m@deployed', *SMALL, '--stages', '--batch-sizes',
                       1, '--json')
    report = json.loads(result.stdout)
    assert report['machine']['peak'] > report['machine']['bandwidth'] > 1e8
    assert [row['stage'] for row in report['stages']] == [0, 1, 2, 3, 4]
    for row in report['stages']:
        assert 0 < row['least_seconds'] < row['seconds']
    # The stem at 64 x 64: a convolution of 3 to 24 channels, 3 x 3, and its
    # block of depth-wise 3 x 3, squeeze-and-excite and 24 x 24, on 32 x 32.
    macs = 32 * 32 * 24 * (27 + 9 + 24) + 2 * 24 * 24
    assert report['stages'][0]['flops'] == pytest.approx(2 * macs, rel=0.05)


def test_costs_and_plot(tmp_path):
    """By the earlier name of the command, with its options."""
    pytest.importorskip('mmpretrain')
    plot = tmp_path / 'plot.png'
    command = [
        sys.executable, FOLDER / 'compare.py', 'emo_1m', 'MobileNetV3-L-0.50',
        '--batch-size', 1, '--repeats', 1, '--shape', 64, 64, '--plot', plot
    ]
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True)
    header, _, ours, peer, note = result.stdout.splitlines()
    assert cells(header)[0] == 'model'
    assert cells(ours)[:4] == ['emo_1m', '64x64', '1.361', '1.361']
    assert cells(peer)[:4] == ['MobileNetV3-L-0.50 [1]', '64x64', '', '2.6']
    assert note == '[1] not built: neither mmpretrain nor timm provides it'
    assert plot.read_bytes().startswith(b'\x89PNG')


def test_list_builds_nothing(benchmark):
    rows = json.loads(benchmark('--list', '--json').stdout)
    assert [row['model'] for row in rows] == [peer.name for peer in PEERS]
    assert all(row['params'] is None for row in rows)


def test_plot_alone(benchmark, tmp_path):
    result = benchmark('--plot-accuracy', 'plot.png')
    assert result.stdout == ''
    assert (tmp_path / 'plot.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize('args, message', [
    (('emo_1m@fast', ), "'fast' is no mode (eager, reference, deployed"),
    (('emo_1m@literal', ), "'literal' is called 'reference' now."),
    (('emo_1m', '--baseline', 'emo_2m'), "baseline='emo_2m' is none of"),
    (('no_such_network', ), "model='no_such_network'"),
    (('emo_1m@reference', '--stages'), '--stages takes eager and deployed'),
    (('MobileNetV3-L-0.50', '--stages'), '--stages takes eager and deployed'),
    (('emo_1m', '--batch-size', 0), '--batch-size=0 must be at least 1'),
    (('emo_1m', '--repeats', 0), '--repeats=0 must be at least 1'),
    (('emo_1m', '--threads', 0), '--threads=0 must be at least 1'),
    (('emo_1m', '--shape', 0, 5), '--shape=[0, 5] must be at least 1 1'),
    ((), 'name a MODEL, or give --list'),
])
def test_bad_arguments(benchmark, args, message):
    pytest.importorskip('mmpretrain')
    result = benchmark(*args)
    assert result.returncode != 0 and message in result.stderr
