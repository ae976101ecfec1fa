"""Let ``AmpOptimWrapper`` say clearly why it refuses a CPU.

Affects: mmengine <=0.10.7, onedl-mmengine <=0.10.12
Symptom: ``--amp`` without a GPU ends in an ``AssertionError`` that names
    neither the setting to blame nor what to do.
Upstream: https://github.com/open-mmlab/mmpretrain/issues/1556
Ended by: a release in which ``AmpOptimWrapper`` accepts a CPU, or raises
    something other than that ``AssertionError``.
"""
import wrapt

from .registry import Library, Patch, replaced

REFUSAL = 'is only available training'
MESSAGE = (
    "optim_wrapper.type='AmpOptimWrapper' (--amp) needs a GPU (CUDA, NPU, MLU "
    'or MUSA), and torch sees none. Either drop --amp or set '
    "optim_wrapper.type='OptimWrapper' to train in float32, or run where "
    'torch.cuda.is_available() is True.')
DEVICES = ('cuda', 'mlu', 'musa', 'npu')


def _init(wrapped, instance, args, kwargs):
    try:
        wrapped(*args, **kwargs)
    except AssertionError as error:
        if REFUSAL not in str(error):
            raise
        raise RuntimeError(MESSAGE) from error


def is_faulty(amp_optimizer_wrapper: Library) -> bool:
    """Build one as if there were no GPU."""
    devices = {f'is_{name}_available': lambda: False for name in DEVICES}
    with replaced(amp_optimizer_wrapper, **devices):
        try:
            amp_optimizer_wrapper.AmpOptimWrapper(optimizer=None)
        except AssertionError as error:
            return REFUSAL in str(error)
        except Exception:  # about the optimizer, or already a clear one
            return False
    return False


def apply(amp_optimizer_wrapper: Library) -> None:
    """Raise ``MESSAGE`` in place of that ``AssertionError``."""
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
