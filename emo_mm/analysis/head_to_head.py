"""Train several configs with several seeds, and compare the results."""
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from emo_mm.apis import build_model
from emo_mm.engine.launch import library_tool
from emo_mm.engine.scalars import RECORDS, metrics_of, read_scalars

from .costs import count_params

RESULT = 'result.json'


def run_all(configs: Sequence[Path],
            seeds: Sequence[int],
            work_dir: Path,
            options: Sequence[str] = ()) -> list[dict]:
    """Train every config with every seed, one after another.

    A run that has finished is not repeated, and one that was interrupted is
    resumed from its last checkpoint. All configs run with the first seed
    before any runs with the second.

    Args:
        configs (Sequence[Path]): Of mmdet, mmseg or mmpretrain.
        seeds (Sequence[int]): Values of ``randomness.seed``.
        work_dir (Path): Gets a folder ``CONFIG/seed_SEED`` for each run.
        options (Sequence[str]): KEY=VALUE settings that replace those of
            every config.

    Returns:
        list[dict]: ``config``, ``seed``, ``params`` and ``metrics`` (of the
        last epoch) of each run.

    Raises:
        RuntimeError: If a training fails, or reports no metrics.
        ValueError: If a finished run had other settings, or a config has no
            validation.
    """
    for config in configs:
        _check_reports(config)
    results = []
    for seed in seeds:
        for config in configs:
            folder = work_dir / config.stem / f'seed_{seed}'
            results.append(_run(config, seed, folder, list(options)))
    return results


def _check_reports(config: Path) -> None:
    """Raise a ValueError where there will be nothing to compare."""
    cfg = Config.fromfile(config)
    missing = [
        field for field in ('val_cfg', 'val_dataloader', 'val_evaluator')
        if cfg.get(field) is None
    ]
    if missing:
        raise ValueError(f'{config} has {" and ".join(missing)}=None: '
                         'without a validation there is nothing to compare.')
    if not _keeps_curves(cfg) and 'LocalVisBackend' not in str(
            cfg.get('visualizer')):
        raise ValueError(f'{config} has default_hooks.curves=None and no '
                         'LocalVisBackend among visualizer.vis_backends, so '
                         'that no metrics are kept. Leave one of them in.')


def _keeps_curves(cfg: Config) -> bool:
    return (cfg.get('default_hooks') or {}).get('curves', {}) is not None


def _run(config: Path, seed: int, folder: Path, options: list[str]) -> dict:
    cfg = Config.fromfile(config)
    settings = dict(cfg=cfg.pretty_text, options=options)
    result_file = folder / RESULT
    if result_file.is_file():
        result = json.loads(result_file.read_text())
        if result.pop('settings') != settings:
            raise ValueError(f'{folder} holds the result of other settings. '
                             'Choose another --work-dir, or delete it.')
        if result['metrics']:
            return result
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / 'output.txt'
    with open(log, 'a') as output:
        code = subprocess.run(
            [
                sys.executable,
                str(library_tool(config, 'train')),
                str(config),
                '--work-dir',
                str(folder),
                '--resume',
                '--cfg-options',
                f'randomness.seed={seed}',
                *options,
                # It keeps the metrics, whatever the visualizer writes.
                *(['default_hooks.curves.type=CurvesHook']
                  if _keeps_curves(cfg) else [])
            ],
            stdout=output,
            stderr=subprocess.STDOUT).returncode
    if code:
        raise RuntimeError(f'{config.stem} with seed {seed} failed: see {log}')
    metrics = _last_metrics(folder)
    if not metrics:
        raise RuntimeError(
            f'{config.stem} with seed {seed} reported no metrics: is its '
            f'train_cfg.val_interval longer than the training? See {log}')
    result = dict(
        config=config.stem,
        seed=seed,
        params=count_params(build_model(cfg)),
        metrics=metrics)
    result_file.write_text(json.dumps(dict(result, settings=settings)))
    return result


def _last_metrics(folder: Path) -> dict[str, float]:
    """Return the metrics of the last validation, as they were kept.

    Runs of older versions have those of mmengine's LocalVisBackend alone.
    """
    metrics: dict[str, float] = {}
    paths = sorted(folder.glob('*/vis_data/scalars.json'))
    if (folder / RECORDS).is_file():
        paths = [folder / RECORDS]
    for path in paths:
        for record in read_scalars(path):
            metrics = metrics_of(record) or metrics
    return metrics


def summarize(results: list[dict], metric: str = '') -> tuple[str, list[dict]]:
    """Return mean and standard deviation over the seeds.

    Args:
        results (list[dict]): As :func:`run_all` returns them.
        metric (str): Name of the metric. Defaults to '', the first that the
            runs report.

    Returns:
        tuple[str, list[dict]]: The metric, and ``config``, ``params``,
        ``mean``, ``std`` (None for one seed) and ``values`` for each config.

    Raises:
        ValueError: If a run does not report the metric.
    """
    if not results[0]['metrics']:
        raise ValueError(f'{results[0]["config"]} reported no metrics.')
    metric = metric or next(iter(results[0]['metrics']))
    rows: dict[str, dict] = {}
    for result in results:
        if metric not in result['metrics']:
            raise ValueError(f'--metric={metric!r} is none of '
                             f'{", ".join(result["metrics"])}.')
        row = rows.setdefault(
            result['config'],
            dict(config=result['config'], params=result['params'], values=[]))
        row['values'].append(result['metrics'][metric])
    for row in rows.values():
        values = row['values']
        row['mean'] = statistics.mean(values)
        row['std'] = statistics.stdev(values) if len(values) > 1 else None
    return metric, list(rows.values())
