"""A checkpoint that mmengine's ``Runner`` wrote can be loaded.

Library: mmengine, up to and including 0.10.7, on torch >= 2.6.
Symptom: testing or resuming from such a checkpoint ends in
``UnpicklingError: Weights only load failed ... Unsupported global: GLOBAL
mmengine.logging.history_buffer.HistoryBuffer``: mmengine leaves the
``weights_only`` of ``torch.load`` out, and torch 2.6 made it True.
Upstream: https://github.com/open-mmlab/mmengine/issues/1655
Ended by: the first release with the merged
https://github.com/open-mmlab/mmengine/pull/1670, which none has yet.

That change loads with ``weights_only=False``, which runs whatever code a file
holds. Here ``weights_only`` stays True, and what the libraries' checkpoints
hold besides tensors is put on torch's list of what is safe.
"""
import pickle
import re
from collections import defaultdict

import mmengine
import numpy as np
import torch
import wrapt
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version

# One character code per boolean, integer and floating dtype; 'U', of text,
# is among class names that came out of numpy.
DTYPE_CODES = '?bBhHiIlLqQefd'

# What `_getattr` below serves: class to names of its functions.
SERVED = {HistoryBuffer: ('current', 'max', 'mean', 'min')}

# How the weights-only unpickler names what it refuses.
REFUSED = re.compile(r'(?:GLOBAL|unrecognized function|but got) (<.+?>|\S+)')

MESSAGE = """\
{filename} was not loaded: it holds {refused}, which a checkpoint may not hold
because it can run code. If you trust the file, convert it once and load what
that writes, the weights alone:

    import torch
    checkpoint = torch.load({filename!r}, 'cpu', weights_only=False)
    keys = [k for k in ('state_dict', 'net_E', 'net') if k in checkpoint]
    state_dict = checkpoint[keys[0]] if keys else checkpoint
    torch.save(dict(state_dict=state_dict), 'weights.pth')
"""


def _getattr(owner, name):
    """Look up a function that ``SERVED`` lists, and nothing else.

    Pickle writes a function of a class as a call of ``getattr``. The builtin
    would hand a crafted file any attribute of any object.
    """
    if not isinstance(owner, type) or name not in SERVED.get(owner, ()):
        raise pickle.UnpicklingError(
            f'Unsupported GLOBAL getattr of {name!r} from {owner!r}')
    return getattr(owner, name)


def _numpy_globals():
    """What arrays and scalars are pickled as, by numpy < 2 and since."""
    reconstruct = np.zeros(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    functions = [(function, f'numpy.{core}.multiarray.{name}')
                 for core in ('core', '_core')
                 for function, name in ((reconstruct, '_reconstruct'),
                                        (scalar, 'scalar'))]
    dtypes = {type(np.dtype(code)) for code in DTYPE_CODES + 'U'}
    return [np.ndarray, np.dtype, *functions, *dtypes]


def _load_checkpoint(wrapped, instance, args, kwargs):
    try:
        return wrapped(*args, **kwargs)
    except pickle.UnpicklingError as error:
        refused = REFUSED.search(str(error))
        if refused is None:
            raise
        filename = args[0] if args else kwargs['filename']
        raise pickle.UnpicklingError(
            MESSAGE.format(filename=filename, refused=refused[1])) from error


def _mend_param_scheduler(param_scheduler):
    # Its state holds its static method for the curve.
    one_cycle = param_scheduler.OneCycleParamScheduler
    SERVED[one_cycle] = ('_annealing_cos', '_annealing_linear')
    torch.serialization.add_safe_globals([one_cycle])


def _mend_checkpoint(checkpoint):
    wrapt.wrap_function_wrapper(checkpoint, 'CheckpointLoader.load_checkpoint',
                                _load_checkpoint)


if digit_version(mmengine.__version__) <= digit_version('0.10.7'):
    torch.serialization.add_safe_globals([
        HistoryBuffer,
        (_getattr, 'builtins.getattr'),
        ConfigDict,  # of metainfo that a config nests
        defaultdict,
        *_numpy_globals()
    ])
    wrapt.register_post_import_hook(
        _mend_param_scheduler, 'mmengine.optim.scheduler.param_scheduler')
    wrapt.register_post_import_hook(_mend_checkpoint,
                                    'mmengine.runner.checkpoint')
