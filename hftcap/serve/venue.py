"""What the market is at this instant, for REST: its time, its books, its last prints and quotes."""

from collections.abc import Callable
from typing import Any

import msgspec

from hftcap.binance.depth_sync import BookState
from hftcap.binance.endpoints import Market
from hftcap.binance.messages import DepthDiff
from hftcap.binance.parser import Parser
from hftcap.book.levels import Levels
from hftcap.kernel import SymbolBook
from hftcap.serve.books import LiveBooks, has_touch
from hftcap.serve.catalog import Catalog
from hftcap.serve.derive import padded
from hftcap.serve.hub import Hub
from hftcap.serve.wire import event_of

_Levels = list[tuple[str, str]]


class _Snapshot(msgspec.Struct):
    """A captured snapshot: its levels in the venue's own digits."""

    lastUpdateId: int  # noqa: N815  the venue's key
    bids: list[list[str]]
    asks: list[list[str]]
    E: int | None = None
    T: int | None = None


_decode_snapshot = msgspec.json.Decoder(_Snapshot).decode


class Depth(msgspec.Struct, frozen=True):
    """A depth snapshot as REST gives it. `note` says what is doubtful about it, empty where nothing is."""

    update_id: int
    bids: _Levels
    asks: _Levels
    note: str = ""
    event_ms: int | None = None


class Venue:
    """The market of a capture.

    `shift_ns` says by how much the times in payloads are moved at a place of the timeline, `timeline_ns` where the
    market stands.
    """

    def __init__(
        self,
        catalog: Catalog,
        books: LiveBooks,
        hub: Hub,
        timeline_ns: Callable[[], int],
        shift_ns: Callable[[int], int],
    ) -> None:
        self.catalog = catalog
        self.books = books
        self.hub = hub
        self._timeline_ns = timeline_ns
        self._shift_ns = shift_ns
        self._given: dict[str, Depth] = {}

    @property
    def market(self) -> Market:
        """Which one it is."""
        return self.catalog.market

    def time_ns(self) -> int:
        """Return the venue's clock: where the market stands, as the venue stamps it."""
        at_ns = self._timeline_ns()
        return at_ns + self.catalog.ahead_ns + self._shift_ns(at_ns)

    def depth(self, symbol: str, limit: int) -> Depth | None:
        """Return the book at the event sent last; None where the capture has nothing to show for it.

        Until the book has joined a snapshot, one that was captured near the beginning is shown, and where there is
        none, the book as it is a second behind the beginning: REST is ahead of the stream there, as it may well be.
        """
        depth = self._depth(symbol, limit)
        if depth is not None:
            self._given.setdefault(symbol, depth)
        return depth

    def _depth(self, symbol: str, limit: int) -> Depth | None:
        facts = self.catalog.symbols.get(symbol)
        live = self.books.book(symbol)
        if live is not None and live.sync.state in (BookState.SYNCED, BookState.GAP) and has_touch(live):
            return self._of(symbol, live, limit)
        if facts is not None and facts.snapshot is not None:
            found = _decode_snapshot(facts.snapshot)
            bids, asks = ([(each[0], each[1]) for each in side[:limit]] for side in (found.bids, found.asks))
            return Depth(found.lastUpdateId, bids, asks, event_ms=found.E)
        opening = None if facts is None else facts.opening
        shown = [book for book in (live, opening) if book is not None and has_touch(book)]
        if not shown:
            return None
        return self._of(symbol, max(shown, key=lambda book: book.book_update_id or 0), limit)

    def _of(self, symbol: str, book: SymbolBook, limit: int) -> Depth:
        assert book.book_update_id is not None  # noqa: S101  has_touch said so
        notes = {
            BookState.GAP: "an update is missing in the capture, the book is not to be trusted",
            BookState.PARTIAL: "no snapshot in the capture so far: only levels that changed since its beginning",
        }
        return self._written(symbol, book.book, book.book_update_id, limit, notes.get(book.sync.state, ""))

    def _written(self, symbol: str, book: Levels, update_id: int, limit: int, note: str) -> Depth:
        facts = self.catalog.symbol(symbol)
        price, size = facts.price_decimals, facts.size_decimals
        bids, asks = (
            [(padded(at, price), padded(count, size)) for at, count in side]
            for side in (book.bids(limit), book.asks(limit))
        )
        return Depth(update_id, bids, asks, note=note)

    def stale(self, symbol: str, limit: int) -> Depth | None:
        """Return a snapshot older than the one due: the first that was given."""
        return self._given.get(symbol) or self.depth(symbol, limit)

    def ahead(self, symbol: str, limit: int, coming: list[bytes], updates: int) -> Depth | None:
        """Return the book so many updates ahead of the stream, as far as `coming` has them."""
        book = self.books.book(symbol)
        if book is None or not has_touch(book):
            return self.depth(symbol, limit)
        levels = Levels(book.book.bids(), book.book.asks())
        update_id = book.book_update_id or 0
        parse = Parser().parse
        for payload in coming:
            message = parse(payload, rest=False)
            if isinstance(message, DepthDiff) and message.symbol == symbol and message.final_update_id > update_id:
                levels.apply(message.bids, message.asks)
                update_id = message.final_update_id
                updates -= 1
                if not updates:
                    break
        return self._written(symbol, levels, update_id, limit, "")

    def recent(self, symbol: str, tail: str) -> list[dict[str, Any]] | None:
        """Return the last events of a stream, oldest first, decoded; None where the capture has no such stream."""
        name = f"{symbol.lower()}@{tail}"
        topic = self.hub.topics.get(name)
        if topic is None or not topic.events:
            return [] if name in self.catalog.streams else None
        return [msgspec.json.decode(event_of(payload)) for payload in topic.recent or ()]
