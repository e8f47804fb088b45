"""What counting latencies costs, in batches of different sizes, against sorting all of them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hftcap.latency.histogram import Histogram

VALUES = 400_000
ERROR = 2**-10
"""Share of a value's distance from the minimum that a quantile may be off by."""
QUANTILES = (0.5, 0.99, 0.999)


@pytest.fixture(scope="module")
def latencies() -> NDArray[np.int64]:
    return (np.random.default_rng(1).lognormal(15, 1.2, VALUES) - 500_000).astype(np.int64)


@pytest.mark.parametrize("batch", [256, 4_096, 65_536])
def test_histogram(latencies: NDArray[np.int64], batch: int, benchmark) -> None:
    """Count, sum and extremes are exact, quantiles within the promised share."""

    def count() -> Histogram:
        histogram = Histogram()
        for at in range(0, VALUES, batch):
            histogram.add(latencies[at : at + batch])
        histogram.quantile(0.5)
        return histogram

    _hold(benchmark(count), latencies)
    benchmark.extra_info["values a round"] = VALUES


def test_merging(latencies: NDArray[np.int64], benchmark) -> None:
    """Of 64 histograms, as a report's windows are, comes what one of all values says."""
    parts = []
    for values in np.array_split(latencies, 64):
        parts.append(Histogram())
        parts[-1].add(values)

    def merge() -> Histogram:
        whole = Histogram()
        for part in parts:
            whole.merge(part)
        return whole

    _hold(benchmark(merge), latencies)


def _hold(histogram: Histogram, values: NDArray[np.int64]) -> None:
    least = int(values.min())
    assert (histogram.n, histogram.min, histogram.max) == (len(values), least, int(values.max()))
    assert histogram.total == int(values.sum())
    exact = np.sort(values)
    for q in QUANTILES:
        true = int(exact[int(np.ceil(q * len(values))) - 1])
        found = histogram.quantile(q)
        assert found is not None
        assert abs(found - true) <= ERROR * (true - least)
