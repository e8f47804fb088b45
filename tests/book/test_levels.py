"""A book of price levels holds exactly what a plain dict per side would hold."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcap.book.levels import NO_ASK, NO_BID, Levels
from hftcap.fixed import INT64_MAX

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

# Few prices, so that levels are often replaced and removed; and the ends of the range.
prices = st.one_of(st.integers(1, 12), st.sampled_from([0, INT64_MAX - 1, INT64_MAX]))
sizes = st.one_of(st.just(0), st.integers(1, 5), st.just(INT64_MAX))
sides = st.lists(st.tuples(prices, sizes), max_size=8)
updates = st.lists(st.tuples(sides, sides), max_size=25)


def apply_plainly(side, changes):
    """Set or remove one level after the other: the meaning of an update."""
    for price, size in changes:
        if size == 0:
            side.pop(price, None)
        else:
            side[price] = size


def digest(bids, asks):
    """Write both sides as the interface defines them and hash the text."""
    lines = [f"b {price} {bids[price]}\n" for price in sorted(bids, reverse=True)]
    lines += [f"a {price} {asks[price]}\n" for price in sorted(asks)]
    return hashlib.sha256("".join(lines).encode("ascii")).hexdigest()


def assert_equal(book, bids, asks):
    """Hold every answer of a book against the two dicts."""
    best_first, lowest_first = sorted(bids.items(), reverse=True), sorted(asks.items())
    bid, ask = max(bids, default=NO_BID), min(asks, default=NO_ASK)
    assert book.touch() == (bid, bids.get(bid, 0), ask, asks.get(ask, 0))
    assert (book.n_bids, book.n_asks) == (len(bids), len(asks))
    assert (book.bids(), book.asks()) == (best_first, lowest_first)
    for count in (0, 1, 3, 1_000):
        assert book.bids(count) == best_first[:count]
        assert book.asks(count) == lowest_first[:count]
    assert book.crossed == (bool(bids) and bool(asks) and max(bids) >= min(asks))
    assert book.sha256() == digest(bids, asks)


@given(updates, st.lists(st.booleans(), min_size=25, max_size=25))
@settings(max_examples=300)
def test_a_book_is_two_dicts_whenever_it_is_looked_at(changes, looks):
    """Whatever is set, replaced or removed, and whether or not the touch was asked for between, the answers agree."""
    book, bids, asks = Levels(), {}, {}
    for (bid_changes, ask_changes), look in zip(changes, looks, strict=False):
        book.apply(bid_changes, ask_changes)
        apply_plainly(bids, bid_changes)
        apply_plainly(asks, ask_changes)
        if look:
            assert_equal(book, bids, asks)
    assert_equal(book, bids, asks)


@given(sides, sides)
@settings(max_examples=100)
def test_a_book_made_of_levels_is_an_empty_one_to_which_they_were_applied(bid_levels, ask_levels):
    """A snapshot needs no second way in; a level of size 0 in it is no level."""
    bids, asks = {}, {}
    apply_plainly(bids, bid_levels)
    apply_plainly(asks, ask_levels)
    assert_equal(Levels(bid_levels, ask_levels), bids, asks)


@given(updates)
@settings(max_examples=100)
def test_equal_books_have_one_digest_whatever_built_them(changes):
    """The digest tells the levels, not their history."""
    book = Levels()
    for bid_changes, ask_changes in changes:
        book.apply(bid_changes, ask_changes)
    again = Levels(reversed(book.bids()), reversed(book.asks()))
    assert again.sha256() == book.sha256()
    again.apply([(500, 7)], [])
    assert again.sha256() != book.sha256()
    again.apply([(500, 0)], [])
    assert again.sha256() == book.sha256()


def test_the_digest_is_that_of_the_interface():
    """Lines `b price size` from the highest, then `a price size` from the lowest, both scaled by 1e8."""
    book = Levels([(9, 2), (10, 1)], [(12, 4), (11, 3)])
    assert book.sha256() == hashlib.sha256(b"b 10 1\nb 9 2\na 11 3\na 12 4\n").hexdigest()
    assert Levels().sha256() == EMPTY_SHA256


@pytest.mark.parametrize("price", [0, 1, 9, 10, 11, 12, INT64_MAX])
def test_removing_a_level_that_is_not_there_is_silent(price):
    """A fifth of all removals name no level: nothing happens, nothing turns negative."""
    book = Levels([(10, 1)], [(11, 2)])
    before = book.sha256()
    book.apply([(price, 0)] if price != 10 else [], [(price, 0)] if price != 11 else [])
    assert book.sha256() == before
    assert book.touch() == (10, 1, 11, 2)
    Levels().apply([(price, 0)], [(price, 0)])


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ([(10, 1), (10, 2)], 2),
        ([(10, 1), (10, 0)], 0),
        ([(10, 0), (10, 3)], 3),
        ([(10, 1), (10, 0), (10, 4), (9, 1)], 4),
    ],
)
def test_the_last_size_wins_inside_one_update(changes, size):
    """Should the venue name a price twice, the later word counts, on the touch as in the levels."""
    book = Levels([(8, 1)], [(13, 1)])
    book.apply(changes, [(22 - price, size) for price, size in changes])
    held = dict(book.bids()), dict(book.asks())
    assert (held[0].get(10, 0), held[1].get(12, 0)) == (size, size)
    assert book.touch() == (max(held[0]), held[0][max(held[0])], min(held[1]), held[1][min(held[1])])


def test_an_empty_side_has_no_touch_and_crosses_nothing():
    """A side without levels has a price that no level can have, and size 0."""
    assert Levels().touch() == (NO_BID, 0, NO_ASK, 0)
    assert NO_BID < 0
    assert NO_ASK > INT64_MAX
    assert not Levels().crossed
    assert not Levels([(INT64_MAX, 1)]).crossed
    assert not Levels([], [(0, 1)]).crossed


@pytest.mark.parametrize(("bid", "ask", "crossed"), [(9, 10, False), (10, 10, True), (11, 10, True)])
def test_a_book_is_crossed_where_the_bid_reaches_the_ask(bid, ask, crossed):
    """Equal prices are crossed: such orders would have met."""
    assert Levels([(bid, 1)], [(ask, 1)]).crossed is crossed


def test_a_level_far_from_all_others_is_inserted():
    """A price outside the range of the snapshot is a level like any other."""
    book = Levels([(100, 1)], [(101, 1)])
    book.apply([(1, 5)], [(10**15, 6)])
    assert book.bids() == [(100, 1), (1, 5)]
    assert book.asks() == [(101, 1), (10**15, 6)]


def test_asking_changes_nothing_and_answers_are_the_askers_own():
    """A list that was handed out can be changed without the book noticing."""
    book = Levels([(9, 1), (10, 2)], [(11, 3)])
    before = book.sha256()
    book.bids().clear()
    book.asks(1).append((1, 1))
    assert book.sha256() == before
