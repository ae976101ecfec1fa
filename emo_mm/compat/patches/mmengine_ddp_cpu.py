"""``MMDistributedDataParallel`` takes a model that is on the CPU.

Library: mmengine, up to and including 0.10.7.
Symptom: with a launcher but no GPU, ``Runner.wrap_model`` passes the local
rank as ``device_ids``, and ``DistributedDataParallel`` raises ``ValueError:
... device_ids and output_device arguments only work with ... GPU modules``.
After that, ``SyncBatchNorm`` raises ``ValueError: SyncBatchNorm expected input
tensor to be on GPU`` in the first training step.
Upstream: no report known for mmengine; for the same step in another library
see https://github.com/ultralytics/ultralytics/pull/15701
Ended by: a release whose ``wrap_model`` asks for a GPU before it passes
``device_ids``. ``SyncBatchNorm`` on a CPU is for torch to end.

``Runner`` reverts ``SyncBatchNorm`` itself for a single process. For several
on a CPU the place is here, since ``wrap_model`` first converts to
``SyncBatchNorm`` where the config says ``sync_bn``.
"""
import logging

import wrapt

WARNING = (
    'SyncBatchNorm needs a GPU and there is none, so each process normalizes '
    'over its own part of the batch with plain BatchNorm. Results will differ '
    'from those of a run with SyncBatchNorm.')


def _revert_sync_batchnorm(module):
    from mmengine.logging import print_log
    from mmengine.model import revert_sync_batchnorm

    # torch's and mmcv's class have the one name; mmcv may be absent.
    if any(type(m).__name__ == 'SyncBatchNorm' for m in module.modules()):
        print_log(WARNING, logger='current', level=logging.WARNING)
        module = revert_sync_batchnorm(module)
    return module


def _init(wrapped, instance, args, kwargs):
    from mmengine.device import get_device
    if get_device() != 'cpu':
        return wrapped(*args, **kwargs)

    def call(module, *args, device_ids=None, output_device=None, **kwargs):
        return wrapped(_revert_sync_batchnorm(module), *args, **kwargs)

    return call(*args, **kwargs)


@wrapt.when_imported('mmengine.model.wrappers.distributed')
def _mend(distributed):
    wrapt.wrap_function_wrapper(distributed,
                                'MMDistributedDataParallel.__init__', _init)
