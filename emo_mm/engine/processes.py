"""A training in several processes, on one machine or more."""
import os
import socket
import sys
from pathlib import Path

from mmengine.device import get_device
from mmengine.dist import (
    all_gather_object,
    all_reduce,
    broadcast_object_list,
    get_world_size,
)
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn, tensor
from torch.distributed import PrefixStore, TCPStore

_ANCHOR_HEAD = 'mmdet.models.dense_heads.anchor_head'
# Lists the agents of torchrun that began the job, one a line.
_JOB = 'torchrun_job'


# --- Restarts by torchrun ---------------------------------------------------
def apart_from_last_start(env_cfg: dict, launcher: str) -> dict:
    """Let restarted processes find one another.

    They meet in torchrun's store, which still has the addresses of the
    processes before them: torch 2.14 keeps one store for a job and waits for
    those that are gone, half an hour long. Here each restart has its part of
    the store.

    Args:
        env_cfg (dict): Of a config.
        launcher (str): Of a run.

    Returns:
        dict: ``env_cfg``, with a store in ``dist_cfg`` where there is need.
    """
    env = os.environ
    restarts = int(env.get('TORCHELASTIC_RESTART_COUNT', 0))
    if (launcher != 'pytorch' or not restarts
            or env.get('TORCHELASTIC_USE_AGENT_STORE') != 'True'
            or get_device() not in ('cpu', 'cuda')):
        return env_cfg
    store = TCPStore(env['MASTER_ADDR'], int(env['MASTER_PORT']))
    dist_cfg = dict(
        store=PrefixStore(f'restart_{restarts}', store),
        rank=int(env['RANK']),
        world_size=int(env['WORLD_SIZE']))
    return {**env_cfg, 'dist_cfg': {**env_cfg.get('dist_cfg', {}), **dist_cfg}}


def resume_after_restart(runner: Runner) -> None:
    """Resume where torchrun starts the processes of a job again.

    It does so after a failure, and where machines join or leave, for as long
    as ``--max-restarts`` allows. What this job has saved goes before
    ``load_from`` and ``resume`` of the config; what lies in the folder from
    other jobs does not.

    Args:
        runner (Runner): Before it builds the model.
    """
    if int(os.environ.get('TORCHELASTIC_MAX_RESTARTS', 0)) < 1:
        return
    # An agent is the parent of its machine's processes, and outlives them.
    agent = f'{socket.gethostname()} {os.getppid()}'
    agents = sorted(set(all_gather_object(agent)))
    # All do as the first, whose folder it is.
    found = [runner.rank == 0 and _has_saved(Path(runner.work_dir), agents)]
    broadcast_object_list(found)
    if found[0]:
        runner.logger.info(
            'torchrun has started the processes again: the training goes on '
            'from the last checkpoint of this job.')
        runner._resume, runner._load_from = True, None


def _has_saved(work_dir: Path, agents: list[str]) -> bool:
    """Tell whether the job has written a checkpoint before, or note it."""
    job, last = work_dir / _JOB, work_dir / 'last_checkpoint'
    known = job.read_text().splitlines() if job.is_file() else []
    restarts = int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0))
    # Where machines join or leave, torchrun counts no restart.
    if known and (restarts > 0 or set(known) & set(agents)):
        return (last.is_file()
                and last.stat().st_mtime_ns >= job.stat().st_mtime_ns)
    job.write_text('\n'.join(agents))
    return False


# --- Losses -----------------------------------------------------------------
def average_over_processes(model: nn.Module) -> None:
    """Have mmdet's anchor heads average over the anchors of all processes.

    RetinaNet and SSD divide the sum of a loss by the number of positive
    anchors. mmdet takes that number from each process's own images, so that
    two processes train otherwise than one with the doubled batch, unless both
    happen to have as many. Its anchor-free heads (FCOS, YOLOX) and ATSS take
    the mean over all processes, as is done here.

    Args:
        model (nn.Module): A model of any library.
    """
    library = sys.modules.get(_ANCHOR_HEAD)
    if library is None or get_world_size() == 1:
        return
    original = library.AnchorHead.get_targets
    for name, module in model.named_modules():
        if getattr(type(module), 'get_targets', None) is original:
            module.get_targets = _with_mean_factor(module)
            print_log(
                f'model.{name}: losses are averaged over the anchors of all '
                'processes.',
                logger='current')


def _with_mean_factor(head: nn.Module):
    """Return ``get_targets`` whose fifth result is the mean over processes."""

    def get_targets(*args, **kwargs):
        results = type(head).get_targets(head, *args, **kwargs)
        if not head.training:  # the processes may be at different images
            return results
        *before, factor = results[:5]
        mean = tensor(float(factor), device=before[0][0].device)
        all_reduce(mean, op='mean')
        return (*before, mean.item(), *results[5:])

    return get_targets
