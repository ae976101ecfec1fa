"""Several configs and seeds, one table."""
import json
import subprocess
import sys

import pytest

from emo_mm.analysis import head_to_head
from emo_mm.analysis.head_to_head import run_all, summarize
from emo_mm.engine.scalars import RECORDS
from tests.helpers import ROOT

TOOL = ROOT / 'tools/misc/head_to_head.py'
# A trainer that counts its starts, and fails where it is told to.
TRAINER = """
import json, sys
from pathlib import Path
args = sys.argv[1:]
folder = Path(args[args.index('--work-dir') + 1])
options = args[args.index('--cfg-options') + 1:]
options = dict(option.split('=') for option in options)
starts = folder / 'starts'
starts.write_text(starts.read_text() + '.' if starts.exists() else '.')
if 'fail' in options:
    sys.exit('broken')
if 'silent' in options:
    sys.exit()
assert '--resume' in args
seed = int(options['randomness.seed'])
out = folder / 'time' / 'vis_data'
out.mkdir(parents=True, exist_ok=True)
records = [dict(lr=0.1, loss=2.0), {'accuracy/top1': 1.0, 'step': 1},
           {'accuracy/top1': 50.0 + seed, 'data_time': 1.0, 'step': 2}]
(out / 'scalars.json').write_text('\\n'.join(map(json.dumps, records)))
"""


@pytest.fixture
def configs(tmp_path, monkeypatch):
    pytest.importorskip('mmpretrain')
    trainer = tmp_path / 'trainer.py'
    trainer.write_text(TRAINER)
    monkeypatch.setattr(head_to_head, 'library_tool', lambda *_: trainer)
    return [
        ROOT / f'configs/mmpretrain/head_to_head/signdigits_{name}.py'
        for name in ('emo_1m', 'mobilenetv2_075')
    ]


def starts(folder):
    return {
        f'{path.parent.parent.name}/{path.parent.name}': len(path.read_text())
        for path in folder.glob('*/*/starts')
    }


def test_runs_of_all_seeds(configs, tmp_path):
    results = run_all(configs, [3, 4], tmp_path)
    assert [(r['config'], r['seed'])
            for r in results] == [('signdigits_emo_1m', 3),
                                  ('signdigits_mobilenetv2_075', 3),
                                  ('signdigits_emo_1m', 4),
                                  ('signdigits_mobilenetv2_075', 4)]
    assert results[2]['metrics'] == {'accuracy/top1': 54.0}
    metric, rows = summarize(results)
    assert metric == 'accuracy/top1'
    assert rows[0] == dict(
        config='signdigits_emo_1m',
        params=1193858,
        values=[53, 54],
        mean=53.5,
        std=pytest.approx(0.5**0.5))


def test_finished_runs_are_not_repeated(configs, tmp_path):
    first = run_all(configs[:1], [0], tmp_path)
    both = run_all(configs[:1], [0, 1], tmp_path)
    assert both[0] == first[0]
    assert starts(tmp_path) == {
        'signdigits_emo_1m/seed_0': 1,
        'signdigits_emo_1m/seed_1': 1
    }


def test_a_failed_run_names_its_log_and_is_taken_up_again(configs, tmp_path):
    with pytest.raises(RuntimeError, match='seed 0 failed: see .*output.txt'):
        run_all(configs[:1], [0], tmp_path, ['fail=1'])
    log = tmp_path / 'signdigits_emo_1m/seed_0/output.txt'
    assert log.read_text() == 'broken\n'
    run_all(configs[:1], [0], tmp_path)
    assert starts(tmp_path) == {'signdigits_emo_1m/seed_0': 2}


def test_results_of_other_settings_are_not_taken(configs, tmp_path):
    run_all(configs[:1], [0], tmp_path)
    with pytest.raises(ValueError, match='result of other settings'):
        run_all(configs[:1], [0], tmp_path, ['train_cfg.max_epochs=2'])


def test_metrics_need_no_backend(configs, tmp_path):
    """CurvesHook keeps them."""
    folder = tmp_path / 'signdigits_emo_1m/seed_0'
    folder.mkdir(parents=True)
    (folder / RECORDS).write_text(
        '{"lr": 1, "loss": 2, "step": 1}\n'
        '{"accuracy/top1": 7.0, "step": 1, "iter": 1}\n')
    result, = run_all(configs[:1], [0], tmp_path)
    assert result['metrics'] == {'accuracy/top1': 7.0}


