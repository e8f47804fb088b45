"""Redundant lines of one feed: an event counts once, when it first arrives; only what no line brought is a gap."""

import random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcap.binance import lines
from hftcap.binance.depth_sync import DepthSync, Verdict
from hftcap.binance.lines import (
    HOLD_NS,
    LINE_ALIVE_NS,
    Arrival,
    ContentMerge,
    DiffMerge,
    PrintMerge,
    QuoteMerge,
)
from hftcap.binance.messages import DepthDiff
from hftcap.kernel import SymbolBook

FIRST, COPY, REPEAT = Arrival.FIRST, Arrival.COPY, Arrival.REPEAT
MS = 1_000_000


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), max_size=60))
def test_each_print_is_first_once(arrivals):
    """The first to bring an id is FIRST; after that it is a copy if that line is still rising, else a repeat."""
    merge, seen, latest = PrintMerge(), set(), {}
    for line, number in arrivals:
        rising = number > latest.get(line, -1)
        expected = FIRST if number not in seen else COPY if rising else REPEAT
        assert merge.take(line, number) is expected
        seen.add(number)
        latest[line] = max(number, latest.get(line, -1))
    again = PrintMerge.load(*merge.dump())
    assert [again.take(line, number) for line, number in arrivals] == [
        merge.take(line, number) for line, number in arrivals
    ]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), max_size=60))
def test_a_quote_counts_if_it_is_newer_than_all(arrivals):
    """Ids rise but have holes, so nothing can be filled in late."""
    merge, newest, latest = QuoteMerge(), -1, {}
    for line, number in arrivals:
        expected = FIRST if number > newest else COPY if number > latest.get(line, -1) else REPEAT
        assert merge.take(line, number) is expected
        newest = max(newest, number)
        latest[line] = max(number, latest.get(line, -1))


def test_equal_payloads_are_copies_only_from_another_line():
    """One line may say the same twice, a quiet candle, and both count; the other line's are the copies."""
    merge = ContentMerge()
    assert [merge.take(line, b"candle") for line in (1, 1, 2, 2, 1)] == [FIRST, FIRST, COPY, FIRST, FIRST]
    assert merge.take(2, b"other") is FIRST
    assert ContentMerge.load(merge.dump()).take(1, b"other") is COPY


def test_content_is_forgotten_after_a_while(monkeypatch):
    """Only the last few payloads of a stream are held against."""
    monkeypatch.setattr(lines, "CONTENT_KEPT", 2)
    merge = ContentMerge()
    for payload in (b"a", b"b", b"c"):
        assert merge.take(1, payload) is FIRST
    assert [merge.take(2, payload) for payload in (b"a", b"c")] == [FIRST, COPY]


# Diffs


class Sent(NamedTuple):
    """A diff as one line brings it."""

    at_ns: int
    line: int
    diff: DepthDiff


def diff(first: int, last: int) -> DepthDiff:
    return DepthDiff(
        symbol="BTCUSDT",
        first_update_id=first,
        final_update_id=last,
        prev_final_update_id=None,
        trade_ns=None,
        bids=[(price, last) for price in range(first, last + 1)],
        asks=[],
    )


def feed(ids: list[int], cuts: list[int], delays_ms: list[int], lost: set[int], line: int) -> list[Sent]:
    """Cut a run of update ids into diffs, some lost, each but the first delayed; a line keeps its own order."""
    sent, at_ns, first = [], 0, ids[0]
    for number, last in enumerate(sorted({*cuts, ids[-1]})):
        if number:  # both lines are there from the start: one that was never heard of cannot be waited for
            at_ns = max(at_ns, (number * 10 + delays_ms[number % len(delays_ms)]) * MS)
        if number not in lost:
            sent.append(Sent(at_ns, line, diff(first, last)))
        first = last + 1
    return sent


def play(arrivals: list[Sent]) -> tuple[SymbolBook, list[Arrival]]:
    book = SymbolBook(futures=False, expects_snapshot=False)
    found = [book.diff(each.diff, each.line, ("c", 0, place, each.at_ns))[2] for place, each in enumerate(arrivals)]
    book.finish()
    return book, found


numbers = list(range(1, 41))
cuttings = st.sets(st.integers(1, 39), max_size=12).map(sorted)
delaying = st.lists(st.integers(0, 90), min_size=1, max_size=6)


@settings(max_examples=200)
@given(cuttings, delaying, delaying, st.sets(st.integers(0, 12)), st.sets(st.integers(0, 12)))
def test_what_one_line_brought_is_no_gap(cuts, delays, other_delays, lost, other_lost):
    """Two lines cut alike, each losing some: the book has all that either brought, and a gap where neither did."""
    last = len({*cuts, numbers[-1]}) - 1
    both = {number for number in lost & other_lost if number < last}
    ours = feed(numbers, cuts, delays, lost - {0, last}, 1)
    theirs = feed(numbers, cuts, other_delays, other_lost - {0, last}, 2)
    arrivals = sorted(ours + theirs, key=lambda each: each.at_ns)
    book, found = play(arrivals)
    brought = {each.diff.final_update_id for each in arrivals}
    assert found.count(FIRST) == len(brought)
    missing = both - {0, last}
    holes = sum(number - 1 not in missing for number in missing)
    assert book.sync.gaps == holes
    assert book.sync.stale == 0
    assert book.updates == len(brought)
    prices = {price for each in arrivals for price, _ in each.diff.bids}
    assert {price for price, _ in book.book.bids()} == prices


