"""Count nanosecond values in bounded memory, for quantiles whose error is a known share of value - minimum.

HdrHistogram is log-linear over the value itself and takes no negatives. Latencies here may all be negative, and
their minimum, which sets the scale of the error, is known only at the end. So bins are wide by their distance
from the minimum so far, but lie on a grid that no minimum moves: a bin is `2**e` wide, starts at a multiple of
`2**e`, and is stored as that start and a count.

    d = value - minimum      0 … 2^11    2^11 … 2^12    2^12 … 2^13    …    2^63 … 2^64
    e                        0, exact    1              2              …    53
    bins at most             2^11        2^10           2^10           …    2^10          2^11 + 53 * 2^10 = 56,320

Values first wait in a buffer, exact as they are. A full buffer is folded: every waiting value and every stored
start becomes `start >> e << e`, with `e` from the minimum so far, and equal starts add their counts.

The error. Bins of powers of two nest, so flooring a start by a larger `e` gives what flooring the values it stands
for by that `e` gives, and a smaller `e` leaves it alone: errors never add up, and neither the number nor the order
of folds and merges matters. Let `e` be the largest a value has met, itself or as a start. The value, its start and
what is reported for it, the middle of its bin, all lie in one bin `2**e` wide. That `e` came from a distance `d` to
a minimum not below the final one, of a start not above the value, and `2**e <= d / 2**10`. Therefore

    |reported - value| < (value - min) / 2^10 = 0.0977 % of (value - min), half of that as a rule,

for any number of values, and values less than 2^11 ns above the minimum are exact. A bound that grows with the
value carries over from each value to the k-th smallest of them, which is a quantile by nearest rank.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

EXACT_UP_TO = 65_536
"""So many values are kept as they are before the first fold; 512 KiB, of which only the used pages are real."""

MAX_BINS = 56_320
"""No histogram stores more bins (16 bytes each), whatever it is given; the sum in the module's drawing."""

_LINEAR_BITS = 11
_UINT64_MASK = 2**64 - 1


