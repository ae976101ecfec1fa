"""Let several processes start without a GPU.

Affects: mmengine <=0.10.7, onedl-mmengine <=0.10.12
Symptom: with a launcher but no GPU, ``init_dist`` ends in ``RuntimeError:
    Found no NVIDIA driver on your system``: it calls ``torch.cuda.set_device``
    whatever the backend, and the backend of each default runtime is ``nccl``,
    which has no CPU operators.
Upstream: no report known. The start-up before mmengine had the same fault:
    https://github.com/openvinotoolkit/mmdetection/pull/77
Ended by: a release whose ``init_dist`` uses neither without a GPU.
"""
import os
from types import SimpleNamespace

import torch
import wrapt

from .registry import Library, Patch, replaced

LAUNCHERS = ('_init_dist_pytorch', '_init_dist_mpi', '_init_dist_slurm')


def _init_dist(wrapped, instance, args, kwargs):
    from mmengine.device import get_device
    if get_device() != 'cpu':
        return wrapped(*args, **kwargs)

    def call(backend, *args, **kwargs):
        backend = 'gloo' if backend == 'nccl' else backend
        return wrapped(backend, *args, **kwargs)

    with replaced(torch.cuda, set_device=lambda device: None):
        return call(*args, **kwargs)


def is_faulty(utils: Library) -> bool:
    """Start one process without a GPU, up to torch's part."""
    import mmengine.device
    devices: list[int] = []
    backends: list[str] = []
    group = SimpleNamespace(
        init_process_group=lambda backend, **kwargs: backends.append(backend))
    environment = dict(os.environ, RANK='0', LOCAL_RANK='0', WORLD_SIZE='1')
    with replaced(mmengine.device, get_device=lambda: 'cpu'), \
            replaced(torch.cuda, set_device=devices.append), \
            replaced(utils, torch_dist=group), \
            replaced(os, environ=environment):
        utils._init_dist_pytorch('nccl')
    return bool(devices) or backends == ['nccl']


def apply(utils: Library) -> None:
    """Start with gloo, and set no device, where there is none."""
    for launcher in LAUNCHERS:
        wrapt.wrap_function_wrapper(utils, launcher, _init_dist)


PATCH = Patch(
    name='mmengine_dist_cpu',
    affects={
        'mmengine': '<=0.10.7',
        'onedl-mmengine': '<=0.10.12'
    },
    module='mmengine.dist.utils',
    is_faulty=is_faulty,
    apply=apply)
