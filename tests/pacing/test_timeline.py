"""When a record is due: exact from one anchor, in whatever pieces the timeline comes, whatever it does."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hftcap.errors import BadPace
from hftcap.pacing import Pace, Schedule, mps_of, speed_of
from hftcap.pacing.timeline import FAR_NS

BEGIN = 5_000
stamps = st.lists(st.integers(0, 10**18), min_size=1, max_size=30)
speeds = st.fractions(Fraction(1, 1000), Fraction(1000), max_denominator=10**6)


def dues(pace: Pace, pieces: list[list[int]], counted: list[list[bool]] | None = None) -> list[int]:
    """Return the due times of records that come in pieces, less the beginning."""
    schedule = Schedule(pace)
    schedule.begin(BEGIN)
    found = []
    for number, piece in enumerate(pieces):
        mask = None if counted is None else np.array(counted[number], dtype=np.bool_)
        positions = schedule.place(np.array(piece, dtype=np.int64), mask)
        found += schedule.due_ns(positions).tolist()
    return [due - BEGIN for due in found]


def cut(values: list, at: list[int]) -> list[list]:
    bounds = sorted({0, len(values), *(min(each, len(values)) for each in at)})
    return [values[first:stop] for first, stop in pairwise(bounds)]


@given(stamps, speeds, st.lists(st.integers(0, 30), max_size=4))
@example([0, 10**18], Fraction(999_999_937, 10**9), [1])
def test_a_record_is_due_at_its_place_divided_by_the_speed(stamps, speed, cuts):
    """Exactly, rounded down, however far from the anchor; a step backwards takes no time; pieces make no difference."""
    expected, latest = [], stamps[0]
    for stamp in stamps:
        latest = max(latest, stamp)
        expected.append((latest - stamps[0]) * speed.denominator // speed.numerator)
    assert dues(Pace(speed), cut(stamps, cuts)) == [min(due, FAR_NS - BEGIN) for due in expected]


@given(stamps, st.integers(1, 10**12), speeds, st.lists(st.integers(0, 30), max_size=4))
def test_long_silences_are_shortened_before_the_speed(stamps, most, speed, cuts):
    """Each gap counts at most so much, also between pieces; what is shorter stays."""
    at, latest, expected = 0, stamps[0], []
    for stamp in stamps:
        at += min(max(stamp - latest, 0), most)
        latest = max(latest, stamp)
        expected.append(at * speed.denominator // speed.numerator)
    found = dues(Pace(speed, max_gap_ns=most), cut(stamps, cuts))
    assert found == [min(due, FAR_NS - BEGIN) for due in expected]


@given(
    st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 10**6), st.lists(st.integers(0, 40), max_size=3)
)
def test_at_a_rate_only_what_counts_takes_time(counted, mps, cuts):
    """The first at once, each further one a step later, whatever the stamps say; others go with the one before."""
    number, expected = -1, []
    for each in counted:
        number += each
        expected.append(number * 10**9 // mps)
    pieces = cut(list(range(len(counted))), cuts)
    assert dues(Pace(None, mps=mps_of(str(mps))), pieces, cut(counted, cuts)) == expected


def test_a_million_records_later_nothing_has_drifted():
    """At a speed that no float holds, the last due time is exact to the nanosecond."""
    schedule = Schedule(Pace(speed_of("0.3")))
    schedule.begin(0)
    steps = np.arange(1_000_000, dtype=np.int64) * 7_777_777
    due = 0
    for piece in np.array_split(steps, 911):
        due = int(schedule.due_ns(schedule.place(piece))[-1])
    assert due == 999_999 * 7_777_777 * 10 // 3


def test_passes_follow_each_other():
    """The next pass begins where the plan of the one before ends; a rate simply goes on."""
    schedule = Schedule(Pace(Fraction(2)))
    schedule.begin(0)
    times = np.array([100, 300, 500], dtype=np.int64)
    found = []
    for _ in range(3):
        schedule.next_pass()
        found += schedule.due_ns(schedule.place(times)).tolist()
    assert found == [0, 100, 200, 200, 300, 400, 400, 500, 600]
    rated = Schedule(Pace(None, mps=Fraction(10**9)))
    rated.begin(0)
    found = []
    for _ in range(2):
        rated.next_pass()
        found += rated.due_ns(rated.place(times)).tolist()
    assert found == [0, 1, 2, 3, 4, 5]


def test_a_pause_moves_all_that_is_to_come():
    """By just its length; the plan, pauses left out, is the same."""
    schedule = Schedule(Pace(Fraction(1)))
    schedule.begin(1_000)
    positions = schedule.place(np.array([0, 50, 100], dtype=np.int64))
    schedule.hold(700)
    assert schedule.due_ns(positions).tolist() == [1_700, 1_750, 1_800]
    assert schedule.begin_ns == 1_700


def test_any_length_of_silence_may_be_given():
    """Beyond what 64 bits hold it shortens nothing; a negative one is refused."""
    assert dues(Pace(Fraction(1), max_gap_ns=2**70), [[0, 10]]) == [0, 10]
    with pytest.raises(BadPace, match="silence"):
        Pace(Fraction(1), max_gap_ns=-1)


def test_nothing_overflows():
    """Stamps at both ends of 64 bits and the slowest speed: due at the far end, never before the one in front."""
    ends = [-(2**63) + 1, 0, 2**63 - 1]
    found = dues(Pace(speed_of("0.000000001")), [ends])
    assert found == sorted(found)
    assert found[-1] == FAR_NS - BEGIN
    assert dues(Pace(Fraction(1)), [[]]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", Fraction(1)),
        ("0.1", Fraction(1, 10)),
        (".5", Fraction(1, 2)),
        ("1000", Fraction(1000)),
        (0.1, Fraction(1, 10)),
        (2, Fraction(2)),
        (Fraction(1, 3), Fraction(1, 3)),
        ("max", None),
    ],
)
def test_a_speed_is_what_its_decimals_say(text, expected):
    """Never what a float makes of them."""
    assert speed_of(text) == expected


@pytest.mark.parametrize(
    "text", ["0", "-1", "fast", "", "1e3", "nan", "inf", "1.0000000001", "10000000000", "1x", -2, 0.0]
)
def test_what_is_no_speed_is_refused(text):
    """One sentence, with what was found."""
    with pytest.raises(BadPace, match="speed"):
        speed_of(text)
    with pytest.raises(BadPace, match="messages a second"):
        mps_of(text)
