"""Imports inside the package point in one direction.

Each statement counts, also one inside a function: a lazy import hides an
arrow, it does not turn it.
"""
import graphlib
from collections.abc import Iterator
from pathlib import Path

from tests.helpers import ROOT
from tests.imports import imports, modules

# From the lowest layer to the highest. What stands together in one layer does
# not import each other.
LAYERS = (
    {'models', 'libraries', 'cli', 'random_state'},
    {'inference', 'apis'},
    {'emo_mm'},  # emo_mm/__init__.py
    {'checks'},
    {'datasets'},
    {'visualization'},
    {'engine'},
    {'deployment'},
    {'analysis'},
    {'tools'},
)
RANK = {unit: rank for rank, units in enumerate(LAYERS) for unit in units}
# It imports nothing of ours, and nothing but emo_mm/__init__.py imports it.
APART = 'compat'
# This file is copied to devices without the package.
ALONE = 'emo_mm.deployment.infer'


def arrows(root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield importing module, imported module, and 'file:line' of each."""
    files = modules(root)
    for name, path in files.items():
        for line, target, _ in imports(name, path):
            while target and target not in files:
                target = target.rpartition('.')[0]
            if target and target != name:
                yield name, target, f'{path.relative_to(root)}:{line}'


def unit(module: str) -> str:
    """Return the part of the project that has a place in LAYERS."""
    first, *rest = module.split('.')
    return rest[0] if first == 'emo_mm' and rest else first


def is_allowed(source: str, target: str) -> bool:
    source_unit, target_unit = unit(source), unit(target)
    if source == ALONE:
        return False
    if source_unit == target_unit:
        return True
    if target_unit == APART:
        return source == 'emo_mm'
    return source_unit != APART and RANK[target_unit] < RANK[source_unit]


def offenders(root: Path) -> list[str]:
    return [
        f'{place}: {source} -> {target}'
        for source, target, place in arrows(root)
        if not is_allowed(source, target)
    ]


def cycle(root: Path) -> list[str]:
    """Return the arrows of a cycle between modules, or an empty list."""
    places: dict[tuple[str, str], str] = {}
    graph: dict[str, set[str]] = {}
    for source, target, place in arrows(root):
        places.setdefault((source, target), place)
        graph.setdefault(source, set()).add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        path = error.args[1][::-1]  # each imports the next
        return [
            f'{places[pair]}: {" -> ".join(pair)}'
            for pair in zip(path, path[1:])
        ]
    return []


def test_each_part_has_its_layer():
    parts = {unit(name) for name in modules(ROOT)} - {APART}
    assert parts == set(RANK)


def test_imports_point_to_lower_layers():
    found = offenders(ROOT)
    assert not found, '\n'.join(['Imports that point upwards:', *found])


def test_no_cycle():
    found = cycle(ROOT)
    assert not found, '\n'.join(['Modules that import each other:', *found])


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_an_offending_arrow_is_found(tmp_path):
    write(
        tmp_path, {
            'emo_mm/__init__.py': 'from . import compat, models\n',
            'emo_mm/compat/__init__.py': 'import emo_mm.models\n',
            'emo_mm/models/__init__.py': 'from .emo import EMO\n',
            'emo_mm/models/emo.py': 'def f():\n    from ..inference import x',
            'emo_mm/inference/__init__.py':
            'from emo_mm.models import EMO\nimport emo_mm.compat as c\n',
            'emo_mm/deployment/infer.py': 'from ..models import emo\n',
            'tools/train.py': 'import emo_mm.models.emo\n',
        })
    assert offenders(tmp_path) == [
        'emo_mm/compat/__init__.py:1: emo_mm.compat -> emo_mm.models',
        'emo_mm/deployment/infer.py:1: emo_mm.deployment.infer -> '
        'emo_mm.models.emo',
        'emo_mm/inference/__init__.py:2: emo_mm.inference -> emo_mm.compat',
        'emo_mm/models/emo.py:2: emo_mm.models.emo -> emo_mm.inference',
    ]


def test_a_cycle_is_found(tmp_path):
    write(
        tmp_path, {
            'emo_mm/models/a.py': 'from . import b\n',
            'emo_mm/models/b.py': 'def f():\n    from .a import g\n',
        })
    assert sorted(cycle(tmp_path)) == [
        'emo_mm/models/a.py:1: emo_mm.models.a -> emo_mm.models.b',
        'emo_mm/models/b.py:2: emo_mm.models.b -> emo_mm.models.a',
    ]
