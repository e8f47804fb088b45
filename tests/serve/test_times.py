"""Times inside payloads, rewritten in place."""

import pytest

from hftcap.serve.times import first_time_ns, in_microseconds, in_milliseconds, shifted

TRADE = (
    b'{"stream":"a@trade","data":{"e":"trade","E":1723161257440,"s":"A","t":1723161257441,"p":"1","T":1723161257439}}'
)
KLINE = b'{"e":"kline","E":1723161257440,"s":"A","k":{"t":1723161240000,"T":1723161299999,"s":"A","n":1723161240000}}'


def test_times_move_and_nothing_else():
    """A trade's `t` is its id, however many digits it has."""
    moved = shifted(TRADE, 1_000_000_000)
    assert moved == TRADE.replace(b"257440", b"258440").replace(b"257439", b"258439")
    assert len(moved) == len(TRADE)


def test_a_candles_times_move_with_it():
    """Begin and end; its count of trades does not."""
    assert shifted(KLINE, -60_000_000_000) == (
        b'{"e":"kline","E":1723161197440,"s":"A","k":{"t":1723161180000,"T":1723161239999,"s":"A","n":1723161240000}}'
    )


def test_microseconds_move_by_microseconds():
    """The width tells the unit."""
    assert shifted(b'{"E":1723161257440123}', 5_000) == b'{"E":1723161257440128}'
    assert shifted(b'{"E":1723161257440}', 5_000) == b'{"E":1723161257440}'


@pytest.mark.parametrize(
    "text", [b'{"E":"1723161257440"}', b'{"x":"\\"E\\":1723161257440,"}', b'{"E":12}', b'{"ET":1}']
)
def test_what_is_no_time_stays(text):
    """Text, other widths, other keys."""
    assert shifted(text, 10**9) == text


def test_units():
    """Milliseconds gain 000, microseconds are cut."""
    assert in_microseconds(b'{"E":1723161257440,"T":1723161257440123}') == (
        b'{"E":1723161257440000,"T":1723161257440123}'
    )
    assert in_milliseconds(b'{"E":1723161257440999,"T":1723161257440}') == b'{"E":1723161257440,"T":1723161257440}'
    assert first_time_ns(TRADE) == 1723161257440_000_000
    assert first_time_ns(b'{"E":1723161257440123}') == 1723161257440123_000
    assert first_time_ns(b'{"u":1}') is None
