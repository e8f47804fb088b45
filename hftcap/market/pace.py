"""How fast orders must come so that messages come at the rate asked for, whatever streams are written."""

from fractions import Fraction

from hftcap.market.plan import START_NS

HORIZON_NS = 500_000_000
"""What is missing or too much is made good over this time, or what is left of the run."""
SHORTEST_NS = 50_000_000
_PRIOR_STEPS, _PRIOR_LIVE = 64, 48
"""What is taken for known before the first step: trades and quotes are about 0.75 a step."""
_SLOWEST, _FASTEST = 1 / 64, 4
"""Steps for each message asked for."""


def shares_of(rate: int, count: int) -> list[float]:
    """Split a rate among so many symbols: the second has half of what the first has, the third a third of it.

    Exact until the last step: the sum of floats is not the same in every Python release (3.12 changed it).
    """
    whole = sum(Fraction(1, place) for place in range(1, count + 1))
    return [float(Fraction(rate, place) / whole) for place in range(1, count + 1)]


class Pace:
    """The mean time between the steps of one symbol, for `per_second` messages of its streams."""

    __slots__ = ("_end_ns", "_per_ns", "mean_ns", "per_second", "steps")

    def __init__(self, per_second: float, end_ns: int) -> None:
        self.per_second = per_second
        self.steps = 0
        self._per_ns = per_second / 1e9
        self._end_ns = end_ns
        self.mean_ns = max(1, int(_PRIOR_LIVE / _PRIOR_STEPS / self._per_ns))

    def adjust(self, now_ns: int, live: int, timed: int) -> None:
        """Set the mean anew; `live` messages came of the steps so far, `timed` of time alone.

        Only sums, products and quotients of floats, which are the same on every machine.
        """
        elapsed = now_ns - START_NS
        horizon = max(min(self._end_ns - now_ns, HORIZON_NS), SHORTEST_NS)
        per_step = (live + _PRIOR_LIVE) / (self.steps + _PRIOR_STEPS)
        missing = self._per_ns * (elapsed + horizon) - live - timed - timed / elapsed * horizon
        steps = missing / per_step / horizon
        steps = min(max(steps, self._per_ns * _SLOWEST), self._per_ns * _FASTEST)
        self.mean_ns = max(1, int(1 / steps))
