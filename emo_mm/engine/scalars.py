"""What mmengine's ``LocalVisBackend`` logs to ``vis_data/scalars.json``."""
import json
import math
from collections import defaultdict
from pathlib import Path

# What is logged besides losses, the learning rate and metrics.
_PROGRESS = {'step', 'time', 'data_time', 'iter', 'epoch'}

# Steps, and a value for each.
Curve = tuple[list[float], list[float]]


def read_scalars(path: Path) -> list[dict]:
    """Read the records of a run, one JSON object in each line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def metrics_of(record: dict) -> dict[str, float]:
    """Return the metrics of a validation's record, none of a training's."""
    if 'lr' in record:
        return {}
    return {key: record[key] for key in record if key not in _PROGRESS}


def curves_of(records: list[dict]) -> dict[str, Curve]:
    """Return steps and values of each loss, learning rate and metric."""
    curves: dict[str, Curve] = defaultdict(lambda: ([], []))
    for record in records:
        for name, value in record.items():
            wanted = ('loss' in name or name == 'lr'
                      or name in metrics_of(record))
            if 'step' in record and wanted and _is_finite(value):
                curves[name][0].append(record['step'])
                curves[name][1].append(value)
    return dict(curves)


def _is_finite(value) -> bool:
    # COCO's metric is -1 where there is nothing to find.
    return (isinstance(value, (int, float)) and math.isfinite(value)
            and value != -1)
