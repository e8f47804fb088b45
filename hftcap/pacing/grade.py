"""Judge a paced replay: how late its messages were, and whether it ended when it was planned to."""

from dataclasses import dataclass
from enum import StrEnum

from hftcap.latency.histogram import Histogram, summary
from hftcap.pacing.timeline import Pace

LATE_NS = 1_000_000
"""Later than this is late: the venue's own event times are in milliseconds on most streams, so a message less late
still comes within the unit of its stamp, and a timer that overshoots (0.1 ms here) is far below."""
BEHIND_NS = 20_000_000
"""Later than this a replay is no longer at its pace: the promise is that a run ends within 20 ms of plan. Far beyond
the pauses of a scheduler or a page fault, it takes a consumer that needs longer than the time there is."""
LATE_SHARE = 0.01
"""So many may be late in a run that is on time: p99 decides, and what lies beyond is one stall of the machine."""


class Grade(StrEnum):
    """A run in one word."""

    ON_TIME = "on time"
    IN_BURSTS = "late in bursts"
    BEHIND = "fell behind"
    NOT_PACED = "not paced"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How well a run kept its pace.

    `lateness_ns` has `n, min, p50, p90, p99, p99.9, max`. `asked` and `achieved` are timeline time per real time, or
    messages a second where that was asked for; `achieved` is None where the plan has no length.
    """

    grade: Grade
    sentence: str
    lateness_ns: dict[str, int | None]
    planned_ns: int
    actual_ns: int
    asked: float | None
    achieved: float | None


def grade(pace: Pace, lateness: Histogram, planned_ns: int, actual_ns: int) -> Verdict:
    """Judge a run by the lateness of all its messages and by its length.

    It fell behind when it ended more than BEHIND_NS after plan, or half of its messages were that late: a quiet end
    does not make up for a run at another pace. It was late in bursts when more than LATE_SHARE of its messages were
    later than LATE_NS: those behind a burst, since by the end and by the median it kept up. Else it was on time.
    """
    found = {name: value for name, value in summary(lateness).items() if name != "negative"}
    asked = pace.speed if pace.mps is None else pace.mps
    after_ns = actual_ns - planned_ns
    median, late = lateness.quantiles([0.5, 1 - LATE_SHARE])
    if asked is None or median is None or late is None:
        word = Grade.NOT_PACED
        sentence = "as fast as it went" if asked is None else "no message was due"
    else:
        ended = f"the end {_ms(after_ns)} after plan"
        if after_ns > BEHIND_NS or median > BEHIND_NS:
            word = Grade.BEHIND
            sentence = f"half of {lateness.n:,} messages more than {_ms(median)} late, {ended}"
        else:
            word = Grade.ON_TIME if late <= LATE_NS else Grade.IN_BURSTS
            sentence = (
                f"of {lateness.n:,} messages 99 % at most {_ms(late)} late, the worst {_ms(lateness.max)}, {ended}"
            )
    return Verdict(
        grade=word,
        sentence=f"{word}: {sentence}",
        lateness_ns=found,
        planned_ns=planned_ns,
        actual_ns=actual_ns,
        asked=None if asked is None else float(asked),
        achieved=float(asked * planned_ns / actual_ns) if asked is not None and planned_ns > 0 else None,
    )


def _ms(span_ns: int | None) -> str:
    return f"{(span_ns or 0) / 1e6:,.3f} ms"