class Histogram:
    """Counts of int64 nanoseconds: `n`, `min`, `max`, `negative`, `total` exact, quantiles within 0.0977 %."""

    __slots__ = ("_counts", "_max", "_min", "_n", "_negative", "_starts", "_total", "_waiting", "_waiting_n")

    def __init__(self) -> None:
        self._n = 0
        self._negative = 0
        self._total = 0
        self._min: int | None = None
        self._max: int | None = None
        self._starts: NDArray[np.int64] = np.empty(0, np.int64)
        self._counts: NDArray[np.int64] = np.empty(0, np.int64)
        self._waiting: NDArray[np.int64] = np.empty(EXACT_UP_TO, np.int64)
        self._waiting_n = 0

    def add(self, values: NDArray[np.int64]) -> None:
        """Count `values` (one dimension); they are copied. A call costs some microseconds, so batch them."""
        if not values.size:
            return
        self._n += values.size
        self._negative += int(np.count_nonzero(values < 0))
        # Two sums of 32-bit halves cannot overflow, where one sum of int64 values can.
        self._total += (int((values >> 32).sum()) << 32) + int((values & 0xFFFF_FFFF).sum())
        self._widen(int(values.min()), int(values.max()))
        self._wait(values)

    def merge(self, other: "Histogram") -> None:
        """Count all that `other` has counted; `other` stays as it is, and may be `self`."""
        if other._min is None or other._max is None:
            return
        self._n += other._n
        self._negative += other._negative
        self._total += other._total
        self._widen(other._min, other._max)
        waiting = other._waiting[: other._waiting_n].copy()
        if other._starts.size:
            self._fold(other._starts, other._counts)
        self._wait(waiting)

    @property
    def n(self) -> int:
        """Number of values."""
        return self._n

    @property
    def negative(self) -> int:
        """Number of values below 0."""
        return self._negative

    @property
    def total(self) -> int:
        """Sum of the values, exact however large."""
        return self._total

    @property
    def min(self) -> int | None:
        """Smallest value, None when empty."""
        return self._min

    @property
    def max(self) -> int | None:
        """Largest value, None when empty."""
        return self._max

    @property
    def mean(self) -> int | None:
        """Mean of the values, rounded to the nearest nanosecond (halves up), None when empty."""
        return (2 * self._total + self._n) // (2 * self._n) if self._n else None

    @property
    def bins(self) -> int:
        """Number of bins stored, at most MAX_BINS; 0 while all values are exact."""
        return self._starts.size

    def quantile(self, q: float) -> int | None:
        """Return the value of nearest rank `q`; see `quantiles`."""
        return self.quantiles([q])[0]

    def quantiles(self, qs: Sequence[float]) -> list[int | None]:
        """Return the values of nearest ranks `qs`, in one pass over the bins; None for each when empty.

        The rank is `ceil(q * n)`, at least 1, with `q` read as the decimal it prints as: 0.07 of 100 values is
        the 7th, though the float is a little more. Rank 1 is `min`, rank n is `max`, nothing leaves [min, max].

        Raises:
            ValueError: a `q` is not in 0 … 1.
        """
        for q in qs:
            if not 0 <= q <= 1:
                raise ValueError(f"quantile {q} is not in 0 … 1")
        if self._min is None or self._max is None:
            return [None] * len(qs)
        shifts = _shifts(self._starts, self._min)
        middles = (self._starts >> shifts << shifts) + (np.left_shift(1, shifts) >> 1)
        values = np.concatenate((middles, self._waiting[: self._waiting_n]))
        counts = np.concatenate((self._counts, np.ones(self._waiting_n, np.int64)))
        order = np.argsort(values, kind="stable")
        cumulative = np.cumsum(counts[order])
        found: list[int | None] = []
        for q in qs:
            rank = max(math.ceil(Fraction(str(q)) * self._n), 1)
            if rank == 1:
                found.append(self._min)
            elif rank == self._n:
                found.append(self._max)
            else:
                value = int(values[order[np.searchsorted(cumulative, rank)]])
                found.append(min(max(value, self._min), self._max))
        return found

    def _widen(self, smallest: int, largest: int) -> None:
        self._min = smallest if self._min is None else min(self._min, smallest)
        self._max = largest if self._max is None else max(self._max, largest)

    def _wait(self, values: NDArray[np.int64]) -> None:
        """Put `values` in the buffer; a full buffer is folded when the next value comes."""
        taken = 0
        while taken < values.size:
            if self._waiting_n == EXACT_UP_TO:
                self._fold(self._waiting, None)
                self._waiting_n = 0
            part = values[taken : taken + EXACT_UP_TO - self._waiting_n]
            self._waiting[self._waiting_n : self._waiting_n + part.size] = part
            self._waiting_n += part.size
            taken += part.size

    def _fold(self, values: NDArray[np.int64], counts: NDArray[np.int64] | None) -> None:
        """Floor `values` (each once, or `counts` times) and the stored starts to the grid of the minimum so far."""
        assert self._min is not None  # noqa: S101 - only called after `_widen`
        starts = _floored(values, self._min)
        if counts is None:
            # Equal starts are counted here, cheaply, so that the sort below sees few.
            starts, counts = np.unique(starts, return_counts=True)
        starts = np.concatenate((_floored(self._starts, self._min), starts))
        # Both halves are sorted but for an octave's edge; the stable sort makes use of it.
        order = np.argsort(starts, kind="stable")
        self._starts, first = np.unique(starts[order], return_index=True)
        self._counts = np.add.reduceat(np.concatenate((self._counts, counts))[order], first)


def summary(histogram: Histogram) -> dict[str, int | None]:
    """Return the distribution as `stats --json` prints it; the values are None when there are none."""
    p50, p90, p99, p999 = histogram.quantiles([0.5, 0.9, 0.99, 0.999])
    return {
        "n": histogram.n,
        "min": histogram.min,
        "p50": p50,
        "p90": p90,
        "p99": p99,
        "p99.9": p999,
        "max": histogram.max,
        "negative": histogram.negative,
    }


def _shifts(values: NDArray[np.int64], minimum: int) -> NDArray[np.int64]:
    """Return `e` of the module's drawing for each value, none of which is below `minimum`."""
    # Unsigned subtraction wraps to the true distance, which may need 64 bits. What is left after the shift has
    # at most 53 bits, so it is exact as a float and `frexp` is its exact bit length.
    distance = values.view(np.uint64) - np.uint64(minimum & _UINT64_MASK)
    return np.frexp((distance >> np.uint64(_LINEAR_BITS)).astype(np.float64))[1].astype(np.int64)


def _floored(values: NDArray[np.int64], minimum: int) -> NDArray[np.int64]:
    shifts = _shifts(values, minimum)
    return values >> shifts << shifts
