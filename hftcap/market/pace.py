"""How fast orders must come so that messages come at the rate asked for, whatever streams are written."""

from hftcap.market.plan import START_NS

HORIZON_NS = 1_000_000_000
"""What is missing or too much is made good over this time."""
_PRIOR = 16
_SLOWEST, _FASTEST = 1 / 64, 4
"""Steps for each message asked for."""


class Pace:
    """The mean time between the steps of one symbol, for `per_second` messages of its streams."""

    __slots__ = ("_per_ns", "mean_ns", "steps")

    def __init__(self, per_second: float) -> None:
        self.steps = 0
        self._per_ns = per_second / 1e9
        self.mean_ns = max(1, int(1 / self._per_ns))

    def adjust(self, now_ns: int, live: int, timed: int) -> None:
        """Set the mean anew; `live` messages came of the steps so far, `timed` of time alone.

        Only sums, products and quotients of floats, which are the same on every machine.
        """
        elapsed = now_ns - START_NS
        per_step = (live + _PRIOR) / (self.steps + _PRIOR)
        missing = self._per_ns * (elapsed + HORIZON_NS) - live - timed - timed / elapsed * HORIZON_NS
        steps = missing / per_step / HORIZON_NS
        steps = min(max(steps, self._per_ns * _SLOWEST), self._per_ns * _FASTEST)
        self.mean_ns = max(1, int(1 / steps))
