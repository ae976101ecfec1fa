"""Records of a run: losses, learning rate and metrics, one in each line.

mmengine's ``LocalVisBackend`` writes them to ``vis_data/scalars.json``, and
:class:`emo_mm.engine.CurvesHook` to ``curves.json``.
"""
import json
import math
from collections import defaultdict
from pathlib import Path

# Where CurvesHook keeps its records, in the work folder.
RECORDS = 'curves.json'

# What is logged besides losses, the learning rate and metrics.
_PROGRESS = {'step', 'time', 'data_time', 'iter', 'epoch'}

# Steps, and a value for each.
Curve = tuple[list[float], list[float]]


def read_scalars(path: Path) -> list[dict]:
    """Read the records of a run, one JSON object in each line.

    A line that was cut, as by a run that was killed, is left out.
    """
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return [record for record in records if isinstance(record, dict)]


def is_rate(name: str) -> bool:
    """Tell whether a scalar is a learning rate, of one or more optimizers."""
    return name.split('.')[-1] == 'lr'


def as_number(value) -> float | None:
    """Return what any scalar of Python, numpy or torch is, else None."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def metrics_of(record: dict) -> dict[str, float]:
    """Return the metrics of a validation's record, none of a training's."""
    if any(is_rate(name) for name in record):
        return {}
    return {key: record[key] for key in record if key not in _PROGRESS}


def curves_of(records: list[dict]) -> dict[str, Curve]:
    """Return steps and values of each loss, learning rate and metric."""
    curves: dict[str, Curve] = defaultdict(lambda: ([], []))
    for record in records:
        for name, value in record.items():
            wanted = ('loss' in name or name == 'lr'
                      or name in metrics_of(record))
            # Losses of a validation go beside those of the training.
            step = record.get('iter' if name.startswith('val/') else 'step')
            if step is not None and wanted and _is_finite(value):
                curves[name][0].append(step)
                curves[name][1].append(value)
    return dict(curves)


def _is_finite(value) -> bool:
    # COCO's metric is -1 where there is nothing to find.
    return (isinstance(value, (int, float)) and math.isfinite(value)
            and value != -1)
