"""Let ``MMDistributedDataParallel`` accept a model that is on the CPU.

Affects: mmengine <=0.10.7, onedl-mmengine <=0.10.12
Symptom: with a launcher but no GPU, ``Runner.wrap_model`` passes the local
    rank as ``device_ids``, and ``DistributedDataParallel`` raises
    ``ValueError: ... device_ids and output_device arguments only work with
    ... GPU modules``. After that, ``SyncBatchNorm`` raises ``ValueError:
    SyncBatchNorm expected input tensor to be on GPU`` in the first step.
Upstream: no report known for mmengine; for the same step in another library
    see https://github.com/ultralytics/ultralytics/pull/15701
Ended by: a release that passes no ``device_ids`` without a GPU.
    ``SyncBatchNorm`` on a CPU is for torch to end.

``Runner`` reverts ``SyncBatchNorm`` itself for a single process. For several
on a CPU the place is here, since ``wrap_model`` first converts to
``SyncBatchNorm`` where the config says ``sync_bn``.
"""
import logging

import torch
import wrapt

from .registry import Library, Patch, replaced

WARNING = (
    'SyncBatchNorm needs a GPU and there is none, so each process normalizes '
    'over its own part of the batch with plain BatchNorm. Results will differ '
    'from those of a run with SyncBatchNorm.')


def _revert_sync_batchnorm(module: torch.nn.Module) -> torch.nn.Module:
    from mmengine.logging import print_log
    from mmengine.model.utils import revert_sync_batchnorm

    # torch's and mmcv's class share the name; mmcv may be absent.
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


def is_faulty(distributed: Library) -> bool:
    """Wrap a module without a GPU, up to torch's part, which is recorded."""
    import mmengine.device
    received = {}

    class Torch(distributed.DistributedDataParallel):  # type: ignore

        def __init__(self, module, **kwargs):
            torch.nn.Module.__init__(self)
            received.update(kwargs)

    class Wrapper(
            distributed.MMDistributedDataParallel,  # type: ignore
            Torch):
        pass

    with replaced(mmengine.device, get_device=lambda: 'cpu'):
        Wrapper(module=torch.nn.Identity(), device_ids=[0])
    return received.get('device_ids') is not None


def apply(distributed: Library) -> None:
    """Leave out what only a GPU can do."""
    wrapt.wrap_function_wrapper(distributed,
                                'MMDistributedDataParallel.__init__', _init)


PATCH = Patch(
    name='mmengine_ddp_cpu',
    affects={
        'mmengine': '<=0.10.7',
        'onedl-mmengine': '<=0.10.12'
    },
    module='mmengine.model.wrappers.distributed',
    is_faulty=is_faulty,
    apply=apply)
