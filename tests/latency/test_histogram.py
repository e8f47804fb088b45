"""Promises of the histogram: exact counts and extremes, quantiles within a share of value - minimum."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcap.latency.histogram import EXACT_UP_TO, MAX_BINS, Histogram, summary

QS = [0.0, 1e-9, 0.01, 0.07, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0]
SHARE = Fraction(1, 1000)
FULL = EXACT_UP_TO + 1


def histogram_of(*batches):
    """Return a histogram to which each of `batches` was added."""
    histogram = Histogram()
    for batch in batches:
        histogram.add(np.asarray(batch, np.int64))
    return histogram


def nearest_rank(ordered, q):
    """Return the exact answer, from sorted values and the decimal `q` prints as."""
    return int(ordered[max(math.ceil(Fraction(repr(q)) * len(ordered)), 1) - 1])


def assert_keeps_its_promises(histogram, values):
    """Compare `histogram` with all that it was given, sorted."""
    ordered = np.sort(values)
    smallest, largest = int(ordered[0]), int(ordered[-1])
    assert (histogram.n, histogram.min, histogram.max) == (len(values), smallest, largest)
    assert histogram.negative == int((ordered < 0).sum())
    assert histogram.total == sum(ordered.tolist())
    assert histogram.bins <= MAX_BINS
    found = histogram.quantiles(QS)
    for q, value in zip(QS, found, strict=True):
        exact = nearest_rank(ordered, q)
        assert smallest <= value <= largest
        assert abs(value - exact) <= SHARE * (exact - smallest), f"q={q}: {value} for {exact} over {smallest}"
    assert found[0] == smallest
    assert found[-1] == largest
    assert found == sorted(found)


values_ns = st.one_of(
    st.integers(-(2**62), 2**62),
    st.integers(-3000, 3000),
    st.integers(-1_270_000_000, -1_269_000_000),
    st.sampled_from([-(2**63), 2**63 - 1, -(2**62), 2**62, -1, 0, 1, 2047, 2048, 2049]),
    st.builds(
        lambda sign, bit, off: sign * 2**bit + off, st.sampled_from([-1, 1]), st.integers(0, 61), st.integers(-2, 2)
    ),
)
batches_ns = st.lists(st.lists(values_ns, max_size=40), min_size=1, max_size=6).filter(any)


@settings(max_examples=60, deadline=None)
@given(batches_ns, st.randoms(use_true_random=False), st.data())
def test_any_split_and_any_order_of_merges_keeps_the_error_bound(batches, random, data):
    """Some parts are repeated until they are binned, the others stay in the buffer; they are merged in any order."""
    parts, given_ns = [], []
    for batch in filter(None, batches):
        repeats = FULL // len(batch) + 1 if data.draw(st.booleans(), label="binned") else 1
        values = np.tile(np.asarray(batch, np.int64), repeats)
        cut = random.randrange(values.size + 1)
        parts.append(histogram_of(values[:cut], values[cut:]))
        given_ns.append(values)
    while len(parts) > 1:
        random.shuffle(parts)
        taken = parts.pop()
        parts[0].merge(taken)
    assert_keeps_its_promises(parts[0], np.concatenate(given_ns))


@settings(max_examples=100, deadline=None)
@given(batches_ns)
def test_a_small_sample_is_exact(batches):
    """Up to EXACT_UP_TO values, every quantile is the exact nearest rank."""
    ordered = sorted(value for batch in batches for value in batch)
    histogram = histogram_of(*batches)
    assert histogram.bins == 0
    assert histogram.quantiles(QS) == [nearest_rank(ordered, q) for q in QS]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("low_bits", [11, 30, 63])
def test_values_of_every_magnitude_stay_within_the_bound(seed, low_bits):
    """Values spread over the octaves above a negative minimum, split in batches and merged from three parts."""
    rng = np.random.default_rng(seed)
    distance = (2.0 ** rng.uniform(0, low_bits, 250_000)).astype(np.uint64)
    values = (distance + np.uint64(2**64 - 2**62)).view(np.int64)
    parts = [histogram_of(*np.array_split(part, 7)) for part in np.array_split(values, 3)]
    parts[2].merge(parts[0])
    parts[1].merge(parts[2])
    assert_keeps_its_promises(parts[1], values)


def test_a_minimum_that_drifts_down_does_not_add_up_errors():
    """Two million latencies around -1.27 s, each batch with a lower minimum than the one before."""
    rng = np.random.default_rng(20240809)
    n = 2_000_000
    values = (rng.lognormal(13.5, 1.2, n) - 1_270_000_000 - 50.0 * np.arange(n)).astype(np.int64)
    histogram = histogram_of(*np.array_split(values, 2_000))
    assert_keeps_its_promises(histogram, values)


def test_one_far_minimum_at_the_end_coarsens_what_was_counted_before():
    """After a late value far below all others, the bins are those of the new scale and the bound still holds."""
    near = np.arange(200_000, dtype=np.int64) * 1_000
    histogram = histogram_of(near)
    finer = histogram.bins
    late = np.full(FULL, -(10**12), np.int64)
    histogram.add(late)
    assert_keeps_its_promises(histogram, np.concatenate((near, late)))
    histogram.add(late)
    assert histogram.bins < finer / 100
    assert_keeps_its_promises(histogram, np.concatenate((near, late, late)))


def test_values_close_above_the_minimum_stay_exact_when_binned():
    """Less than 2^11 ns above the minimum there is a bin for every nanosecond."""
    ordered = np.repeat(np.arange(-5_000, -5_000 + 2**11, dtype=np.int64), 100)
    values = np.random.default_rng(1).permutation(ordered)
    histogram = histogram_of(values)
    assert histogram.bins == 2**11
    assert histogram.quantiles(QS) == [nearest_rank(ordered, q) for q in QS]


def test_reported_values_are_not_biased():
    """Within an octave, where bins start would be low by half a bin on average; the middle is not."""
    ordered = np.arange(2**20, 2**21, dtype=np.int64)
    histogram = histogram_of([0], ordered)
    qs = np.random.default_rng(3).uniform(0.01, 0.99, 500).tolist()
    errors = np.array(histogram.quantiles(qs)) - [nearest_rank(np.append(0, ordered), q) for q in qs]
    assert abs(errors).max() <= 2**9
    assert abs(errors.mean()) < 2**7


def test_the_number_of_bins_is_bounded_for_any_values():
    """Three million values that seek out every bin of all 64 bits fill the stated limit and never pass it."""
    steps = np.arange(2**10, 2**11, dtype=np.uint64)
    every_start = np.concatenate([np.arange(2**11, dtype=np.uint64), *(steps << np.uint64(e) for e in range(1, 54))])
    every_value = (every_start + np.uint64(2**63)).view(np.int64)
    rng = np.random.default_rng(2)
    histogram = Histogram()
    for _ in range(27):
        histogram.add(every_value)
        histogram.add(rng.integers(-(2**63), 2**63 - 1, FULL, dtype=np.int64))
        assert histogram.bins <= MAX_BINS
    assert histogram.n > 3_000_000
    assert histogram.bins == MAX_BINS == every_value.size


def test_an_empty_histogram_has_no_values():
    """Nothing is invented: counts are 0 and every value is None."""
    histogram = histogram_of([])
    assert (histogram.n, histogram.negative, histogram.total, histogram.bins) == (0, 0, 0, 0)
    assert (histogram.min, histogram.max, histogram.mean, histogram.quantile(0.5)) == (None,) * 4
    assert histogram.quantiles([0, 0.5, 1]) == [None, None, None]


def test_a_single_value_is_every_quantile():
    """One value is minimum, maximum, mean and every quantile."""
    histogram = histogram_of([-7])
    assert (histogram.n, histogram.negative, histogram.total) == (1, 1, -7)
    assert (histogram.min, histogram.max, histogram.mean) == (-7, -7, -7)
    assert histogram.quantiles(QS) == [-7] * len(QS)


def test_merging_an_empty_histogram_changes_nothing():
    """Empty is neutral on both sides of a merge."""
    left, right = histogram_of([3, -4]), Histogram()
    left.merge(Histogram())
    right.merge(left)
    for histogram in (left, right):
        assert_keeps_its_promises(histogram, np.array([3, -4]))


def test_a_merge_leaves_the_other_histogram_alone():
    """What was merged can still be read, added to and merged elsewhere."""
    values = np.arange(100_000, dtype=np.int64) * 1_000
    left, right = histogram_of([-(10**15)]), histogram_of(values)
    before = right.quantiles(QS)
    left.merge(right)
    left.add(values)
    assert right.quantiles(QS) == before
    right.add(values)
    assert_keeps_its_promises(right, np.tile(values, 2))


def test_a_histogram_merged_with_itself_counts_everything_twice():
    """The odd case of both sides being one object is an ordinary merge."""
    values = np.arange(100_000, dtype=np.int64) * 977 - 5_000_000
    histogram = histogram_of(values)
    histogram.merge(histogram)
    assert_keeps_its_promises(histogram, np.tile(values, 2))


def test_the_caller_may_reuse_its_array():
    """Added values are copied."""
    values = np.array([1, 2, 3], np.int64)
    histogram = histogram_of(values)
    values[:] = 99
    assert histogram.quantiles([0.2, 0.5, 0.9]) == [1, 2, 3]


def test_a_strided_array_counts_like_a_contiguous_one():
    """A column of a table may be added as it lies."""
    table = np.arange(300_000, dtype=np.int64).reshape(-1, 3) * -1_000
    histogram = Histogram()
    histogram.add(table[:, 1])
    assert_keeps_its_promises(histogram, table[:, 1])


@pytest.mark.parametrize(
    ("values", "mean"), [([1, 2], 2), ([-1, -2], -1), ([1, 1, 2], 1), ([2**63 - 1] * 3, 2**63 - 1)]
)
def test_the_mean_is_rounded_to_the_nearest_nanosecond(values, mean):
    """Halves go up, and a sum beyond 64 bits is no obstacle."""
    assert histogram_of(values).mean == mean


def test_a_quantile_is_read_as_the_decimal_it_prints_as():
    """0.07 of 100 values is the 7th, although the float product is above 7."""
    assert histogram_of(range(1, 101)).quantile(0.07) == 7


@pytest.mark.parametrize("q", [-0.1, 1.1, 50, math.nan])
def test_a_quantile_outside_0_to_1_is_refused(q):
    """A percentage in place of a share is a mistake, with or without values."""
    for histogram in (Histogram(), histogram_of([1])):
        with pytest.raises(ValueError, match="is not in 0 … 1"):
            histogram.quantile(q)


def test_the_summary_has_the_keys_of_the_json_contract():
    """The keys and their order are those of `stats --json`; without values they are None."""
    keys = ["n", "min", "p50", "p90", "p99", "p99.9", "max", "negative"]
    found = summary(histogram_of(range(-10, 990)))
    assert list(found.items()) == list(zip(keys, [1000, -10, 489, 889, 979, 988, 989, 10], strict=True))
    assert all(type(value) is int for value in found.values())
    assert summary(Histogram()) == dict.fromkeys(keys) | {"n": 0, "negative": 0}
