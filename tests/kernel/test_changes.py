"""The changes of the books, level by level: applied in order they give the book, and each says what it does."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hftcap.binance.messages import DepthDiff, RestDepth
from hftcap.kernel import SymbolBook
from hftcap.kernel.changes import NO_LEVELS, Action, BookSide, ChangeLog, Flag, LevelColumns, joined_levels
from hftcap.kernel.columns import NULL

SYMBOL, STREAM = "BTCUSDT", "btcusdt@depth"
levels = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4)), max_size=6)
steps = st.lists(
    st.tuples(st.sampled_from(["diff", "gap", "snapshot"]), levels, levels, st.integers(0, 3)), min_size=1, max_size=15
)


def new_log() -> ChangeLog:
    return ChangeLog(lambda name: -1 if name is None else 4, lambda name: -1 if name is None else 7)


def diff(first: int, last: int, bids=(), asks=()) -> DepthDiff:
    return DepthDiff(
        symbol=SYMBOL,
        stream=STREAM,
        event_ns=last * 1000,
        first_update_id=first,
        final_update_id=last,
        prev_final_update_id=None,
        trade_ns=None,
        bids=list(bids),
        asks=list(asks),
    )


def snapshot(last: int, bids=(), asks=()) -> RestDepth:
    unique = {"bids": list(dict(bids).items()), "asks": list(dict(asks).items())}
    return RestDepth(symbol=SYMBOL, update_id=last, trade_ns=None, **unique)


def rows(log: LevelColumns) -> list[tuple[int, ...]]:
    names = ("side", "action", "price_e8", "size_e8", "flags", "final_id", "place")
    return list(zip(*(getattr(log, name).tolist() for name in names), strict=True))


@given(steps, st.booleans())
def test_applying_the_rows_in_order_gives_the_book(steps, waits):
    """Through joins, gaps and buffered updates the rows alone rebuild the book, each action due to its level."""
    book, log, last = SymbolBook(futures=False, expects_snapshot=waits), new_log(), 10
    gaps = 0
    for place, (kind, bids, asks, step) in enumerate(steps):
        origin = ("c", 0, place, place)
        if kind == "snapshot":
            book.snapshot(snapshot(last + step - 2, bids, asks), origin, log)
            continue
        first = last + 1 + (step + 1) * (kind == "gap")
        last = first + step
        gaps += kind == "gap" and book.sync.feed_id is not None
        book.diff(diff(first, last, bids, asks), 0, origin, log)
    rebuilt: Counter[tuple[int, int]] = Counter()
    for side, action, price, size, _, _, _ in rows(log.columns()):
        due = Action.CANCEL if not size else Action.MODIFY if (side, price) in rebuilt else Action.ADD
        assert action == due
        if size:
            rebuilt[side, price] = size
        else:
            rebuilt.pop((side, price), None)
    expected = {(BookSide.BID, price): size for price, size in book.book.bids()}
    expected |= {(BookSide.ASK, price): size for price, size in book.book.asks()}
    assert rebuilt == expected
    assert len(log.gaps) == gaps == book.sync.gaps


def test_a_row_says_which_message_it_is_of():
    """Ids, times, stream and place are the update's; a snapshot has neither stream, first id nor event time."""
    book, log = SymbolBook(futures=False, expects_snapshot=True), new_log()
    book.diff(diff(4, 5, [(7, 1)]), 0, ("aa", 3, 1, 100), log)
    assert len(log.columns()) == 0, "nothing is applied while a snapshot is awaited"
    book.snapshot(snapshot(4, [(6, 2), (5, 1)]), ("aa", 3, 2, 200), log)
    found = log.columns()
    assert rows(found) == [
        (BookSide.BID, Action.ADD, 6, 2, Flag.SNAPSHOT, 4, 2),
        (BookSide.BID, Action.ADD, 5, 1, Flag.SNAPSHOT | Flag.LAST, 4, 2),
        (BookSide.BID, Action.ADD, 7, 1, Flag.LAST, 5, 1),
    ]
    assert found.captures == ["aa"]
    assert (found.symbol.tolist(), found.stream.tolist()) == ([4, 4, 4], [-1, -1, 7])
    assert (found.sequence.tolist(), found.recv_ns.tolist()) == ([3, 3, 3], [200, 200, 100])
    assert found.first_id.tolist() == [NULL, NULL, 4]
    assert found.event_ns.tolist() == [NULL, NULL, 5000]


def test_a_join_takes_away_what_is_not_in_the_snapshot():
    """A level held and absent from the snapshot has a row of size 0 first; one that stays is modified."""
    book, log = SymbolBook(futures=False, expects_snapshot=False), new_log()
    book.diff(diff(1, 1, [(7, 1), (5, 1)], [(9, 1)]), 0, ("c", 0, 0, 0), log)
    book.snapshot(snapshot(1, [(7, 3)]), ("c", 0, 1, 0), log)
    assert rows(log.columns())[3:] == [
        (BookSide.BID, Action.CANCEL, 5, 0, Flag.SNAPSHOT, 1, 1),
        (BookSide.ASK, Action.CANCEL, 9, 0, Flag.SNAPSHOT, 1, 1),
        (BookSide.BID, Action.MODIFY, 7, 3, Flag.SNAPSHOT | Flag.LAST, 1, 1),
    ]


def test_rows_of_a_book_that_is_not_to_be_trusted_say_so():
    """Before a snapshot joins, and behind a gap."""
    book, log = SymbolBook(futures=False, expects_snapshot=False), new_log()
    book.diff(diff(1, 1, [(7, 1)]), 0, ("c", 0, 0, 10), log)
    book.snapshot(snapshot(1, [(7, 1)]), ("c", 0, 1, 20), log)
    book.diff(diff(2, 2, [(7, 2)]), 0, ("c", 0, 2, 30), log)
    book.diff(diff(5, 6, [(7, 3)]), 0, ("c", 0, 3, 40), log)
    bad = [bool(flags & Flag.MAYBE_BAD_BOOK) for flags in log.columns().flags.tolist()]
    assert bad == [True, False, False, True]
    (gap,) = log.gaps
    assert (gap.symbol, gap.stream, gap.last_id, gap.next_id) == (4, 7, 2, 5)
    assert (gap.since_ns, gap.origin) == (30, ("c", 0, 3, 40))


@given(st.lists(st.lists(st.sampled_from(["aa", "bb", "cc"]), max_size=4), min_size=1, max_size=4))
def test_joined_rows_are_those_of_each_part_in_order(parts):
    """Captures are numbered anew, so that each row still names its own."""
    made, expected, update = [], [], 0
    for captures in parts:
        book, log = SymbolBook(futures=False, expects_snapshot=False), new_log()
        for capture in captures:
            update += 1
            book.diff(diff(update, update, [(update, 1)]), 0, (capture, update, 0, 0), log)
            expected.append((capture, update))
        made.append(log.columns())
    whole = joined_levels(made)
    assert [
        (whole.captures[capture], sequence) for capture, sequence in zip(whole.capture, whole.sequence, strict=True)
    ] == expected
    assert whole.price_e8.tolist() == [update for _, update in expected]


def test_no_changes_are_no_rows():
    """An empty log has columns all the same, of no length."""
    assert len(new_log().columns()) == len(NO_LEVELS) == len(joined_levels([])) == 0
    assert new_log().columns().size_e8.dtype == np.int64
