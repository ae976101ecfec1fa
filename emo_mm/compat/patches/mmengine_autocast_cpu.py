"""Let ``autocast`` on a CPU take the formats that torch takes there.

Affects: mmengine <=0.10.7, onedl-mmengine <=0.10.12
Beside: torch >=2.3, which has float16 there
Symptom: ``AmpOptimWrapper`` with ``dtype='float16'`` ends on a CPU in
    ``AssertionError: In CPU autocast, only support `torch.bfloat16` dtype``.
Upstream: no report known.
Ended by: a release that leaves the choice to ``torch.autocast``.
"""
import sys

import torch
import wrapt

from .registry import Library, Patch

# Where mmengine and mmpretrain have imported the function.
MODULES = ('mmengine.runner', 'mmengine.runner.loops',
           'mmpretrain.models.heads.margin_head')


def _autocast(wrapped, instance, args, kwargs):
    from mmengine.device import get_device

    def call(device_type=None, dtype=None, enabled=True, cache_enabled=None):
        device = device_type or get_device()
        if device != 'cpu' or dtype is None:
            return wrapped(device_type, dtype, enabled, cache_enabled)
        return torch.autocast(
            device, dtype, enabled=enabled, cache_enabled=cache_enabled)

    return call(*args, **kwargs)


def is_faulty(amp: Library) -> bool:
    """Enter it with float16."""
    try:
        with amp.autocast('cpu', torch.float16):
            return False
    except AssertionError:
        return True


def apply(amp: Library) -> None:
    """Wrap the function here and where modules have imported it."""
    original = amp.autocast
    patched = wrapt.FunctionWrapper(original, _autocast)
    amp.autocast = patched
    for name in MODULES:
        module: Library = sys.modules.get(name)
        if getattr(module, 'autocast', None) is original:
            module.autocast = patched


PATCH = Patch(
    name='mmengine_autocast_cpu',
    affects={
        'mmengine': '<=0.10.7',
        'onedl-mmengine': '<=0.10.12'
    },
    module='mmengine.runner.amp',
    is_faulty=is_faulty,
    apply=apply)
