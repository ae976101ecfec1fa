"""Several processes can start without a GPU.

Library: mmengine, up to and including 0.10.7.
Symptom: with a launcher but no GPU, ``init_dist`` ends in ``RuntimeError:
Found no NVIDIA driver on your system``: it calls ``torch.cuda.set_device``
whatever the backend, and the backend of each default runtime is ``nccl``,
which has no CPU operators.
Upstream: no report known. The start-up before mmengine had the same fault:
https://github.com/openvinotoolkit/mmdetection/pull/77
Ended by: a release whose ``init_dist`` asks for a GPU before it uses one; then
all that this changes is the backend.
"""
from contextlib import contextmanager

import torch
import wrapt

LAUNCHERS = ('_init_dist_pytorch', '_init_dist_mpi', '_init_dist_slurm')


@contextmanager
def _no_set_device():
    """Let ``torch.cuda.set_device`` pass where there is no device to set."""
    set_device = torch.cuda.set_device
    torch.cuda.set_device = lambda device: None
    try:
        yield
    finally:
        torch.cuda.set_device = set_device


def _init_dist(wrapped, instance, args, kwargs):
    from mmengine.device import get_device
    if get_device() != 'cpu':
        return wrapped(*args, **kwargs)

    def call(backend, *args, **kwargs):
        backend = 'gloo' if backend == 'nccl' else backend
        return wrapped(backend, *args, **kwargs)

    with _no_set_device():
        return call(*args, **kwargs)


@wrapt.when_imported('mmengine.dist.utils')
def _mend(utils):
    for launcher in LAUNCHERS:
        wrapt.wrap_function_wrapper(utils, launcher, _init_dist)
