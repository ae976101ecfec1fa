import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/benchmark.py'
SMALL = ('--shape', '64', '64', '--repeats', '2')


def run(folder, *args):
    return subprocess.run([sys.executable, TOOL, *args],
                          cwd=folder,
                          capture_output=True,
                          text=True)


def test_modes_side_by_side(tmp_path):
    pytest.importorskip('mmpretrain')
    models = ['emo_1m@literal', 'emo_1m', 'emo_1m@deployed@bfloat16']
    result = run(tmp_path, *models, 'emo_1m@cudagraph', *SMALL,
                 '--batch-sizes', '1', '2', '--json', '--plot', 'plot.png')
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


def test_training_step(tmp_path):
    pytest.importorskip('mmpretrain')
    result = run(tmp_path, 'emo_1m', 'emo_1m@deployed', *SMALL, '--train',
                 '--batch-sizes', '2')
    assert '| emo_1m  | 2 ' in result.stdout
    assert 'emo_1m@deployed: deployed cannot train' in result.stdout


def test_stages_against_the_limit(tmp_path):
    pytest.importorskip('mmpretrain')
    result = run(tmp_path, 'emo_1m@deployed', *SMALL, '--stages',
                 '--batch-sizes', '1', '--json')
    report = json.loads(result.stdout)
    assert report['machine']['flops'] > report['machine']['bandwidth'] > 1e8
    assert [row['stage'] for row in report['stages']] == [0, 1, 2, 3, 4]
    for row in report['stages']:
        assert 0 < row['least_seconds'] < row['seconds']
    # The stem at 64 x 64: a convolution of 3 to 24 channels, 3 x 3, and its
    # block of depth-wise 3 x 3, squeeze-and-excite and 24 x 24, on 32 x 32.
    macs = 32 * 32 * 24 * (27 + 9 + 24) + 2 * 24 * 24
    assert report['stages'][0]['flops'] == pytest.approx(2 * macs, rel=0.05)


@pytest.mark.parametrize('args, message', [
    (('emo_1m@fast', ), "'fast' is no mode (eager, literal, deployed"),
    (('emo_1m', '--baseline', 'emo_2m'), "baseline='emo_2m' is none of"),
    (('no_such_network', ), "model='no_such_network'"),
    (('emo_1m@literal', '--stages'), '--stages takes eager and deployed'),
])
def test_bad_arguments(tmp_path, args, message):
    pytest.importorskip('mmpretrain')
    result = run(tmp_path, *args)
    assert result.returncode != 0 and message in result.stderr
