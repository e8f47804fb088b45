"""One symbol's book follows its feed and counts what it saw."""

import pytest

from hftcap.binance.depth_sync import BookState, Verdict
from hftcap.binance.lines import Arrival
from hftcap.binance.messages import BookTicker, DepthDiff, RestDepth
from hftcap.fixed import INT64_MAX
from hftcap.kernel.symbol_book import SymbolBook, removals_of

BID, ASK = 100, 110


def diff(first, last, bids=(), asks=(), previous=None):
    return DepthDiff(
        first_update_id=first, final_update_id=last, bids=list(bids), asks=list(asks), prev_final_update_id=previous
    )


def snapshot(update_id, bids=((BID, 1),), asks=((ASK, 1),)):
    return RestDepth(update_id=update_id, bids=list(bids), asks=list(asks))


def quote(update_id, bid=BID, bid_size=1, ask=ASK, ask_size=1):
    return BookTicker(update_id=update_id, bid_px_e8=bid, bid_sz_e8=bid_size, ask_px_e8=ask, ask_sz_e8=ask_size)


@pytest.fixture
def book():
    """Return a spot book that waits for no snapshot."""
    return SymbolBook(futures=False, expects_snapshot=False)


def test_quotes_alone_are_no_depth(book):
    """A symbol of which only bookTickers came has no book to show."""
    book.quote(quote(5))
    assert not book.has_depth
    book.diff(diff(6, 6))
    assert book.has_depth


def test_a_snapshot_alone_is_depth(book):
    """A symbol whose only depth is a REST body has a book: the snapshot's."""
    book.snapshot(snapshot(9))
    assert book.has_depth
    assert (book.book_update_id, book.sync.state, book.updates, book.snapshots) == (9, BookState.SYNCED, 0, 1)
    assert book.book.touch() == (BID, 1, ASK, 1)


def test_counts_are_of_all_updates_stale_ones_included(book):
    """`updates`, `levels` and `removals` count what the feed said, whether or not the book took it."""
    first, second = diff(1, 5, [(BID, 1), (BID - 1, 0)], [(ASK, 2)]), diff(4, 5, [(BID, 0)], [(ASK, 0), (ASK + 1, 3)])
    assert (removals_of(first), removals_of(second)) == (1, 2)
    assert book.diff(first) == (Verdict.FOLLOWS, 5, Arrival.FIRST)
    assert book.diff(second) == (Verdict.STALE, None, Arrival.FIRST)
    assert (book.updates, book.levels, book.removals, book.sync.stale) == (2, 6, 3, 1)
    assert book.book.touch() == (BID, 1, ASK, 2)


def test_the_feeds_ids_are_not_the_books(book):
    """`first_update_id` is that of the first update; the book's id follows what was applied, snapshots included."""
    book.diff(diff(7, 9))
    book.snapshot(snapshot(20))
    assert (book.first_update_id, book.sync.feed_id, book.book_update_id) == (7, 9, 20)
    book.diff(diff(10, 19))
    assert (book.first_update_id, book.sync.feed_id, book.book_update_id) == (7, 19, 20)
    book.diff(diff(20, 21))
    assert (book.sync.feed_id, book.book_update_id) == (21, 21)


def test_a_book_that_waits_for_its_snapshot_has_no_levels():
    """While buffering nothing is applied; joining sets the snapshot and what stood behind it."""
    book = SymbolBook(futures=False, expects_snapshot=True)
    book.diff(diff(5, 8, [(BID + 1, 4)]))
    assert (book.book.n_bids, book.book_update_id, book.sync.state) == (0, None, BookState.BUFFERING)
    book.snapshot(snapshot(6))
    assert book.book.touch() == (BID + 1, 4, ASK, 1)
    assert (book.book_update_id, book.sync.state) == (8, BookState.SYNCED)


def test_a_snapshot_takes_the_place_of_a_book_from_diffs_alone(book):
    """What an import gathered without a snapshot is dropped when one joins."""
    book.diff(diff(1, 5, [(BID + 5, 9)]))
    book.snapshot(snapshot(5))
    assert book.book.touch() == (BID, 1, ASK, 1)


def test_a_snapshot_in_a_synced_book_changes_nothing(book):
    """It is counted and compared, never swapped in."""
    book.snapshot(snapshot(5))
    assert book.snapshot(snapshot(5, [(1, 1)], [(2, 1)])) == (Verdict.COMPARED, None)
    assert (book.snapshots, book.book.touch()) == (2, (BID, 1, ASK, 1))


def test_futures_keep_the_anchor_that_ends_at_the_snapshot():
    """On futures an update with u equal to the snapshot's id is applied; on spot it is not."""
    for futures, bids in ((True, 2), (False, 1)):
        book = SymbolBook(futures=futures, expects_snapshot=True)
        book.diff(diff(4, 6, [(BID - 1, 4)], previous=3 if futures else None))
        book.snapshot(snapshot(6))
        assert book.book.n_bids == bids


def test_crossed_states_are_counted_after_each_update(book):
    """Best bid at or above best ask is a crossed state; an empty side is none."""
    book.diff(diff(1, 1, [(ASK, 1)]))
    assert book.crossed == 0
    book.diff(diff(2, 2, [], [(ASK, 1)]))
    assert book.crossed == 1
    book.diff(diff(3, 3, [(ASK, 0), (BID, 1)]))
    assert book.crossed == 1
    book.diff(diff(4, 4, [(ASK + 1, 1)]))
    assert book.crossed == 2


def test_levels_beyond_the_snapshot_are_told_apart(book):
    """Levels deeper than the snapshot's borders are real, but others may exist there that never changed."""
    book.diff(diff(1, 1, [(BID - 50, 1)], [(ASK + 50, 1)]))
    assert book.beyond_snapshot == 0
    book.snapshot(snapshot(1, [(BID, 1), (BID - 2, 1)], [(ASK, 1), (ASK + 2, 1)]))
    assert book.borders == (BID - 2, ASK + 2)
    book.diff(diff(2, 2, [(BID - 1, 1), (BID - 3, 1)], [(ASK + 1, 1), (ASK + 3, 1), (ASK + 4, 1)]))
    assert book.beyond_snapshot == 3


def test_an_empty_side_of_a_snapshot_hides_nothing(book):
    """A snapshot shorter than its limit shows the whole side; nothing can be beyond it."""
    book.snapshot(snapshot(1, [], []))
    assert book.borders == (0, INT64_MAX)
    book.diff(diff(2, 2, [(1, 1)], [(INT64_MAX, 1)]))
    assert book.beyond_snapshot == 0


def test_only_a_synced_book_is_held_against_the_book_ticker(book):
    """A partial book is not expected to agree, so it is not compared; a synced one is, at the end of the feed too."""
    book.quote(quote(1))
    book.diff(diff(1, 1, [(BID, 1)], [(ASK, 1)]))
    book.finish()
    assert book.check.checked == 0
    book.snapshot(snapshot(1))
    book.diff(diff(2, 2))
    book.diff(diff(3, 3, [(BID, 7)]))
    assert book.check.checked == 0
    book.finish()
    assert (book.check.checked, book.check.equal) == (2, 1)


def test_a_book_behind_a_gap_is_no_longer_held_against_the_book_ticker(book):
    """Diffs are still applied after a gap, but not to be trusted."""
    book.snapshot(snapshot(1))
    book.quote(quote(3))
    book.diff(diff(3, 3, [(BID + 1, 1)]))
    book.finish()
    assert (book.sync.state, book.sync.gaps, book.check.checked) == (BookState.GAP, 0, 0)
    assert book.book.touch() == (BID + 1, 1, ASK, 1)
