"""Let mmengine load the checkpoints that its ``Runner`` writes, safely.

Affects: mmengine <=0.10.7, onedl-mmengine <=0.10.12
Beside: torch >=2.6
Symptom: testing or resuming from such a checkpoint ends in
    ``UnpicklingError: Weights only load failed ... Unsupported global: GLOBAL
    mmengine.logging.history_buffer.HistoryBuffer``: mmengine leaves the
    ``weights_only`` of ``torch.load`` out, and torch 2.6 made it True. From a
    URL, though, it loads whatever a file holds, and so runs any code in it;
    onedl-mmengine does so for each file that is not of weights alone.
Upstream: https://github.com/open-mmlab/mmengine/issues/1655
Ended by: a release that loads them with ``weights_only=True``. The merged
    https://github.com/open-mmlab/mmengine/pull/1670 is none: it loads with
    False.

Here ``weights_only`` is True whatever the library asks for, and what the
libraries' checkpoints hold besides tensors is on torch's list of what is safe.
If this cannot be ensured, checkpoints are not loaded at all.
"""
import pickle
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import numpy as np
import torch
import wrapt
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer

from .registry import Library, Patch, replaced

# One character code per boolean, integer and floating dtype; 'U', of text,
# is among class names that came out of numpy.
DTYPE_CODES = '?bBhHiIlLqQefd'

# Functions that `_getattr` below looks up, by class.
SERVED: dict[type, tuple[str, ...]] = {
    HistoryBuffer: ('current', 'max', 'mean', 'min')
}

# Functions of the module that read a file for others, as far as a release has
# them.
READERS = ('load_url', '_safe_torch_load')

# How the weights-only unpickler names what it refuses.
REFUSED = re.compile(r'(?:GLOBAL|unrecognized function|but got) (<.+?>|\S+)')

MESSAGE = """\
{filename} was not loaded: it holds {refused}, which a checkpoint may not hold
because it can run code. If you trust the file, convert it once and load what
that writes, the weights alone:

    import torch
    checkpoint = {load}, weights_only=False)
    keys = [k for k in ('state_dict', 'net_E', 'net') if k in checkpoint]
    state_dict = checkpoint[keys[0]] if keys else checkpoint
    torch.save(dict(state_dict=state_dict), 'weights.pth')
"""


def _getattr(owner: Any, name: str) -> Any:
    """Look up a function that ``SERVED`` lists, and nothing else.

    Pickle writes a function of a class as a call of ``getattr``. The builtin
    would hand a crafted file any attribute of any object.
    """
    if not isinstance(owner, type) or name not in SERVED.get(owner, ()):
        raise pickle.UnpicklingError(
            f'Unsupported GLOBAL getattr of {name!r} from {owner!r}')
    return getattr(owner, name)


