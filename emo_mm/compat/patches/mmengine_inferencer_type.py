"""Let an inferencer build from a checkpoint's config what is registered alone.

Affects: mmengine <=0.10.7, onedl-mmengine <=0.10.12
Symptom: an inferencer that is given a checkpoint and no config, as
    ``DetInferencer(weights='a.pth')``, builds what the config in that file
    names. A registry finds a ``type`` that it does not have as
    ``package.module.name``, and so calls any function that is installed: with
    ``type='builtins.open'`` a crafted file writes files.
Upstream: no report is known.
Ended by: a release whose registries find registered objects alone.
"""
import pickle
import sys
from collections.abc import Iterator
from typing import Any

import wrapt
from mmengine.registry import Registry

from .registry import Library, Patch, replaced


def _registered(registry: Registry) -> Iterator[Any]:
    yield from registry.module_dict.values()
    for child in registry.children.values():
        yield from _registered(child)


def _find_registered(wrapped, refused: list[str]):
    """Return the function of a registry that finds what it does not have."""
    import mmengine.registry
    roots = [
        one for one in vars(mmengine.registry).values()
        if isinstance(one, Registry)
    ]

    def find(name: str) -> Any:
        # Importing a module of a library registers what is in it.
        if name.partition('.')[0] not in sys.stdlib_module_names:
            found = wrapped(name)
            if any(
                    found is one for root in roots
                    for one in _registered(root)):
                return found
            if found is None:  # There is none.
                return None
        refused.append(name)
        raise ValueError(f'{name} is not registered')

    return find


def _init(wrapped, instance, args, kwargs):
    from mmengine.registry import registry

    def init(model=None, weights=None, *args, **kwargs):
        if model is not None:
            return wrapped(model, weights, *args, **kwargs)
        refused: list[str] = []
        find = _find_registered(registry.get_object_from_string, refused)
        try:
            with replaced(registry, get_object_from_string=find):
                return wrapped(model, weights, *args, **kwargs)
        except Exception as error:
            if not refused:
                raise
            raise pickle.UnpicklingError(
                f'weights={weights!r} was not loaded: its config names '
                f'type={refused[0]!r}, which no registry has and which could '
                'run code. If you trust the file, give its config: model=…'
            ) from error

    return init(*args, **kwargs)


def is_faulty(infer: Library) -> bool:
    """Have an inferencer without a config look for a function."""
    found: list = []

    class Inferencer(infer.BaseInferencer):
        """One that ends where it has looked."""
        visualize = postprocess = _init_pipeline = None

        def _init_model(self, *args):
            registry = Registry('of the probe', scope='mmengine')
            found.append(registry.get('builtins.open'))

    try:
        Inferencer(weights='a.pth', device='cpu', scope='mmengine')
    except Exception:  # It was refused, or there is no pipeline.
        pass
    return bool(found)


def apply(infer: Library) -> None:
    """Guard the registries while such an inferencer is made."""
    wrapt.wrap_function_wrapper(infer, 'BaseInferencer.__init__', _init)


def refuse(infer: Library, message: str) -> None:
    """Make no inferencer any more that is given no config."""

    def init(wrapped, instance, args, kwargs):
        if (args[0] if args else kwargs.get('model')) is None:
            raise RuntimeError(
                f'Give the config: model=…. That of {kwargs.get("weights")!r} '
                f'is not used, since it could run code. {message}')
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(infer, 'BaseInferencer.__init__', init)


PATCH = Patch(
    name='mmengine_inferencer_type',
    affects={
        'mmengine': '<=0.10.7',
        'onedl-mmengine': '<=0.10.12'
    },
    module='mmengine.infer.infer',
    is_faulty=is_faulty,
    apply=apply,
    refuse=refuse)
