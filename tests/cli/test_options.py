"""Times as users type them, read to the nanosecond; times as they are printed, to the nanosecond."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.cli.options import clock_text, instant_ns, span_ns, span_text
from hftcap.errors import BadInstant, BadSpan

FIRST, LAST = 1_723_161_600_000_000_001, 1_723_165_200_000_000_002
"""2024-08-09T00:00:00.000000001Z and an hour and a nanosecond later."""
S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # RFC 3339, UTC where no zone is given
        ("2024-08-09T00:01:02Z", 1_723_161_662 * S),
        ("2024-08-09T00:01:02", 1_723_161_662 * S),
        ("2024-08-09 00:01:02", 1_723_161_662 * S),
        ("2024-08-09t00:01:02z", 1_723_161_662 * S),
        ("2024-08-09T00:01:02.5Z", 1_723_161_662 * S + 500_000_000),
        ("2024-08-09T00:01:02.5", 1_723_161_662 * S + 500_000_000),
        ("2024-08-09T00:01:02.123456789Z", 1_723_161_662 * S + 123_456_789),
        ("2024-08-09T00:01:02.000000001", 1_723_161_662 * S + 1),
        ("2024-08-09T02:01:02+02:00", 1_723_161_662 * S),
        ("2024-08-08T18:31:02.25-05:30", 1_723_161_662 * S + 250_000_000),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("9999-12-31T23:59:59Z", 253_402_300_799 * S),
        # Epoch with a unit
        ("1723161662s", 1_723_161_662 * S),
        ("1723161662.5s", 1_723_161_662 * S + 500_000_000),
        ("1723161662.123456789s", 1_723_161_662 * S + 123_456_789),
        ("1723161662500ms", 1_723_161_662 * S + 500_000_000),
        ("1723161662500.25ms", 1_723_161_662 * S + 500_250_000),
        ("1723161662500001us", 1_723_161_662 * S + 500_001_000),
        ("1723161662500001002ns", 1_723_161_662_500_001_002),
        # A bare integer is epoch nanoseconds
        ("1723161662500001002", 1_723_161_662_500_001_002),
        ("1723161662", 1_723_161_662),
        ("0", 0),
        # From the start, before the end
        ("+30s", FIRST + 30 * S),
        ("+0s", FIRST),
        ("+1.5s", FIRST + 1_500_000_000),
        ("+250ms", FIRST + 250_000_000),
        ("+7us", FIRST + 7_000),
        ("+7ns", FIRST + 7),
        ("-5m", LAST - 300 * S),
        ("-0.000000001s", LAST - 1),
        ("-1h", LAST - 3_600 * S),
        ("+1d", FIRST + 86_400 * S),
        ("-0s", LAST),
    ],
)
def test_a_time_is_read_to_the_nanosecond(text, expected):
    """Each form that the interface names, with and without what is optional in it."""
    assert instant_ns(text, FIRST, LAST) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "now",
        "end ",
        "1.5",
        "-5",
        "+5",
        "5m",
        "5h",
        "1e9s",
        "+-5s",
        "+5 s",
        "٣s",
        "٣",
        "10:00",
        "2024-08-09",
        "2024-08-09T00:01Z",
        "2024-02-30T00:00:00Z",
        "2024-08-09T24:00:00Z",
        "2024-08-09T00:61:00Z",
        "2024-08-09T00:00:00+25:00",
        "2024-08-09T00:00:00 UTC",
        "2024-08-09T00:00:00.1234567891Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "99999999999999999999",
        "9" * 5_000,
        "9" * 5_000 + "s",
        "+" + "9" * 5_000 + "d",
    ],
)
def test_what_is_no_time_is_refused_and_never_guessed(text):
    """An error of ours that shows what was typed and what could have been."""
    with pytest.raises(BadInstant, match="RFC 3339"):
        instant_ns(text, FIRST, LAST)


def test_relative_times_of_an_empty_capture_are_read_all_the_same():
    """There is no start to count from; the time is well-formed and no error."""
    assert instant_ns("+30s", None, None) == 30 * S
    assert instant_ns("-30s", None, None) == -30 * S


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2262, 1, 1)),
    st.integers(0, 999_999_999),
    st.integers(-14 * 60 + 1, 14 * 60 - 1),
)
def test_any_instant_in_any_zone_is_the_same_instant(moment, nanoseconds, zone_minutes):
    """The wall time of a zone, with that zone behind it, is the instant; no nanosecond goes astray."""
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * S + nanoseconds
    local = moment.astimezone(timezone(timedelta(minutes=zone_minutes)))
    zone = local.isoformat()[19:]
    text = f"{local.strftime('%Y-%m-%dT%H:%M:%S')}.{nanoseconds:09d}{zone}"
    assert instant_ns(text, None, None) == expected
    assert instant_ns(str(expected), None, None) == expected
    assert instant_ns(f"{expected // S}.{nanoseconds:09d}s", None, None) == expected


@given(st.integers(-62_135_596_800 * S, 253_402_300_800 * S - 1))
def test_a_time_that_is_printed_can_be_typed_again(time_ns):
    """What `clock_text` writes, `instant_ns` reads, from the year 1 to the year 9999."""
    assert instant_ns(clock_text(time_ns), None, None) == time_ns


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (None, "-"),
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (FIRST, "2024-08-09T00:00:00.000000001Z"),
        (10**30, f"{10**30} ns"),
        (-(10**30), f"-{10**30} ns"),
    ],
)
def test_a_time_is_printed_in_utc(time_ns, text):
    """All nine digits, a zone that says UTC, a dash for none, and the bare number where there is no such year."""
    assert clock_text(time_ns) == text


@pytest.mark.parametrize(
    ("span_ns", "text"),
    [
        (None, "-"),
        (0, "0 ns"),
        (999, "999 ns"),
        (-999, "-999 ns"),
        (1_000, "1.000 us"),
        (1_500_000, "1.500 ms"),
        (-1_270_000_000, "-1.270 s"),
        (3_600 * S, "3,600.000 s"),
    ],
)
def test_a_span_is_printed_in_the_unit_that_suits_it(span_ns, text):
    """The largest unit that leaves something before the point, negative spans included."""
    assert span_text(span_ns) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500ms", S // 2), ("1.5s", 3 * S // 2), ("2m", 120 * S), ("1h", 3_600 * S), ("1d", 86_400 * S), ("7ns", 7)],
)
def test_a_length_of_time_is_read_to_the_nanosecond(text, expected):
    """A number and a unit, nothing through a float."""
    assert span_ns(text) == expected


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "+5s", "1e3s", "5 s", "5S", "\u0665s"])
def test_what_is_no_length_of_time_is_refused(text):
    """One sentence that shows the forms there are."""
    with pytest.raises(BadSpan, match="500ms"):
        span_ns(text)