def _numpy_globals() -> list:
    """Return what arrays and scalars are pickled as, before and since numpy 2.
    """
    reconstruct = np.zeros(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    functions = [(function, f'numpy.{core}.multiarray.{name}')
                 for core in ('core', '_core')
                 for function, name in ((reconstruct, '_reconstruct'),
                                        (scalar, 'scalar'))]
    dtypes = {type(np.dtype(code)) for code in DTYPE_CODES + 'U'}
    return [np.ndarray, np.dtype, *functions, *dtypes]


# One load at a time: the guard below replaces a function of torch.
_LOCK = threading.RLock()


@contextmanager
def _restored_safe_globals() -> Iterator[list]:
    """Restore torch's list of what is safe, which is yielded, at the end."""
    before = torch.serialization.get_safe_globals()
    try:
        yield before
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


@contextmanager
def _weights_only() -> Iterator[None]:
    """Have this thread load weights only, with no more allowed than now."""
    # A loader may change torch's list: onedl-mmengine adds the builtin getattr
    # to it, and after a load takes all that it has added away, ours included.
    with _LOCK, _restored_safe_globals() as before:
        load, thread = torch.load, threading.get_ident()
        allowed = [item for item in before if item is not getattr]

        def guarded(*args, **kwargs):
            if threading.get_ident() != thread:
                return load(*args, **kwargs)
            with _restored_safe_globals():
                torch.serialization.clear_safe_globals()
                torch.serialization.add_safe_globals(allowed)
                return load(*args, **dict(kwargs, weights_only=True))

        with replaced(torch, load=guarded), \
                replaced(torch.serialization, load=guarded):
            yield


@contextmanager
def explained_refusal(filename: Any) -> Iterator[None]:
    """Name the file and the remedy where something in it is refused.

    Raises:
        pickle.UnpicklingError: With another message, if what runs inside does.
    """
    try:
        yield
    except pickle.UnpicklingError as error:
        refused = REFUSED.search(str(error))
        if refused is None:
            raise
        load = (f"torch.hub.load_state_dict_from_url({filename!r}, None, 'cpu'"
                if str(filename).startswith(
                    ('http://',
                     'https://')) else f"torch.load({filename!r}, 'cpu'")
        raise pickle.UnpicklingError(
            MESSAGE.format(filename=filename, refused=refused[1],
                           load=load)) from error


def _load_checkpoint(wrapped, instance, args, kwargs):
    # The name of the first argument depends on the function.
    filename = args[0] if args else next(iter(kwargs.values()))
    with explained_refusal(filename), _weights_only():
        return wrapped(*args, **kwargs)


class _Code:
    """Pickled as a call of ``_run``, which the loader must not make."""

    ran = False

    def __reduce__(self):
        return _run, ()


def _run() -> None:
    _Code.ran = True


def _runs_code(load: Callable[[str], Any], source: str) -> bool:
    _Code.ran = False
    try:
        load(source)
    except Exception:  # refused, in one way or another
        pass
    return _Code.ran


def _loaders(checkpoint: Library) -> list[Callable[[str], Any]]:

    def load_quietly(filename):
        return checkpoint.CheckpointLoader.load_checkpoint(
            filename, map_location='cpu', logger='silent')

    readers = [getattr(checkpoint, name, None) for name in READERS]
    return [load_quietly, *filter(None, readers)]


def is_faulty(checkpoint: Library) -> bool:
    """Load what a ``Runner`` writes, and code from a file and from a URL."""
    # What is at a URL is taken from this folder if it is there.
    with TemporaryDirectory() as folder, \
            replaced(torch.hub, get_dir=lambda: folder), \
            replaced(checkpoint, get_dist_info=lambda: (0, 1)):
        written, crafted = Path(folder,
                                'written.pth'), Path(folder, 'checkpoints',
                                                     'crafted.pth')
        crafted.parent.mkdir()
        torch.save(HistoryBuffer([1.], [1]), written)
        torch.save(_Code(), crafted)
        loaders = _loaders(checkpoint)
        try:
            loaders[0](str(written))
        except pickle.UnpicklingError:
            return True
        return any(
            _runs_code(load, source) for load in loaders
            for source in (str(crafted), f'https://localhost/{crafted.name}'))


def apply(checkpoint: Library) -> None:
    """Guard the loader, and allow what checkpoints hold."""
    from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

    # Its state holds its static method for the curve.
    SERVED[OneCycleParamScheduler] = ('_annealing_cos', '_annealing_linear')
    torch.serialization.add_safe_globals([
        HistoryBuffer,
        OneCycleParamScheduler,
        (_getattr, 'builtins.getattr'),
        ConfigDict,  # of metainfo that a config nests
        defaultdict,
        *_numpy_globals()
    ])
    for name in ('CheckpointLoader.load_checkpoint', *READERS):
        if name not in READERS or hasattr(checkpoint, name):
            wrapt.wrap_function_wrapper(checkpoint, name, _load_checkpoint)


def refuse(checkpoint: Library, message: str) -> None:
    """Load no checkpoint any more."""

    def load_checkpoint(*args, **kwargs) -> NoReturn:
        raise RuntimeError(
            f'No checkpoint is loaded, since it could run code. {message}')

    for owner in (checkpoint, getattr(checkpoint, 'CheckpointLoader', None)):
        for name in ('load_checkpoint', '_load_checkpoint', *READERS):
            if hasattr(owner, name):
                setattr(owner, name, staticmethod(load_checkpoint))


PATCH = Patch(
    name='mmengine_checkpoint',
    affects={
        'mmengine': '<=0.10.7',
        'onedl-mmengine': '<=0.10.12'
    },
    module='mmengine.runner.checkpoint',
    is_faulty=is_faulty,
    apply=apply,
    refuse=refuse)
