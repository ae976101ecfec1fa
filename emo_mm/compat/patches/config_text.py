"""Whether the text of a config, as a checkpoint holds one, is a plain config.

A config is a program. mmengine runs the one that it finds in a checkpoint
where a run is resumed, or an inferencer is given no other. It wrote the text
from values, so that a sound one assigns values and does nothing else.
"""
import ast
import builtins
import re

# What values are written with.
CALLED = {
    'bool', 'complex', 'dict', 'float', 'frozenset', 'int', 'list', 'range',
    'set', 'slice', 'str', 'tuple'
}
STATEMENTS = (ast.Assign, ast.AnnAssign, ast.Expr)
REFUSED = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp,
           ast.GeneratorExp, ast.NamedExpr, ast.JoinedStr, ast.Await,
           ast.Yield, ast.YieldFrom)
# What mmengine replaces before it runs the text, by text that is not checked.
TEMPLATE = re.compile(r'\{\{\s*(?:\$|_base_).*')


def find_code(text: str) -> str | None:
    """Return the first code that is more than values, or None.

    A name that the text does not define is no such code, as running it ends
    in an error. Neither is a text that is no Python.
    """
    template = TEMPLATE.search(text)
    if template:
        return template[0]
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    names = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    known = names | set(dir(builtins))
    for statement in tree.body:
        for node in ast.walk(statement):
            if _is_code(node, known):
                return ast.get_source_segment(text, node)
        if not isinstance(statement, STATEMENTS):
            return ast.get_source_segment(text, statement)
    return None


def _is_code(node: ast.AST, known: set[str]) -> bool:
    if isinstance(node, ast.Call):
        name = getattr(node.func, 'id', None)
        return name is None or name in known - CALLED
    if isinstance(node, ast.Attribute):
        name = getattr(node.value, 'id', None)
        return name is None or name in known
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Store):
            return node.id == '_base_'  # the path of another config
        return node.id.startswith('__') or (hasattr(builtins, node.id)
                                            and node.id not in CALLED)
    return isinstance(node, REFUSED)
