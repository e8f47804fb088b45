"""A run in words: on time, late in bursts, or behind."""

import numpy as np
import pytest

from hftcap.latency.histogram import Histogram
from hftcap.pacing import Grade, Pace, grade, mps_of, speed_of

MS = 1_000_000


def judged(late_ns: list[int], after_ns: int = 0, pace: Pace | None = None):
    histogram = Histogram()
    histogram.add(np.array(late_ns, dtype=np.int64))
    return grade(pace or Pace(speed_of("2")), histogram, 1_000 * MS, 1_000 * MS + after_ns)


@pytest.mark.parametrize(
    ("late", "after", "word"),
    [
        ([1_000] * 1_000, 0, Grade.ON_TIME),
        ([1_000] * 995 + [500 * MS] * 5, 19 * MS, Grade.ON_TIME),
        ([1_000] * 950 + [5 * MS] * 50, 0, Grade.IN_BURSTS),
        ([1_000] * 1_000, 21 * MS, Grade.BEHIND),
        ([30 * MS] * 600 + [0] * 400, 0, Grade.BEHIND),
        ([20 * MS] * 1_000, 20 * MS, Grade.IN_BURSTS),
    ],
)
def test_the_grade_follows_from_lateness_and_end(late, after, word):
    """One stall of the machine spoils no run; an end behind plan, or half of the messages late, does."""
    verdict = judged(late, after)
    assert verdict.grade is word
    assert verdict.sentence.startswith(f"{word}: ")
    assert verdict.lateness_ns["n"] == 1_000


@pytest.mark.parametrize(
    ("late", "after", "said"),
    [
        (
            [MS] * 99 + [7 * MS],
            2 * MS,
            "of 100 messages 99 % at most 1.000 ms late, the worst 7.000 ms",
        ),
        ([30 * MS] * 2_000, 25 * MS, "half of 2,000 messages more than 30.000 ms late"),
    ],
)
def test_the_sentence_names_what_the_grade_follows_from(late, after, said):
    """How many, how late, and when it ended, in milliseconds."""
    assert judged(late, after).sentence.partition(": ")[2] == f"{said}, the end {after // MS}.000 ms after plan"


def test_the_figures_are_those_of_the_run():
    """Asked and achieved are timeline time per real time, or messages a second."""
    verdict = judged([MS] * 10, 1_000 * MS)
    assert (verdict.asked, verdict.achieved) == (2.0, 1.0)
    assert (verdict.planned_ns, verdict.actual_ns) == (1_000 * MS, 2_000 * MS)
    assert set(verdict.lateness_ns) == {"n", "min", "p50", "p90", "p99", "p99.9", "max"}
    assert judged([0], pace=Pace(None, mps=mps_of("500"))).asked == 500.0


def test_without_a_pace_there_is_nothing_to_grade():
    """No speed was asked for, or no message was due."""
    assert judged([], pace=Pace(None)).grade is Grade.NOT_PACED
    assert judged([]).grade is Grade.NOT_PACED
    assert judged([]).sentence == "not paced: no message was due"
