"""Price-time priority as a venue keeps it, held against a book so simple that it must be right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.market.matching import BUY, SELL, OrderBook

orders = st.tuples(
    st.just("submit"), st.sampled_from([BUY, SELL]), st.integers(95, 105), st.integers(1, 9), st.booleans()
)
cancels = st.tuples(st.just("cancel"), st.integers(0, 60))
actions = st.lists(st.one_of(orders, orders, cancels), max_size=60)


class Plain:
    """Every resting order in a list, in the order of arrival; whatever is wanted is looked for from the start."""

    def __init__(self):
        self.resting = []  # [number, side, price, lots]

    def submit(self, number, side, price, lots, rests):
        fills = []
        while lots:
            others = [order for order in self.resting if order[1] == -side and side * (price - order[2]) >= 0]
            if not others:
                break
            best = min(others, key=lambda order: side * order[2])  # the first of equals: the oldest
            taken = min(lots, best[3])
            fills.append((best[0], best[2], taken))
            lots -= taken
            best[3] -= taken
            if not best[3]:
                self.resting.remove(best)
        if lots and rests:
            self.resting.append([number, side, price, lots])
        return fills

    def cancel(self, number):
        for order in self.resting:
            if order[0] == number:
                self.resting.remove(order)
                return order[3]
        return 0

    def levels(self, side):
        sizes = {}
        for _, own, price, lots in self.resting:
            if own == side:
                sizes[price] = sizes.get(price, 0) + lots
        return sizes


def levels_of(book, side):
    half = book.bids if side == BUY else book.asks
    return {price: half.lots_at(price) for price in half.prices()}


def play(steps):
    """Yield after each step: book, plain book, what both returned."""
    book, plain = OrderBook(), Plain()
    for number, (kind, *rest) in enumerate(steps):
        if kind == "submit":
            side, price, lots, rests = rest
            yield book, plain, book.submit(number, side, price, lots, rests=rests), plain.submit(number, *rest)
        else:
            yield book, plain, book.cancel(rest[0]), plain.cancel(rest[0])


@given(actions)
def test_orders_fill_and_rest_as_in_the_plain_book(steps):
    """The same fills in the same order, the same lots given back, the same sizes, after each step."""
    for book, plain, found, expected in play(steps):
        assert found == expected
        for side in (BUY, SELL):
            assert levels_of(book, side) == plain.levels(side)
        assert len(book) == len(plain.resting)


@given(actions)
def test_a_book_is_never_crossed(steps):
    """The best bid is below the best ask whenever there are both, and `touch` names the best of each side."""
    for book, _, _, _ in play(steps):
        bid, bid_lots, ask, ask_lots = book.touch()
        assert bid < ask or not bid or not ask
        for side, price, lots in ((BUY, bid, bid_lots), (SELL, ask, ask_lots)):
            sizes = levels_of(book, side)
            best = (max if side == BUY else min)(sizes, default=0)
            assert (price, lots) == (best, sizes.get(best, 0))


@given(actions)
def test_nothing_is_made_or_lost(steps):
    """What was sent in is what was filled (twice: both sides had it), cancelled, forgotten, or rests."""
    sent = filled = cancelled = forgotten = 0
    book = OrderBook()
    for number, (kind, *rest) in enumerate(steps):
        if kind == "submit":
            side, price, lots, rests = rest
            done = sum(fill[2] for fill in book.submit(number, side, price, lots, rests=rests))
            sent += lots
            filled += done
            forgotten += 0 if rests else lots - done
        else:
            cancelled += book.cancel(rest[0])
    resting = sum(sum(levels_of(book, side).values()) for side in (BUY, SELL))
    assert sent == 2 * filled + cancelled + forgotten + resting


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 80))
def test_the_oldest_order_of_a_price_fills_first(sizes, lots):
    """Whole orders in the order they came; at most one in part, which keeps its place."""
    book = OrderBook()
    for number, size in enumerate(sizes):
        book.submit(number, SELL, 100, size)
    fills = book.submit(99, BUY, 100, lots, rests=False)
    assert [maker for maker, _, _ in fills] == list(range(len(fills)))
    assert all(taken == sizes[maker] for maker, _, taken in fills[:-1])
    left = book.queue(SELL, 100)
    assert [number for number, _ in left] == list(range(len(sizes)))[len(sizes) - len(left) :]
    assert sum(size for _, size in left) == max(0, sum(sizes) - lots)


@given(actions)
def test_what_changed_is_told_once(steps):
    """Applying the drained prices to a copy of the sizes keeps it equal to the book; a second drain is empty."""
    copies = {BUY: {}, SELL: {}}
    for book, _, _, _ in play(steps):
        for side, half in ((BUY, book.bids), (SELL, book.asks)):
            for price in half.drain():
                copies[side][price] = half.lots_at(price)
                if not copies[side][price]:
                    del copies[side][price]
            assert copies[side] == levels_of(book, side)
            assert half.drain() == set()


@pytest.mark.parametrize(("number", "price", "lots"), [(1, 100, 5), (2, 0, 5), (2, -1, 5), (2, 100, 0), (2, 100, -3)])
def test_what_is_no_order_is_refused(number, price, lots):
    """A number in use, a price or a size that is not above 0: refused, and the book stays as it was."""
    book = OrderBook()
    book.submit(1, BUY, 99, 4)
    with pytest.raises(ValueError, match="expected a new number"):
        book.submit(number, SELL, price, lots)
    assert levels_of(book, BUY) == {99: 4} and len(book) == 1
