"""What a kernel knows between two blocks, as a value that can be written to a file and taken up again.

A kernel that takes up a state goes on exactly as the one it came from would have: books, buffers for joining, what is
known of redundant lines, comparisons under way and counts alike.
"""

import msgspec

from hftcap.binance.depth_sync import BookState, DepthSync
from hftcap.binance.lines import ContentMerge, DiffMerge, Held, Origin, PrintMerge, QuoteMerge
from hftcap.binance.messages import DepthDiff
from hftcap.book.check import Touch, TouchCheck
from hftcap.book.levels import Levels
from hftcap.kernel.feed import Feed
from hftcap.kernel.symbol_book import SymbolBook

_Seen = tuple[int | None, int, int, list[int], list[int]]


class SymbolState(msgspec.Struct, frozen=True, array_like=True):
    """One symbol's book; `levels` as `Levels.dump` packs them, `lines` None while there was one line alone."""

    symbol: str
    levels: tuple[bytes, bytes, bytes, bytes]
    sync_state: BookState
    feed_id: int | None
    snapshot_id: int | None
    missed: bool
    buffer: list[tuple[DepthDiff, Origin]]
    latest: Touch | None
    newest_id: int
    quotes: list[tuple[int, Touch]]
    touches: list[tuple[int, Touch]]
    line: int
    lines: tuple[dict[int, int], dict[int, int], list[Held]] | None
    feed_ns: int
    book_update_id: int | None
    first_update_id: int | None
    borders: tuple[int, int] | None
    counts: tuple[int, int, int, int, int, int, int, int, int]


class FeedState(msgspec.Struct, frozen=True, array_like=True):
    """All symbols, and what is known of every numbering."""

    books: list[SymbolState]
    prints: dict[str, dict[str, tuple[_Seen, dict[int, int]]]]
    quotes: dict[str, tuple[int, dict[int, int]]]
    contents: dict[str, list[tuple[bytes, list[int]]]]
    closed: list[tuple[int, int]]


class KernelState(msgspec.Struct, frozen=True, array_like=True):
    """The feed, and the name tables in their order."""

    symbols: list[str]
    streams: list[str]
    kinds: list[str]
    captures: list[str]
    feed: FeedState


def dump_feed(feed: Feed) -> FeedState:
    """Return the state of a feed."""
    return FeedState(
        books=[_symbol_state(symbol, book) for symbol, book in feed.books.items()],
        prints={
            name: {symbol: merge.dump() for symbol, merge in merges.items()} for name, merges in feed.prints.items()
        },
        quotes={symbol: (merge.newest_id, dict(merge.latest)) for symbol, merge in feed.quotes.items()},
        contents={stream: merge.dump() for stream, merge in feed.contents.items()},
        closed=list(feed.closed.items()),
    )


def load_feed(feed: Feed, state: FeedState) -> None:
    """Let a feed go on from a state, in place of its own."""
    feed.closed.clear()
    feed.closed.update(state.closed)
    feed.books = {each.symbol: _symbol_book(each, feed) for each in state.books}
    for name, merges in state.prints.items():
        feed.prints[name] = {symbol: PrintMerge.load(*kept) for symbol, kept in merges.items()}
    feed.quotes = {symbol: QuoteMerge(newest_id, dict(latest)) for symbol, (newest_id, latest) in state.quotes.items()}
    feed.contents = {stream: ContentMerge.load(kept) for stream, kept in state.contents.items()}


def _symbol_state(symbol: str, book: SymbolBook) -> SymbolState:
    sync, check = book.sync, book.check
    latest, newest_id, quotes, touches = check.dump()
    feed_id, snapshot_id, missed, buffer = sync.dump()
    return SymbolState(
        symbol=symbol,
        levels=book.book.dump(),
        sync_state=sync.state,
        feed_id=feed_id,
        snapshot_id=snapshot_id,
        missed=missed,
        buffer=buffer,
        latest=latest,
        newest_id=newest_id,
        quotes=quotes,
        touches=touches,
        line=book.line,
        lines=None if book.lines is None else book.lines.dump(),
        feed_ns=book.feed_ns,
        book_update_id=book.book_update_id,
        first_update_id=book.first_update_id,
        borders=book.borders,
        counts=(
            sync.gaps,
            sync.stale,
            check.checked,
            check.equal,
            book.updates,
            book.levels,
            book.removals,
            book.snapshots,
            book.crossed,
        ),
    )


def _symbol_book(state: SymbolState, feed: Feed) -> SymbolBook:
    book = SymbolBook(futures=feed.futures, expects_snapshot=False, closed=feed.closed)
    book.sync = DepthSync.load(
        feed.futures, state.sync_state, state.feed_id, state.snapshot_id, state.missed, state.buffer
    )
    book.check = TouchCheck.load(state.latest, state.newest_id, state.quotes, state.touches)
    book.book = Levels.load(state.levels)
    book.line = state.line
    book.lines = None if state.lines is None else DiffMerge.load(*state.lines, feed.closed)
    book.feed_ns = state.feed_ns
    book.book_update_id = state.book_update_id
    book.first_update_id = state.first_update_id
    book.borders = state.borders
    (
        book.sync.gaps,
        book.sync.stale,
        book.check.checked,
        book.check.equal,
        book.updates,
        book.levels,
        book.removals,
        book.snapshots,
        book.crossed,
    ) = state.counts
    return book
