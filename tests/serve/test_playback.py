"""The market clock: what is due, and what time it is, on a clock of the test's own."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.capture.reader import open_recording
from hftcap.pacing import Pace
from hftcap.serve.playback import PIECE_RECORDS, Playback
from tests.serve.made import MS, START_NS, trade, write_capture

TIMES_MS = [0, 0, 10, 20, 500]


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    records = [(at, trade(number, at)) for number, at in enumerate(TIMES_MS)]
    return write_capture(tmp_path_factory.mktemp("playback") / "five", records)


def playback(capture: Path, speed: int | None, *, loop: bool = False, gap: int | None = None) -> Playback:
    pace = Pace(None if speed is None else Fraction(speed), gap)
    return Playback(lambda: open_recording([capture]).chunks(), pace, START_NS, loop=loop)


def sent(found: Playback, now_ns: int) -> int:
    """Return how many records are handed out by an instant, in as many pieces as it takes."""
    count = 0
    while (piece := found.due(now_ns)) is not None:
        count += piece.records
    return count


@pytest.mark.parametrize("speed", [1, 10])
def test_records_are_due_when_the_speed_says(capture, speed):
    """Not a nanosecond before."""
    found = playback(capture, speed)
    found.begin(1_000)
    assert sent(found, 1_000) == 2
    assert found.next_ns() == 1_000 + 10 * MS // speed
    assert sent(found, 999 + 10 * MS // speed) == 0
    assert sent(found, 1_000 + 20 * MS // speed) == 2
    assert not found.ended
    assert sent(found, 10**12) == 1
    assert found.ended
    assert (found.sent, found.passes, found.next_ns()) == (5, 1, None)


def test_the_time_is_that_of_the_timeline(capture):
    """It runs at the speed, stops at the next record, and goes on behind the last."""
    found = playback(capture, 10)
    assert found.timeline_ns(5) == START_NS
    found.begin(0)
    sent(found, 2 * MS)
    assert found.timeline_ns(3 * MS) == START_NS + 30 * MS
    assert found.timeline_ns(100 * MS) == START_NS + 500 * MS
    sent(found, 50 * MS)
    assert found.timeline_ns(60 * MS) == START_NS + 600 * MS


def test_silences_may_be_shortened(capture):
    """To so much of the timeline."""
    found = playback(capture, 1, gap=30 * MS)
    found.begin(0)
    assert sent(found, 50 * MS) == 5


def test_at_full_speed_all_is_due_in_pieces(capture):
    """And the time is that of the last record."""
    found = playback(capture, None)
    found.begin(0)
    assert not found.paced
    assert sent(found, 0) == 5
    assert found.timeline_ns(10**12) == START_NS + 500 * MS


def test_a_loop_goes_on_where_the_plan_ends(capture):
    """Each pass is due behind the one before; the owner says when the next begins."""
    found = playback(capture, 1, loop=True)
    found.begin(0)
    assert sent(found, 10**12) == 5
    assert found.at_pass_end
    assert not found.ended
    found.next_pass()
    assert found.next_ns() == 500 * MS
    assert sent(found, 520 * MS) == 4


def test_what_is_coming_is_known(capture):
    """The rest of the block at hand."""
    found = playback(capture, 1)
    found.begin(0)
    sent(found, 0)
    assert len(found.coming()) == 3


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30))
def test_in_whatever_steps_all_records_come_once_in_order(capture, steps):
    """However the clock is looked at."""
    found = playback(capture, 1)
    found.begin(0)
    now, numbers = 0, []
    for step in [*steps, 10_000]:
        now += step * MS
        while (piece := found.due(now)) is not None:
            assert piece.records <= PIECE_RECORDS
            numbers += range(piece.first, piece.stop)
            assert all(at <= now for at in (piece.timeline_ns[piece.rows] - START_NS).tolist())
    assert numbers == [0, 1, 2, 3, 4]
