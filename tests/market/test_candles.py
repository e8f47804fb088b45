"""Candles and 24-hour statistics are those of the fills in them."""

from hypothesis import given
from hypothesis import strategies as st

from hftcap.market.candles import MINUTE_MS, Bar, Day

fills = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 9), st.booleans()), min_size=1, max_size=30)


@given(fills)
def test_a_bar_is_its_fills(taken):
    """Open, high, low, close, sums and ids."""
    bar = Bar.at(90_000, MINUTE_MS, 7)
    for trade_id, (price, lots, bought) in enumerate(taken, 10):
        bar.add(price, lots, trade_id, bought)
    prices = [price for price, _, _ in taken]
    assert (bar.open_ms, bar.close_ms) == (60_000, 119_999)
    assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
    assert bar.lots == sum(lots for _, lots, _ in taken)
    assert bar.quote == sum(price * lots for price, lots, _ in taken)
    assert bar.taker_lots == sum(lots for _, lots, bought in taken if bought)
    assert bar.taker_quote == sum(price * lots for price, lots, bought in taken if bought)
    assert (bar.trades, bar.first_id, bar.last_id) == (len(taken), 10, 9 + len(taken))


def test_a_bar_without_fills_stands_at_the_last_price():
    """All four prices, no sums, ids of -1: as the venue writes it."""
    bar = Bar.at(0, MINUTE_MS, 7)
    assert (bar.open, bar.high, bar.low, bar.close) == (7, 7, 7, 7)
    assert (bar.trades, bar.lots, bar.first_id, bar.last_id) == (0, 0, -1, -1)


def test_a_day_forgets_what_is_older():
    """The fill of a minute that ended more than 24 hours ago is in no sum any more; memory does not grow."""
    day = Day()
    assert day.bar(0) is None
    day.add(0, 100, 5, 1, taker_bought=True)
    day.add(MINUTE_MS, 90, 2, 2, taker_bought=False)
    bar = day.bar(MINUTE_MS)
    assert bar is not None and (bar.open, bar.high, bar.low, bar.close, bar.lots) == (100, 100, 90, 90, 7)
    later = day.bar(1_440 * MINUTE_MS + MINUTE_MS)
    assert later is not None and (later.open, later.high, later.lots, later.first_id) == (90, 90, 2, 2)
    assert day.bar(1_500 * MINUTE_MS) is None
    for minute in range(3_000):
        day.add(minute * MINUTE_MS, 1, 1, minute, taker_bought=True)
    assert len(day.minutes) == 1_441


def test_a_day_keeps_what_is_not_older():
    """A fill of the end of a minute is there until 24 hours later, with a fill in every minute between."""
    day = Day()
    for minute in range(1_441):
        day.add(minute * MINUTE_MS + (MINUTE_MS - 1 if not minute else 0), 100, 1, minute, taker_bought=True)
    bar = day.bar(1_440 * MINUTE_MS)
    assert bar is not None and (bar.lots, bar.first_id) == (1_441, 0)
