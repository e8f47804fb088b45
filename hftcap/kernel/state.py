"""What a kernel knows between two blocks, as a value that can be written to a file and taken up again.

A kernel that takes up a state goes on exactly as the one it came from would have: books, buffers for joining,
comparisons under way and counts alike.
"""

import msgspec

from hftcap.binance.depth_sync import BookState, DepthSync
from hftcap.binance.messages import DepthDiff
from hftcap.book.check import Touch, TouchCheck
from hftcap.book.levels import Levels
from hftcap.kernel.symbol_book import SymbolBook


class SymbolState(msgspec.Struct, frozen=True, array_like=True):
    """One symbol's book; `levels` as `Levels.dump` packs them."""

    symbol: str
    levels: tuple[bytes, bytes, bytes, bytes]
    sync_state: BookState
    feed_id: int | None
    snapshot_id: int | None
    missed: bool
    buffer: list[DepthDiff]
    latest: Touch | None
    newest_id: int
    quotes: list[tuple[int, Touch]]
    touches: list[tuple[int, Touch]]
    book_update_id: int | None
    first_update_id: int | None
    borders: tuple[int, int] | None
    counts: tuple[int, int, int, int, int, int, int, int, int]


class KernelState(msgspec.Struct, frozen=True, array_like=True):
    """All symbols, and the name tables in their order."""

    symbols: list[str]
    streams: list[str]
    books: list[SymbolState]


def symbol_state(symbol: str, book: SymbolBook) -> SymbolState:
    """Return the state of one symbol's book."""
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


def symbol_book(state: SymbolState, *, futures: bool) -> SymbolBook:
    """Return the book that a state describes."""
    book = SymbolBook(futures=futures, expects_snapshot=False)
    book.sync = DepthSync.load(futures, state.sync_state, state.feed_id, state.snapshot_id, state.missed, state.buffer)
    book.check = TouchCheck.load(state.latest, state.newest_id, state.quotes, state.touches)
    book.book = Levels.load(state.levels)
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
