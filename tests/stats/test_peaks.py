"""The busiest window is the one that counting by hand finds."""

from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.stats.peaks import WindowPeak


def busiest(instants: list[int], width: int) -> int:
    """Count every window (t - width, t] that ends on an instant; a fuller one cannot end anywhere else."""
    return max((sum(end - width < instant <= end for instant in instants) for end in instants), default=0)


def peak_of(instants: list[int], width: int, cuts: tuple[int, ...] = ()) -> int:
    peak = WindowPeak(width)
    for begin, end in pairwise([0, *sorted(cuts), len(instants)]):
        peak.add(np.array(instants[begin:end], dtype=np.int64))
    return peak.peak


# Steps of 0 are common: many messages are stamped in one read.
steps = st.lists(st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 40)), max_size=60)


@given(steps, st.integers(1, 30), st.lists(st.integers(0, 60), max_size=5), st.sampled_from([0, 1_723_161_253 * 10**9]))
def test_any_split_into_batches_finds_what_counting_finds(gaps, width, cuts, start):
    """However a feed is cut into batches, empty ones included, the peak is that of all windows."""
    instants = list(accumulate(gaps, initial=start))[1:]
    assert peak_of(instants, width, tuple(min(cut, len(instants)) for cut in cuts)) == busiest(instants, width)


@pytest.mark.parametrize(
    ("instants", "peak"),
    [
        ([], 0),
        ([5], 1),
        ([0, 10], 1),  # (0, 10] holds the second alone: the window is open at its start
        ([0, 9], 2),
        ([0, 10, 10, 10], 3),
        ([0, 0, 0, 10, 10], 3),
        ([0, 4, 9, 10, 13], 4),
        ([-9, -1, 0], 3),
    ],
)
def test_a_window_holds_its_end_and_not_its_start(instants, peak):
    """With a width of 10, an instant exactly 10 before another is not in its window."""
    assert peak_of(instants, 10) == busiest(instants, 10) == peak
    for cut in range(len(instants) + 1):
        assert peak_of(instants, 10, (cut,)) == peak


def test_a_busy_second_in_the_past_stays_the_peak():
    """What was seen is not forgotten when it leaves the window."""
    peak = WindowPeak(10)
    peak.add(np.full(50, 1_000, dtype=np.int64))
    peak.add(np.arange(2_000, 9_000, 100, dtype=np.int64))
    assert peak.peak == 50


@pytest.mark.parametrize("width", [10, 1_000])
def test_memory_is_bounded_by_what_one_window_holds(width):
    """Nothing is kept of instants that no later window can reach."""
    peak = WindowPeak(width)
    instants = list(range(0, 100_000, 5))
    for begin in range(0, len(instants), 100):
        peak.add(np.array(instants[begin : begin + 100], dtype=np.int64))
        assert len(peak._tail) <= width // 5 + 1
    assert peak.peak == width // 5
