"""Time and memory of calls, measured side by side."""
import ctypes
import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch

_STATUS = '/proc/self/status'
_CLEAR_REFS = '/proc/self/clear_refs'
Name = TypeVar('Name', bound=Hashable)


@dataclass(frozen=True)
class Timing:
    """Time and memory of one call.

    Attributes:
        seconds (float): Median time of a call.
        quartiles (tuple[float, float]): Of the time, in seconds.
        peak_memory (int, optional): Bytes that a call takes at its peak above
            what was held before it. Weights, and whatever a runtime keeps
            between calls, are not included. None where it cannot be measured.
    """
    seconds: float
    quartiles: tuple[float, float]
    peak_memory: int | None


def time_interleaved(calls: Mapping[Name, Callable[[], object]],
                     repeats: int = 10,
                     min_time: float = 0.1,
                     device: str = 'cpu') -> dict[Name, Timing]:
    """Time calls in turn, so that the machine's noise affects all alike.

    Each call runs once to warm up, a second time to find how often it fits
    into ``min_time``, a third time for its memory, and then in ``repeats``
    rounds of all calls.

    Args:
        calls (Mapping[Hashable, Callable[[], object]]): What to time, by name.
        repeats (int): Rounds. Defaults to 10.
        min_time (float): Seconds for which a call is repeated in a round,
            whose time is the mean over the repetitions. Defaults to 0.1.
        device (str): 'cpu', or the CUDA device that the calls run on, which
            is synchronised. Defaults to 'cpu'.

    Returns:
        dict[Hashable, Timing]: By the names of ``calls``.

    Raises:
        ValueError: If ``repeats`` is less than 1.
    """
    if repeats < 1:
        raise ValueError(f'repeats={repeats} must be at least 1.')
    numbers, memory = {}, {}
    for name, call in calls.items():
        _seconds(call, 1, device)
        seconds = _seconds(call, 1, device)
        numbers[name] = max(1, math.ceil(min_time / seconds))
        memory[name] = peak_memory(call, device)
    samples: dict[Name, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            samples[name].append(_seconds(call, numbers[name], device))
    return {
        name:
        Timing(statistics.median(times), _quartiles(times), memory[name])
        for name, times in samples.items()
    }


def _seconds(call: Callable[[], object], number: int, device: str) -> float:
    """Return the mean time of ``number`` calls in a row."""
    _synchronize(device)
    start = time.perf_counter()
    for _ in range(number):
        call()
    _synchronize(device)
    return (time.perf_counter() - start) / number


def _synchronize(device: str) -> None:
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)


def _quartiles(times: list[float]) -> tuple[float, float]:
    if len(times) == 1:
        return times[0], times[0]
    lower, _, upper = statistics.quantiles(times, method='inclusive')
    return lower, upper


def peak_memory(call: Callable[[], object], device: str = 'cpu') -> int | None:
    """Return the bytes that a call takes at its peak, above those held before.

    On a CUDA device its allocator counts them; on a CPU they are the resident
    memory of this process. Run the call once before, so that what only its
    first run allocates is not counted.

    Returns:
        int, optional: None on a CPU without Linux's ``/proc``.
    """
    if torch.device(device).type == 'cuda':
        _synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        _synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    try:
        _return_freed_memory()
        with open(_CLEAR_REFS, 'w') as file:
            file.write('5')  # sets the peak to what is resident now (proc(5))
        before = _resident_peak()
        call()
        return _resident_peak() - before
    except OSError:
        return None


def _return_freed_memory() -> None:
    """Give freed memory back to the system, so that no call reuses it."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, 'malloc_trim'):  # glibc
        libc.malloc_trim(0)


def _resident_peak() -> int:
    with open(_STATUS) as file:
        for line in file:
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) * 1024
    raise OSError(f'{_STATUS} has no VmHWM')
