"""Check the fields of a config that this package's own classes read.

What Python would say of them, "got an unexpected keyword argument" or an
error of arithmetic deep inside, names neither the field nor the remedy.
"""
import collections.abc
import difflib
import inspect
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin, get_type_hints

from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    MODELS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
)

_REGISTRIES = (MODELS, DATASETS, TRANSFORMS, DATA_SAMPLERS, PARAM_SCHEDULERS,
               HOOKS)
# What mmengine adds, and what its registries take.
_GIVEN = {'optimizer', 'end', 'sampler', 'batch_size'}
_OF_REGISTRY = {'type', '_scope_', 'convert_to_iter_based'}
_NAMES = {
    int: 'an int',
    float: 'a number',
    bool: 'True or False',
    str: 'a text',
    dict: 'a dict',
    types.NoneType: 'None',
}


def check_fields(cfg: dict) -> None:
    """Check names and types of the fields of this package's classes.

    Args:
        cfg (dict): The run's config.

    Raises:
        ValueError: If a field is unknown, missing or of another type.
    """
    own = {
        name: kind
        for registry in _REGISTRIES
        for name, kind in registry.module_dict.items()
        if getattr(kind, '__module__', '').startswith('emo_mm.')
    }
    # A Config is no dict.
    for field, settings in _find_typed(dict(cfg.items()), ''):
        kind = settings['type']
        if isinstance(kind, str):
            kind = own.get(kind.rpartition('.')[2])
        if kind in own.values():
            check_arguments(field, settings, kind)


def check_arguments(field: str, settings: dict, kind: type) -> None:
    """Check one config against the arguments of its class."""
    known, hints, takes_others = _parameters(kind)
    for name, value in settings.items():
        if name in _OF_REGISTRY:
            continue
        if name not in known:
            if takes_others:
                continue
            near = difflib.get_close_matches(name, known, 1)
            meant = f' Did you mean {near[0]}?' if near else ''
            raise ValueError(
                f'{field}.{name}={value!r}: {kind.__name__} has no such '
                f'field.{meant} It has {", ".join(known)}.')
        hint = hints.get(name, Any)
        if not _fits(value, hint):
            raise ValueError(f'{field}.{name}={value!r} must be '
                             f'{_describe(hint)}{_default(known[name])}.')
    missing = [
        name for name, parameter in known.items()
        if parameter.default is parameter.empty
        and name not in {*settings, *_GIVEN}
    ]
    if missing:
        raise ValueError(f'{field} has no {" and no ".join(missing)}, which '
                         f'{kind.__name__} needs.')


def _find_typed(value: Any, field: str) -> Iterator[tuple[str, dict]]:
    """Yield field and dict of what a registry builds, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get('type'), (str, type)):
            yield field, value
        items = list(value.items())
    elif isinstance(value, (list, tuple)):
        items = list(enumerate(value))
    else:
        return
    for key, child in items:
        yield from _find_typed(child, f'{field}.{key}' if field else str(key))


def _parameters(kind: type) -> tuple[dict, dict, bool]:
    """Return the parameters of a class, their types, and if it takes others.

    ``**kwargs`` are taken to be those of the class that it is derived from,
    if that is one of ours or a schedule of mmengine.
    """
    known: dict[str, inspect.Parameter] = {}
    hints: dict[str, Any] = {}
    for base in kind.__mro__:
        if '__init__' not in vars(base):
            continue
        if known and not base.__module__.startswith(
            ('emo_mm.', 'mmengine.optim')):
            return known, hints, True
        signature = inspect.signature(base.__init__)  # type: ignore[misc]
        parameters = list(signature.parameters.values())[1:]
        own_hints = get_type_hints(base.__init__)  # type: ignore[misc]
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_KEYWORD,
                                      parameter.VAR_POSITIONAL):
                known.setdefault(parameter.name, parameter)
                if parameter.name in own_hints:
                    hints.setdefault(parameter.name, own_hints[parameter.name])
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            return known, hints, False
    return known, hints, True


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a value is of a type; of one that is not known it is."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, arg) for arg in args)
    if origin in (collections.abc.Sequence, list, tuple):
        return (isinstance(value, (list, tuple, range))
                and all(_fits(item, args[0]) for item in value))
    if hint is bool:
        return isinstance(value, bool) or value in (0, 1)
    if hint in (int, float):
        kinds = (int, ) if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    if hint in _NAMES:
        return isinstance(value, hint)
    return True


def _describe(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return ' or '.join(map(_describe, args))
    if origin in (collections.abc.Sequence, list, tuple):
        return f'a list, each of it {_describe(args[0])}'
    return _NAMES.get(hint, getattr(hint, '__name__', str(hint)))


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default in (parameter.empty, None):
        return ''
    return f', such as {parameter.default!r}'
