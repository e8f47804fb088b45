"""The compiled book does what `Levels` does, level for level, wherever its prices lie."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcap.book.levels import NO_ASK, NO_BID, Level, Levels
from hftcap.fixed import INT64_MAX

native = pytest.importorskip("hftcap.kernel._native", reason="the compiled kernel was not built")

TICK = 1_000_000
MID = 6_000_000
prices = st.one_of(
    st.integers(0, 40).map(lambda ticks: (MID + ticks) * TICK),
    st.integers(0, 3 * MID).map(lambda ticks: ticks * TICK),
    st.integers((MID - 2) * TICK, (MID + 2) * TICK),
    st.integers(0, INT64_MAX),
    st.sampled_from((0, 1, INT64_MAX)),
)
sizes = st.one_of(st.just(0), st.integers(1, 10**12), st.just(INT64_MAX))
levels = st.lists(st.tuples(prices, sizes), max_size=120)


def assert_same(window: "native.WindowLevels", book: Levels) -> None:
    assert window.touch() == book.touch()
    assert window.bids() == book.bids()
    assert window.asks() == book.asks()


@given(levels, levels, st.lists(st.tuples(levels, levels), max_size=6))
@settings(max_examples=150)
def test_any_updates_leave_the_same_book(bids, asks, updates):
    """Touch and all levels are those of the plain book after every update."""
    window, book = native.WindowLevels(bids, asks), Levels(bids, asks)
    assert_same(window, book)
    for more_bids, more_asks in updates:
        window.apply(more_bids, more_asks)
        book.apply(more_bids, more_asks)
        assert_same(window, book)


@given(levels, levels, st.integers(0, INT64_MAX), st.integers(0, INT64_MAX))
@settings(max_examples=50)
def test_every_question_has_the_same_answer(bids, asks, lowest, highest):
    """Counts, digest, borders, dump and what is held at a price."""
    window, book = native.WindowLevels(bids, asks), Levels(bids, asks)
    assert (window.n_bids, window.n_asks, window.crossed) == (book.n_bids, book.n_asks, book.crossed)
    assert window.sha256() == book.sha256()
    assert window.beyond(lowest, highest) == book.beyond(lowest, highest)
    assert window.dump() == book.dump()
    assert window.sides() == book.sides()
    assert (window.bids(3), window.asks(3)) == (book.bids(3), book.asks(3))
    assert_same(native.WindowLevels.load(book.dump()), book)
    for price in {price for price, _ in bids + asks}:
        held = book.sides()
        assert (window.size(price, True), window.size(price, False)) == tuple(side.get(price, 0) for side in held)


def test_an_empty_book_has_no_touch():
    """No price stands for none."""
    assert native.WindowLevels().touch() == (NO_BID, 0, NO_ASK, 0)


def market(kind: str, updates: int, seed: int, deep: int = 10_000) -> Iterator[tuple[list[Level], list[Level]]]:
    """Yield a snapshot and updates of a market that does its worst."""
    rng = random.Random(seed)
    tick, mid = TICK, MID
    if kind == "cheap coin":
        tick, mid = 1, 812
    elif kind == "dear":
        tick, mid = 10**8, 9_000_000_000
    elif kind == "tick 0.05":
        tick, mid = 5 * 10**6, 400_000
    held: tuple[set[int], set[int]] = (set(), set())

    def spread(count: int, width: float | None) -> tuple[list[Level], list[Level]]:
        sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for is_ask in (0, 1):
            for _ in range(count):
                away = (
                    int(rng.expovariate(1 / min(2_000, mid / 4)))
                    if width is None
                    else rng.randrange(1, int(mid * width))
                )
                price = (mid + (away if is_ask else -away)) * tick
                if (kind == "2 % off the grid" and rng.random() < 0.02) or kind == "no grid":
                    price += rng.randrange(tick)
                if 0 < price <= INT64_MAX:
                    sides[is_ask][price] = 0 if rng.random() < 0.4 else rng.randrange(1, 10**11)
            for price in [price for price in held[is_ask] if (price > mid * tick) != bool(is_ask)]:
                sides[is_ask][price] = 0
            held[is_ask].update(price for price, size in sides[is_ask].items() if size)
            held[is_ask].difference_update(price for price, size in sides[is_ask].items() if not size)
        return list(sides[0].items()), list(sides[1].items())

    yield spread(
        deep if kind in ("deep", "deep, near the touch") else 800,
        0.5 if kind in ("deep", "deep, near the touch") else None,
    )
    for number in range(updates):
        if kind == "jumps 30 %" and number % 10 == 9:
            mid = int(MID * rng.uniform(0.7, 1.3))
        elif kind == "drift":
            mid += 20
        elif kind == "flapping":
            mid = MID + (number & 1) * 40_000
        yield spread(rng.randrange(40), 0.5 if kind in ("deep", "wide") else None)


KINDS = ("plain", "cheap coin", "dear", "tick 0.05", "2 % off the grid", "no grid", "jumps 30 %", "drift", "flapping")


@pytest.mark.parametrize("kind", [*KINDS, "deep", "wide"])
def test_the_worst_markets_come_out_the_same(kind):
    """Jumps, drifts, prices off the grid, coins of a few ticks and books of thousands of levels."""
    window, book = native.WindowLevels(), Levels()
    for number, (bids, asks) in enumerate(market(kind, 400, seed=3)):
        window.apply(bids, asks)
        book.apply(bids, asks)
        assert window.touch() == book.touch(), number
    assert_same(window, book)


@pytest.mark.parametrize(
    ("kind", "most"), [("plain", 0.1), ("drift", 0.3), ("2 % off the grid", 0.15), ("tick 0.05", 0.1)]
)
def test_the_window_follows_the_market(kind, most):
    """Few levels miss the window: one that stopped following would give the same book, slowly."""
    window = native.WindowLevels()
    for bids, asks in market(kind, 2_000, seed=4):
        window.apply(bids, asks)
    for _, applied, missed, _ in window.window:
        assert missed < most * applied
