"""Orders come so that messages come at the rate asked for, by arithmetic that no machine does otherwise."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.market.pace import Pace, shares_of
from hftcap.market.plan import START_NS

SECOND = 1_000_000_000


@given(st.integers(1, 10**9), st.integers(1, 80))
def test_a_rate_is_shared_out_exactly(rate, count):
    """1, 1/2, 1/3 … of the first: each the float nearest to the true share, whatever release of Python adds them up."""
    whole = sum(Fraction(1, place) for place in range(1, count + 1))
    assert shares_of(rate, count) == [float(Fraction(rate) / whole / place) for place in range(1, count + 1)]


def test_steps_come_faster_where_messages_are_missing():
    """Half the messages wanted in the first second: the next steps come faster than before, but not without bound."""
    pace = Pace(1_000, START_NS + 100 * SECOND)
    pace.steps = 500
    pace.adjust(START_NS + SECOND, live=500, timed=0)
    behind_ns = pace.mean_ns
    pace.steps = 1_000
    pace.adjust(START_NS + SECOND, live=1_000, timed=0)
    kept_ns = pace.mean_ns
    pace.adjust(START_NS + SECOND, live=2_000, timed=0)
    ahead_ns = pace.mean_ns
    assert 250_000 <= behind_ns < kept_ns < ahead_ns
    assert kept_ns == 10**6 * 1_048 // 1_064  # a message a step, by all but what was taken for known
    assert ahead_ns == 64 * 10**6  # far too many: a 64th of the rate is the least


def test_what_time_alone_brings_needs_no_steps():
    """Half of what is wanted comes of time: steps come for the other half, one a message."""
    pace = Pace(1_000, START_NS + 1_000 * SECOND)
    pace.steps = 5_000
    pace.adjust(START_NS + 10 * SECOND, live=5_000, timed=5_000)
    assert pace.mean_ns == pytest.approx(2 * 10**6, rel=0.01)