@settings(max_examples=200)
@given(cuttings, cuttings, delaying, delaying)
def test_lines_that_cut_differently_still_give_the_one_book(cuts, other_cuts, delays, other_delays):
    """Overlapping diffs do no harm: no gap, every id's level there with the size some diff gave it."""
    arrivals = sorted(
        feed(numbers, cuts, delays, set(), 1) + feed(numbers, other_cuts, other_delays, set(), 2),
        key=lambda each: each.at_ns,
    )
    book, _ = play(arrivals)
    assert (book.sync.gaps, book.sync.stale, book.book_update_id) == (0, 0, numbers[-1])
    assert {price for price, _ in book.book.bids()} == set(numbers)


def taking(merge: DiffMerge, line: int, each: DepthDiff, at_ns: int, feed_id: int | None):
    sync = DepthSync(futures=False, expects_snapshot=False)
    arrival, due = merge.take(line, each, ("c", 0, 0, at_ns), feed_id, sync.follows)
    return arrival, [found.final_update_id for found, _ in due]


def test_a_diff_waits_for_a_line_that_is_behind():
    """The line in front lost something; the other one has not come so far: nothing is applied until it does."""
    merge = DiffMerge.of_one_line(1, 10, 0)
    assert taking(merge, 2, diff(5, 10), 0, 10) == (COPY, [])
    assert taking(merge, 1, diff(16, 20), MS, 10) == (FIRST, [])
    assert taking(merge, 1, diff(21, 25), 2 * MS, 10) == (FIRST, [])
    assert taking(merge, 2, diff(11, 15), 3 * MS, 10) == (FIRST, [15, 20, 25])


@pytest.mark.parametrize(
    ("line", "at_ns", "why"),
    [
        (2, 2 * MS, "the other line has passed the hole, too"),
        (1, HOLD_NS + MS, "it was held long enough"),
        (1, LINE_ALIVE_NS + MS, "the other line is silent"),
    ],
)
def test_a_diff_waits_no_longer_than_there_is_hope(line, at_ns, why):
    """Then it goes, and the hole before it is a gap."""
    merge = DiffMerge.of_one_line(1, 10, 0)
    taking(merge, 2, diff(5, 10), 0, 10)
    assert taking(merge, 1, diff(16, 20), MS, 10) == (FIRST, [])
    assert taking(merge, line, diff(21, 25), at_ns, 10) == (FIRST, [20, 25]), why


def test_a_step_of_the_clock_ends_the_wait():
    """A receive time far in the past is not an age of many years, nor does it hold a diff for ever."""
    merge = DiffMerge.of_one_line(1, 10, 0)
    taking(merge, 2, diff(5, 10), 0, 10)
    taking(merge, 1, diff(16, 20), 5 * HOLD_NS, 10)
    assert taking(merge, 1, diff(21, 25), 0, 10) == (FIRST, [20, 25])


@given(st.randoms(use_true_random=False), st.integers(1, 30))
def test_a_merge_that_was_dumped_goes_on_as_the_original(chance: random.Random, at: int):
    """Held diffs, what each line brought and when: all of it is in the dump."""
    arrivals = sorted(
        feed(numbers, numbers[::3], [0, 20], {3, 7}, 1) + feed(numbers, numbers[::3], [40, 5], {5}, 2),
        key=lambda each: (each.at_ns, chance.random()),
    )
    sync = DepthSync(futures=False, expects_snapshot=False)
    merge = DiffMerge()
    for place, each in enumerate(arrivals):
        if place == at:
            merge = DiffMerge.load(*merge.dump())
        other = DiffMerge.load(*merge.dump())
        origin = ("c", 0, place, each.at_ns)
        took = merge.take(each.line, each.diff, origin, sync.feed_id, sync.follows)
        assert other.take(each.line, each.diff, origin, sync.feed_id, sync.follows) == took
        for found, _ in took[1]:
            assert (sync.update(found).verdict is Verdict.STALE) is (took[0] is REPEAT)
    assert merge.finish() == other.finish()


def test_a_line_that_is_closed_is_not_waited_for():
    """From the time of its closing on; before, it may still bring what is missing."""
    closed: dict[int, int] = {}
    merge = DiffMerge.of_one_line(1, 10, 0, closed)
    assert taking(merge, 2, diff(16, 20), MS, 10) == (FIRST, [])
    closed[1] = 3 * MS
    assert taking(merge, 2, diff(21, 25), 2 * MS, 10) == (FIRST, [])
    assert taking(merge, 2, diff(26, 30), 3 * MS, 10) == (FIRST, [20, 25, 30])
