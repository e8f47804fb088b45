"""Chance that is the same everywhere: what a seed gives today, it gives on every machine and in every release."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.market.chance import WAIT_SCALE_BITS, draw_of, log_uniform, waits


def test_a_stream_of_bits_is_what_it_always_was():
    """Words that were written down once: were they to change, no capture could be made again from its seed."""
    draw = draw_of(7, "flow", "BTCUSDT")
    assert [draw(64), draw(10), draw(64)] == [8756866745668157984, 946, 10517493861811434633]


def test_purposes_have_chance_of_their_own():
    """One that draws more disturbs no other; names that run together are not mistaken for each other."""
    first, second = draw_of(1, "a"), draw_of(1, "b")
    expected = [draw_of(1, "b")(64)]
    first(64)
    assert [second(64)] == expected
    words = {draw_of(*key)(64) for key in ((1, "a"), (2, "a"), (1, "b"), (1, "a", 1), (11, "a"))}
    assert len(words) == 5


def test_waits_are_an_exponential_law_of_mean_one():
    """The mean to a thousandth, the median at ln 2, every wait positive."""
    table = waits()
    scale = 1 << WAIT_SCALE_BITS
    assert sum(table) / len(table) / scale == pytest.approx(1, rel=1e-3)
    assert sorted(table)[len(table) // 2] / scale == pytest.approx(0.693, rel=1e-2)
    assert min(table) > 0


@given(st.integers(0, 2**64 - 1), st.integers(1, 24))
def test_log_uniform_stays_in_its_range(word, bits):
    """Never 0, never as large as the next power of two."""
    assert 1 <= log_uniform(word, bits) < 1 << bits


def test_log_uniform_favours_no_power_of_two():
    """Of as many words each power of two gets its share."""
    draw = draw_of(3, "sizes")
    counts = [0] * 8
    for _ in range(8_000):
        counts[log_uniform(draw(64), 8).bit_length() - 1] += 1
    assert min(counts) > 850 and max(counts) < 1_150
