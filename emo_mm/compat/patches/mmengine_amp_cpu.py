"""``AmpOptimWrapper`` says clearly why it refuses a CPU.

Library: mmengine, up to and including 0.10.7.
Symptom: ``--amp`` without a GPU ends in an ``AssertionError`` that names
neither the setting to blame nor what to do.
Upstream: https://github.com/open-mmlab/mmpretrain/issues/1556
Ended by: a release in which ``AmpOptimWrapper`` accepts a CPU, or raises
something other than that ``AssertionError``.
"""
import wrapt

MESSAGE = (
    "optim_wrapper.type='AmpOptimWrapper' (--amp) needs a GPU (CUDA, NPU, MLU "
    'or MUSA), and torch sees none. Either drop --amp or set '
    "optim_wrapper.type='OptimWrapper' to train in float32, or run where "
    'torch.cuda.is_available() is True.')


def _init(wrapped, instance, args, kwargs):
    try:
        wrapped(*args, **kwargs)
    except AssertionError as error:
        if 'only available' not in str(error):
            raise
        raise RuntimeError(MESSAGE) from error


@wrapt.when_imported('mmengine.optim.optimizer.amp_optimizer_wrapper')
def _mend(amp_optimizer_wrapper):
    wrapt.wrap_function_wrapper(amp_optimizer_wrapper,
                                'AmpOptimWrapper.__init__', _init)