def test_runs_without_metrics_are_no_results(configs, tmp_path):
    with pytest.raises(RuntimeError, match='reported no metrics: .*val_inter'):
        run_all(configs[:1], [0], tmp_path, ['silent=1'])
    result = tmp_path / 'signdigits_emo_1m/seed_0/result.json'
    assert not result.exists()
    # One that an older version kept is not taken.
    run_all(configs[:1], [0], tmp_path)
    content = json.loads(result.read_text())
    result.write_text(json.dumps(dict(content, metrics={})))
    again, = run_all(configs[:1], [0], tmp_path)
    assert again['metrics'] == content['metrics']
    with pytest.raises(ValueError, match='a reported no metrics'):
        summarize([dict(config='a', seed=0, params=2, metrics={})])


def test_configs_that_report_nothing_are_not_trained(configs, tmp_path):
    base = f"_base_ = '{configs[0]}'\n"
    for text, field in (('val_cfg = val_dataloader = val_evaluator = None',
                         'val_cfg and val'),
                        ('default_hooks = dict(curves=None)\n'
                         'visualizer = dict(vis_backends=[])',
                         'default_hooks.curves=None')):
        config = tmp_path / 'mine.py'
        config.write_text(base + text)
        with pytest.raises(ValueError, match=field):
            run_all([config], [0], tmp_path)
    assert not starts(tmp_path)


def test_table():
    results = [
        dict(config='a', seed=0, params=2, metrics=dict(x=1., y=3.)),
        dict(config='b', seed=0, params=4, metrics=dict(x=2., y=5.))
    ]
    metric, rows = summarize(results, 'y')
    assert [(row['config'], row['mean'], row['std'])
            for row in rows] == [('a', 3, None), ('b', 5, None)]
    with pytest.raises(ValueError, match="--metric='z' is none of x, y"):
        summarize(results, 'z')


@pytest.mark.parametrize('name', ['emo_1m', 'edgenext_xxs', 'mobilevit_xxs'])
def test_same_data_recipe_and_budget(configs, name):
    from mmengine.config import Config
    one, other = (
        Config.fromfile(path).to_dict()
        for path in (configs[1],
                     configs[1].with_name(f'signdigits_{name}.py')))
    for cfg in (one, other):
        for key in ('backbone', 'neck'):
            cfg['model'].pop(key)
        cfg['model']['head'].pop('in_channels')
    assert one == other


def test_command_trains_in_earnest(tmp_path):
    """Two tiny epochs of photos that are not there but drawn."""
    pytest.importorskip('mmpretrain')
    from PIL import Image
    root = tmp_path / 'data/signdigits'
    (root / 'meta').mkdir(parents=True)
    for split in ('train', 'val'):
        names = [f'{split}_{i}.png' for i in range(4)]
        for i, name in enumerate(names):
            Image.new('RGB', (32, 32), (60 * i, 0, 0)).save(root / name)
        (root / f'meta/{split}.txt').write_text('\n'.join(
            f'{name} {i}' for i, name in enumerate(names)))
    loaders = [
        f'{loop}_dataloader.{option}' for loop in ('train', 'val')
        for option in ('batch_size=2', 'num_workers=0',
                       'persistent_workers=False')
    ]
    result = subprocess.run([
        sys.executable, TOOL, 'signdigits_mobilenetv2_075', '--seeds', '5',
        '--work-dir', 'out', '--cfg-options', 'train_cfg.max_epochs=2',
        'train_cfg.val_interval=1', *loaders
    ],
                            cwd=tmp_path,
                            capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stderr
    header, _, row = result.stdout.splitlines()
    assert 'accuracy/top1' in header and '1.37 M' in row
    assert (tmp_path / 'out/table.md').read_text() == result.stdout
    content = json.loads(
        (tmp_path /
         'out/signdigits_mobilenetv2_075/seed_5/result.json').read_text())
    assert 0 <= content['metrics']['accuracy/top1'] <= 100
