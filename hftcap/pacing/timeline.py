"""Say when each record of a paced replay is due: its place on the timeline divided by the speed, from one anchor.

    timeline_ns --place--> position --due_ns--> due on the monotonic clock

    position = ns of timeline since the first record, long silences shortened; at a fixed rate, messages before it
    due_ns   = anchor.mono_ns + (position - anchor.position) / rate, rounded down to the nanosecond

Positions are whole numbers and the rate is a fraction of whole numbers, so a due time is exact however far it is
from the anchor, and the same in whatever pieces the timeline comes. The anchor moves only on a pause;
passes of a loop follow each other on one anchor.
"""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hftcap.errors import BadPace

FAR_NS = 2**62
"""No position and no due time is further than this (146 years): what is beyond is due there, and nothing overflows."""

_SECOND_NS = 1_000_000_000
_UINT64_MASK = 2**64 - 1
_DECIMAL = re.compile(r"\d{1,9}(\.\d{1,9})?|\.\d{1,9}", re.ASCII)


def speed_of(value: str | float | Fraction) -> Fraction | None:
    """Return a speed as the exact fraction its decimal text says; None for `max`, which never waits.

    Raises:
        BadPace: neither `max` nor a positive decimal number of at most nine digits on each side of the point.
    """
    return None if value == "max" else _exact("speed", value)


def mps_of(value: str | float | Fraction) -> Fraction:
    """Return a number of messages a second as an exact fraction.

    Raises:
        BadPace: not a positive decimal number of at most nine digits on each side of the point.
    """
    return _exact("number of messages a second", value)


def _exact(what: str, value: str | float | Fraction) -> Fraction:
    if isinstance(value, Fraction):
        text, exact = str(value), value
    else:
        # A float is read as the decimal it prints as, so that 0.1 is a tenth.
        text = format(Decimal(str(value)), "f") if _is_number(value) else str(value)
        exact = Fraction(text) if _DECIMAL.fullmatch(text) else Fraction(0)
    if exact <= 0:
        raise BadPace(what, text)
    return exact


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a replay is paced.

    `speed` is timeline time per monotonic time, None for as fast as it goes. `max_gap_ns` shortens every longer
    silence to itself, in timeline time, before the speed. `mps` is a fixed number of messages a second; it takes
    the place of the stamps, and of both others.
    """

    speed: Fraction | None = Fraction(1)
    max_gap_ns: int | None = None
    mps: Fraction | None = None

    def __post_init__(self) -> None:
        if self.max_gap_ns is not None and self.max_gap_ns < 0:
            raise BadPace("length of the longest silence", str(self.max_gap_ns))

    @property
    def rate(self) -> Fraction | None:
        """Positions per nanosecond of the monotonic clock, None where nothing waits."""
        return self.speed if self.mps is None else self.mps / _SECOND_NS


@dataclass(frozen=True, slots=True)
class Anchor:
    """The one instant from which due times are counted: the monotonic clock at a position."""

    mono_ns: int
    position: int


class Schedule:
    """The due times of one replay, of all its passes.

    `begin_ns` is when it began, moved by the pauses since; so due minus it is planned time, pauses left out.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.anchor: Anchor | None = None
        self.begin_ns = 0
        self._restart()

    def _restart(self) -> None:
        self._latest_ns: int | None = None
        self._position = 0 if self.pace.mps is None else -1  # of the record placed last

    def begin(self, mono_ns: int) -> None:
        """Make the next record due at `mono_ns`: the start of a replay."""
        self.anchor = Anchor(mono_ns, 0)
        self.begin_ns = mono_ns
        self._restart()

    def next_pass(self) -> None:
        """Let the timeline begin again where the plan so far ends; at a fixed rate the count simply goes on."""
        self._latest_ns = None

    def hold(self, span_ns: int) -> None:
        """Move all that is to come by the length of a pause."""
        assert self.anchor is not None  # noqa: S101 - what has not begun cannot pause
        self.anchor = replace(self.anchor, mono_ns=self.anchor.mono_ns + span_ns)
        self.begin_ns += span_ns

    def place(self, timeline_ns: NDArray[np.int64], counted: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Return the positions of the next records; each record is placed once, in order.

        At a fixed rate one that is not `counted` has the position of the one before it.
        A step backwards is no time at all: a record before the latest so far has the latest's position.
        """
        if not len(timeline_ns):
            return np.empty(0, np.int64)
        if self.pace.mps is None:
            gaps = self._gaps(timeline_ns)
        else:
            gaps = np.ones(len(timeline_ns), np.uint64) if counted is None else counted.astype(np.uint64)
        # The gaps sum up to at most the width of int64, which is what uint64 holds; the bound then leaves room.
        steps = np.minimum(np.cumsum(gaps, dtype=np.uint64), np.uint64(FAR_NS - self._position))
        positions = steps.view(np.int64) + np.int64(self._position)
        self._position = int(positions[-1])
        return positions

    def _gaps(self, timeline_ns: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the silence before each record, the first of a pass has none."""
        latest = int(timeline_ns[0]) if self._latest_ns is None else self._latest_ns
        highest = np.maximum.accumulate(np.maximum(timeline_ns, np.int64(latest)))
        self._latest_ns = int(highest[-1])
        # Unsigned subtraction wraps to the true distance, which between two int64 may need 64 bits.
        marks = highest.view(np.uint64)
        gaps = marks - np.concatenate(([np.uint64(latest & _UINT64_MASK)], marks[:-1]))
        return gaps if self.pace.max_gap_ns is None else np.minimum(gaps, np.uint64(min(self.pace.max_gap_ns, FAR_NS)))

    def due_ns(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return when the records at `positions` (rising) are due, on the monotonic clock."""
        anchor, rate = self.anchor, self.pace.rate
        assert anchor is not None and rate is not None  # noqa: S101 - asked only of a plan that has begun
        steps = positions - np.int64(anchor.position)
        if not len(steps):
            return steps
        up, down = rate.denominator, rate.numerator
        furthest = max(abs(int(steps[0])), abs(int(steps[-1])))
        if up * down < FAR_NS and (furthest // down + 1) * up + abs(anchor.mono_ns) < FAR_NS:
            # steps * up / down without a product beyond 64 bits: whole parts and rest apart, both exact.
            whole, rest = np.divmod(steps, np.int64(down))
            return anchor.mono_ns + whole * np.int64(up) + rest * np.int64(up) // np.int64(down)
        exact = [anchor.mono_ns + step * up // down for step in steps.tolist()]
        return np.array([max(min(due, FAR_NS), -FAR_NS) for due in exact], np.int64)
