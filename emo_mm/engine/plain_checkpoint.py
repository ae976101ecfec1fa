"""Checkpoints that torch loads by itself.

A Runner of mmengine saves the history of its losses, and numbers of numpy, as
objects. Since version 2.6 torch refuses to load them, so that only who imports
this package can read such a file. What mmengine itself puts into a checkpoint
is therefore saved as tensors, containers and plain values, and made what it
was when a run is resumed. What another hook has added stays as it is.
"""
import copy
import inspect
import operator
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.registry import HOOKS
from mmengine.runner import Runner

# Of what is derived from these, torch loads none.
VALUES: tuple = (bool, int, float, complex, str, bytes)


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Save checkpoints that torch loads by itself.

    An older version of this package, and mmengine itself, resume them, too,
    but for the history of losses that the log averages.
    """
    priority = 'LOWEST'  # after hooks that add to a checkpoint

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Make plain what is about to be saved."""
        checkpoint.update(make_plain(checkpoint))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restore what a resumed run goes on with."""
        restore(checkpoint)


def make_plain(checkpoint: dict) -> dict:
    """Return a checkpoint whose parts that mmengine writes are plain.

    Args:
        checkpoint (dict): What is to be saved, which stays as it is.
    """
    plain = copy.copy(checkpoint)
    for part, of_array in _OF_ARRAY.items():
        if part in plain:
            plain[part] = _plain(plain[part], of_array)
    if 'param_schedulers' in plain:
        plain['param_schedulers'] = _without_functions(
            plain['param_schedulers'])
    return plain


def restore(checkpoint: dict) -> None:
    """Make of the message hub what it was, in place.

    Args:
        checkpoint (dict): As :func:`make_plain` returned it, or as mmengine
            writes it itself, which stays as it is.
    """
    if 'message_hub' in checkpoint:
        checkpoint['message_hub'] = _restored(checkpoint['message_hub'])


def _without_functions(states: Any) -> Any:
    """Leave out what the class of a scheduler sets anew."""
    if isinstance(states, list):
        return [_without_functions(state) for state in states]
    if not isinstance(states, dict):
        return states
    return {
        key: _without_functions(state)
        for key, state in states.items() if not inspect.isroutine(state)
    }


def _plain(value: Any, of_array: Callable[[np.ndarray], Any]) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return of_array(value)
    if isinstance(value, HistoryBuffer):
        log, count = value.data
        return dict(HistoryBuffer=[
            torch.from_numpy(np.array(log)),
            torch.from_numpy(np.array(count)), value.max_length
        ])
    if isinstance(value, torch.Size):
        return value
    if isinstance(value, dict):
        return _plain_dict(value, of_array)
    for kind in (list, tuple):
        if isinstance(value, kind):
            return _plain_sequence(value, kind, of_array)
    for kind in VALUES:
        if isinstance(value, kind):
            return value if type(value) is kind else kind(value)
    return value


def _plain_dict(value: dict, of_array: Callable) -> dict:
    kind: Any = OrderedDict if isinstance(value, OrderedDict) else dict
    old = list(value.items())
    new = [_plain_sequence(entry, tuple, of_array) for entry in old]
    same = all(map(operator.is_, new, old))
    return value if type(value) is kind and same else kind(new)


def _plain_sequence(value: Any, kind: Any, of_array: Callable) -> Any:
    new = [_plain(child, of_array) for child in value]
    same = all(map(operator.is_, new, value))
    return value if type(value) is kind and same else kind(new)


def _tagged(array: np.ndarray) -> Any:
    """Return what ``_restored`` makes an array again, or nested lists."""
    try:
        return dict(ndarray=torch.from_numpy(np.array(array)))
    except TypeError:  # torch has no such type
        return array.tolist()


def _unchanged(array: np.ndarray) -> np.ndarray:
    return array


def _restored(value: Any) -> Any:
    if type(value) in (list, tuple):
        return type(value)(map(_restored, value))
    if not isinstance(value, dict):
        return value
    if value.keys() == {'HistoryBuffer'}:
        log, count, max_length = value['HistoryBuffer']
        return HistoryBuffer(log.cpu().numpy(),
                             count.cpu().numpy(), max_length)
    if value.keys() == {'ndarray'}:
        return value['ndarray'].cpu().numpy()
    return type(value)((key, _restored(child)) for key, child in value.items())


# What becomes of arrays in the parts that mmengine writes. Metainfo is names
# and colours; mmengine's optimizers and schedulers have none.
_OF_ARRAY: dict[str, Callable[[np.ndarray], Any]] = dict(
    meta=np.ndarray.tolist,
    message_hub=_tagged,
    optimizer=_unchanged,
    param_schedulers=_unchanged)
