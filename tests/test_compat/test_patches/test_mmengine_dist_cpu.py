from types import SimpleNamespace

import pytest
import torch
from mmengine.dist import utils

from emo_mm.compat.patches.mmengine_dist_cpu import LAUNCHERS as FUNCTIONS
from emo_mm.compat.patches.mmengine_dist_cpu import PATCH, is_faulty

# Each launcher's environment for a world of one process.
LAUNCHERS = dict(
    pytorch=dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1'),
    mpi=dict(
        OMPI_COMM_WORLD_LOCAL_RANK='0',
        OMPI_COMM_WORLD_RANK='0',
        OMPI_COMM_WORLD_SIZE='1'),
    slurm=dict(
        SLURM_PROCID='0',
        SLURM_LOCALID='0',
        SLURM_NTASKS='1',
        SLURM_NODELIST='localhost'))


@pytest.fixture
def environment(monkeypatch, free_port):

    def set_environment(launcher):
        # What the launchers set themselves must not outlive the test.
        for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'):
            monkeypatch.setenv(name, '')
            monkeypatch.delenv(name)
        monkeypatch.setenv('MASTER_ADDR', 'localhost')
        monkeypatch.setenv('MASTER_PORT', str(free_port))
        for name, value in LAUNCHERS[launcher].items():
            monkeypatch.setenv(name, value)

    yield set_environment
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize('launcher', LAUNCHERS)
def test_starts_with_gloo(environment, monkeypatch, launcher):
    environment(launcher)
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    set_device = torch.cuda.set_device
    utils.init_dist(launcher, backend='nccl')
    assert torch.distributed.get_backend() == 'gloo'
    assert torch.cuda.set_device is set_device


def test_changes_nothing_with_a_gpu(environment, monkeypatch):
    environment('pytorch')
    calls = []
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.cuda, 'set_device', calls.append)
    monkeypatch.setattr(torch.distributed, 'init_process_group',
                        lambda **kwargs: calls.append(kwargs))
    utils.init_dist('pytorch', backend='nccl')
    assert calls == [0, dict(backend='nccl')]


def test_library_has_the_fault(undo, run_patch):
    for name in FUNCTIONS:
        undo(utils, name)
    assert is_faulty(utils)
    run_patch(PATCH, utils)


def make_library(use_backend):
    library = SimpleNamespace()

    def init_dist(backend, **kwargs):
        library.torch_dist.init_process_group(backend=use_backend)

    for name in FUNCTIONS:
        setattr(library, name, init_dist)
    return library


def test_leaves_a_fixed_library(run_patch):
    fixed = make_library('gloo')
    before = [getattr(fixed, name) for name in FUNCTIONS]
    run_patch(PATCH, fixed)
    assert [getattr(fixed, name) for name in FUNCTIONS] == before


def test_warns_where_it_does_not_help(assert_warns):
    assert_warns(PATCH, make_library('nccl'))
