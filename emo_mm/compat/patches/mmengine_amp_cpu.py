"""Let ``AmpOptimWrapper`` train on a CPU.

Affects: mmengine <=0.10.7, onedl-mmengine <=0.10.12
Symptom: ``--amp`` without a GPU ends in an ``AssertionError``, although torch
    has autocast and ``GradScaler`` for CPUs. On other devices, such as MPS,
    it names neither the setting to blame nor what to do.
Upstream: https://github.com/open-mmlab/mmpretrain/issues/1556
Ended by: a release in which ``AmpOptimWrapper`` accepts a CPU, or raises
    something other than that ``AssertionError``.

The number format is ``dtype``, or else torch's: bfloat16 on a CPU, float16 on
a GPU. float16 on a CPU also takes :mod:`.mmengine_autocast_cpu`.
"""
from functools import partial

import torch
import wrapt

from .registry import Library, Patch, replaced

REFUSAL = 'is only available training'
MESSAGE = (
    "optim_wrapper.type='AmpOptimWrapper' (--amp) needs a CPU or a GPU (CUDA, "
    'NPU, MLU or MUSA), and this device is {!r}. Either drop --amp or set '
    "optim_wrapper.type='OptimWrapper' to train in float32.")
DEVICES = ('cuda', 'mlu', 'musa', 'npu')


def _init(wrapped, instance, args, kwargs):
    import mmengine.device
    from mmengine.optim.optimizer import amp_optimizer_wrapper
    device = mmengine.device.get_device()
    if device == 'cpu':
        scaler = partial(torch.amp.GradScaler, 'cpu')
        with replaced(
                amp_optimizer_wrapper,
                is_cuda_available=lambda: True,
                GradScaler=scaler):
            return wrapped(*args, **kwargs)
    try:
        return wrapped(*args, **kwargs)
    except AssertionError as error:
        if REFUSAL not in str(error):
            raise
        raise RuntimeError(MESSAGE.format(device)) from error


def is_faulty(amp_optimizer_wrapper: Library) -> bool:
    """Build one as if there were no GPU."""
    import mmengine.device
    devices = {f'is_{name}_available': lambda: False for name in DEVICES}
    with replaced(amp_optimizer_wrapper, **devices), \
            replaced(mmengine.device, get_device=lambda: 'cpu'):
        try:
            amp_optimizer_wrapper.AmpOptimWrapper(optimizer=None)
        except AssertionError as error:
            return REFUSAL in str(error)
        except Exception:  # about the optimizer
            return False
    return False


def apply(amp_optimizer_wrapper: Library) -> None:
    """Give it torch's ``GradScaler`` for CPUs where there is no GPU."""
    wrapt.wrap_function_wrapper(amp_optimizer_wrapper,
                                'AmpOptimWrapper.__init__', _init)


PATCH = Patch(
    name='mmengine_amp_cpu',
    affects={
        'mmengine': '<=0.10.7',
        'onedl-mmengine': '<=0.10.12'
    },
    module='mmengine.optim.optimizer.amp_optimizer_wrapper',
    is_faulty=is_faulty,
    apply=apply)
