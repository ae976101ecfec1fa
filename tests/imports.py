"""The import statements of the package and its tools, from their syntax."""
import ast
from collections.abc import Iterator
from pathlib import Path


def modules(root: Path) -> dict[str, Path]:
    """Return the file of each module in ``emo_mm`` and ``tools``."""
    return {
        name_of(path.relative_to(root)): path
        for folder in ('emo_mm', 'tools')
        for path in sorted((root / folder).rglob('*.py'))
        if '.mim' not in path.parts
    }


def name_of(path: Path) -> str:
    """Return the module that a file relative to the root defines."""
    parts = path.with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports(name: str, path: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield what a module imports, in functions and TYPE_CHECKING as well.

    Yields:
        tuple[int, str, bool]: The line; the absolute dotted name, which may
        end with a name inside of the module that is imported; whether the
        statement runs when the module is imported.
    """
    tree = ast.parse(path.read_text(encoding='utf-8'), str(path))
    at_import = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                drop = node.level - (path.name == '__init__.py')
                package = name.split('.')[:-drop or None]
                base = '.'.join([*package, base]).rstrip('.')
            targets = [f'{base}.{alias.name}' for alias in node.names]
        else:
            continue
        for target in targets:
            yield node.lineno, target, id(node) in at_import
