"""Let workers that are spawned have a data set of ``num_batch_per_epoch``.

Affects: mmengine <=0.10.7, onedl-mmengine <=0.10.12
Symptom: a data loader with ``num_batch_per_epoch`` and workers that are
    spawned, as on macOS and Windows, ends in ``RecursionError: maximum
    recursion depth exceeded``, then ``DataLoader worker exited unexpectedly``:
    the data set's ``__getattr__`` asks for an attribute that is not there
    before it has been unpickled.
Upstream: no report is known.
Ended by: a release whose ``_SlicedDataset`` can be copied and unpickled.
"""
import copy

import wrapt

from .registry import Library, Patch


def _getattr(wrapped, instance, args, kwargs):

    def get(name):
        if '_dataset' not in vars(instance):
            raise AttributeError(name)
        return wrapped(name)

    return get(*args, **kwargs)


def is_faulty(runner: Library) -> bool:
    """Copy one, as pickle does."""
    try:
        copy.copy(runner._SlicedDataset([0], 1))
    except RecursionError:
        return True
    return False


def apply(runner: Library) -> None:
    """Have it lack every attribute until it has the data set."""
    wrapt.wrap_function_wrapper(runner, '_SlicedDataset.__getattr__', _getattr)


PATCH = Patch(
    name='mmengine_sliced_dataset',
    affects={
        'mmengine': '<=0.10.7',
        'onedl-mmengine': '<=0.10.12'
    },
    module='mmengine.runner.runner',
    is_faulty=is_faulty,
    apply=apply)
