import os
import time

import pytest
import torch

from emo_mm.analysis.timing import peak_memory, time_interleaved

MIB = 2**20


@pytest.mark.timing
def test_median_of_a_call_and_its_spread():
    durations = dict(short=0.002, long=0.006)
    timings = time_interleaved({
        name: lambda seconds=seconds: time.sleep(seconds)
        for name, seconds in durations.items()
    }, repeats=5, min_time=0.01)  # yapf: disable
    for name, seconds in durations.items():
        timing = timings[name]
        assert seconds <= timing.quartiles[0] <= timing.seconds
        assert timing.seconds <= timing.quartiles[1]
    assert timings['long'].seconds > timings['short'].seconds


def test_calls_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in 'ab'}
    time_interleaved(calls, repeats=3, min_time=0)
    assert order == list('aaabbb' + 'ab' * 3)  # warm-up, then rounds


@pytest.mark.timing
def test_short_calls_repeat_within_a_round():
    count = []
    time_interleaved(dict(short=lambda: (time.sleep(0.001), count.append(1))),
                     repeats=1, min_time=0.02)  # yapf: disable
    assert 3 + 5 <= len(count) <= 3 + 20


@pytest.mark.timing
@pytest.mark.skipif(
    not os.path.exists('/proc/self/clear_refs'), reason='Linux alone')
def test_peak_memory_is_the_largest_sum_held_at_once():

    def call():
        a = torch.ones(8 * MIB)  # 32 MiB
        b = a + 1
        del a
        return b.sum()

    call()
    assert peak_memory(call) / MIB == pytest.approx(64, rel=0.1)
    assert peak_memory(lambda: torch.ones(8 * MIB)) / MIB == pytest.approx(
        32, rel=0.1)


@pytest.mark.timing
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_peak_memory_of_a_gpu():
    call = lambda: torch.ones(8 * MIB, device='cuda') + 1  # noqa: E731
    assert peak_memory(call, 'cuda') == 64 * MIB


def test_bad_repeats():
    with pytest.raises(ValueError, match='repeats=0.*at least 1'):
        time_interleaved({}, repeats=0)
