"""Let mmpretrain be imported beside a newer transformers.

Affects: mmpretrain <=1.2.0, onedl-mmpretrain <=1.3.6
Beside: transformers that lacks names which the multimodal models import:
    for mmpretrain seen with 4.57.3 and 5.1.0, for onedl-mmpretrain with 5.1.0
Symptom: importing ``mmpretrain.models`` ends in ``TypeError: NoneType takes
    no arguments``: the multimodal models derive from names that are None where
    importing them failed. LiteRT's converter installs transformers.
Upstream: no report known.
Ended by: a release of mmpretrain whose multimodal models work with it.
"""
import ast
from importlib.util import find_spec
from pathlib import Path

from .registry import Library, Patch

# The first module to fail, relative to mmpretrain's ``utils/dependency.py``.
MODEL = '../models/multimodal/blip/language_model.py'


def _missing_names(code: str, transformers: Path) -> list[str]:
    """List what code imports of transformers and its source does not have.

    Args:
        code: Source of a module of mmpretrain.
        transformers: Folder of the package, which is read and not imported:
            that would take seconds.
    """
    missing = []
    for node in ast.walk(ast.parse(code)):
        module = getattr(node, 'module', None) or ''
        if isinstance(node,
                      ast.ImportFrom) and module.startswith('transformers.'):
            path = transformers.joinpath(*module.split('.')[1:])
            if path.is_dir():
                path = path / '__init__'
            path = path.with_suffix('.py')
            text = path.read_text(encoding='utf-8') if path.exists() else ''
            missing += [x.name for x in node.names if x.name not in text]
    return missing


def is_faulty(dependency: Library) -> bool:
    """Look for the names that a multimodal model imports."""
    spec = find_spec('transformers')
    if not dependency.WITH_MULTIMODAL or spec is None or not spec.origin:
        return False
    model = Path(str(dependency.__file__)).parent / MODEL
    # Imports stand before the first class.
    code = model.read_text(encoding='utf-8').split('\nclass ')[0]
    return bool(_missing_names(code, Path(spec.origin).parent))


def apply(dependency: Library) -> None:
    """Leave those models out, as where transformers is not installed."""
    dependency.WITH_MULTIMODAL = False


PATCH = Patch(
    name='mmpretrain_transformers',
    affects={
        'mmpretrain': '<=1.2.0',
        'onedl-mmpretrain': '<=1.3.6'
    },
    module='mmpretrain.utils.dependency',
    is_faulty=is_faulty,
    apply=apply)
