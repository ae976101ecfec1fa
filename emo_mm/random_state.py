"""States of the random generators that a training draws from."""
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import gather_object, get_world_size


def get_random_state() -> dict:
    """Return the states of torch, numpy and Python in this process.

    They are made of tensors and plain numbers alone, so that a checkpoint
    that holds them can be loaded with ``weights_only=True``.
    """
    name, keys, *position = np.random.get_state()
    state = dict(
        torch=torch.get_rng_state(),
        numpy=(name, torch.from_numpy(keys.astype(np.int64)), *position),
        python=random.getstate())
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict) -> None:
    """Set what :func:`get_random_state` returned."""
    name, keys, *position = state['numpy']
    torch.set_rng_state(state['torch'].cpu())
    np.random.set_state(
        (name, keys.cpu().numpy().astype(np.uint32), *position))
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore the states of this process at the end."""
    state = get_random_state()
    try:
        yield
    finally:
        set_random_state(state)


def gather_random_states(state: dict) -> list[dict]:
    """Return the states of all processes, by rank; nothing but on rank 0.

    Every process has to call it, with its own state.
    """
    if get_world_size() == 1:
        return [state]
    return gather_object(state, dst=0) or []


def seed_all(key: tuple[int, ...]) -> None:
    """Seed torch, numpy and Python of this process.

    Args:
        key (tuple[int, ...]): Non-negative numbers. Seeds of any two keys are
            independent of each other, as numpy's ``SeedSequence`` mixes them.
    """
    seed, = np.random.SeedSequence(key).generate_state(1)
    random.seed(int(seed))
    np.random.seed(seed)
    # Not that of CUDA, which no data pipeline draws from.
    torch.default_generator.manual_seed(int(seed))
