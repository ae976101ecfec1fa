"""A training in several processes, on one machine or more."""
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from mmengine.device import get_device
from mmengine.dist import all_reduce, get_world_size, is_distributed
from mmengine.logging import print_log
from torch import is_grad_enabled, nn, tensor
from torch.distributed import PrefixStore, TCPStore

_ANCHOR_HEAD = 'mmdet.models.dense_heads.anchor_head'
# Says by its time when a job of torchrun has begun.
_BEGUN = 'torchrun_begun'


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


def find_own_checkpoint(model, work_dir: str, **unused) -> str | None:
    """Find what a job has saved before torchrun started it again.

    It goes before ``load_from`` and ``resume`` of the config. What lies in
    the folder from other jobs is not this job's to go on from.

    Args:
        model: First argument of a Runner, not used.
        work_dir (str): Of the run.
        unused: All other arguments.

    Returns:
        str | None: The last checkpoint, None if there is none or torchrun is
        not to restart the job (``--max-restarts``).
    """
    if int(os.environ.get('TORCHELASTIC_MAX_RESTARTS', 0)) < 1:
        return None
    restarts = int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0))
    begun, last = Path(work_dir, _BEGUN), Path(work_dir, 'last_checkpoint')
    if restarts and begun.is_file():
        # Both files are of one disk, hence of one clock.
        if last.is_file() and (last.stat().st_mtime_ns
                               >= begun.stat().st_mtime_ns):
            return last.read_text().strip()
    elif os.environ.get('RANK') == '0':
        begun.parent.mkdir(parents=True, exist_ok=True)
        begun.write_text('torchrun has begun a job here.')
    return None


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
        # Else the processes may be at different images, or one alone be here.
        if not (head.training and is_grad_enabled()):
            return results
        *before, factor = results[:5]
        mean = tensor(float(factor), device=before[0][0].device)
        all_reduce(mean, op='mean')
        return (*before, mean.item(), *results[5:])

    return get_targets


@contextmanager
def without_other_processes() -> Iterator[None]:
    """Let losses be those of this process alone.

    Some are averaged over processes, as are the statistics of SyncBN, which
    would wait for the others for ever where these compute none.
    """
    if not is_distributed():
        yield
        return
    with patch('torch.distributed.is_initialized', lambda: False):
        yield
