"""A feed, message by message: redundant lines merged, every symbol's book kept.

What a kernel does to a block, one message at a time; the reference kernel and the typed events of a replay stand on it.
A *line* is the number of a connection, unique over all recordings of a run.
"""

from collections.abc import Callable

from hftcap.binance.depth_sync import Verdict
from hftcap.binance.endpoints import Market
from hftcap.binance.lines import Arrival, ContentMerge, Origin, PrintMerge, QuoteMerge
from hftcap.binance.messages import (
    AggTrade,
    BlockTrade,
    BookTicker,
    DepthDiff,
    Message,
    RestDepth,
    Trade,
)
from hftcap.kernel.changes import ChangeLog
from hftcap.kernel.symbol_book import SymbolBook, Taken

Print = Trade | AggTrade | BlockTrade


class Feed:
    """The state of a feed. `books` holds every symbol that had a quote, an update or a snapshot.

    `prints` has the ids of each numbering by event name and symbol, `quotes` those of bookTickers by symbol, `contents`
    what was seen last of each stream without numbering, `closed` when lines were closed, wall clock ns.

    With a `clock_ns`, what updating books takes is summed up in `updating_ns`, by so many `updates_timed`.
    """

    def __init__(self, market: Market, *, expects_snapshots: bool) -> None:
        self.futures = market is not Market.SPOT
        self.books: dict[str, SymbolBook] = {}
        self.prints: dict[str, dict[str, PrintMerge]] = {name.NAME: {} for name in (Trade, AggTrade, BlockTrade)}
        self.quotes: dict[str, QuoteMerge] = {}
        self.contents: dict[str, ContentMerge] = {}
        self.closed: dict[int, int] = {}
        self.clock_ns: Callable[[], int] | None = None
        self.updating_ns = 0
        self.updates_timed = 0
        self._expects_snapshots = expects_snapshots

    def take(
        self, message: Message, payload: bytes, line: int, origin: Origin, log: ChangeLog | None = None
    ) -> Arrival:
        """Take any message; return whether it is the first of its event."""
        if isinstance(message, BookTicker):
            return self.quote(message, line)
        if isinstance(message, DepthDiff):
            return self.diff(message, line, origin, log)[2]
        if isinstance(message, RestDepth):
            self.snapshot(message, origin, log)
            return Arrival.FIRST
        if isinstance(message, Print):
            return self.print(message, line)
        return self.other(message, payload, line)

    def quote(self, quote: BookTicker, line: int) -> Arrival:
        """Take a bookTicker."""
        symbol = quote.symbol
        assert symbol is not None  # noqa: S101  the parser gives quotes a symbol
        merge = self.quotes.get(symbol)
        if merge is None:
            merge = self.quotes[symbol] = self.new_quotes()
            self.book(symbol)
        arrival = merge.take(line, quote.update_id)
        if arrival is Arrival.FIRST:
            self.books[symbol].quote(quote)
        return arrival

    def print(self, print_: Print, line: int) -> Arrival:
        """Take a trade, an aggregate or a block trade."""
        symbol = print_.symbol
        assert symbol is not None  # noqa: S101  the parser gives prints a symbol
        merges = self.prints[print_.NAME]
        merge = merges.get(symbol)
        if merge is None:
            merge = merges[symbol] = self.new_prints()
        return merge.take(line, print_.trade_id)

    def diff(self, diff: DepthDiff, line: int, origin: Origin, log: ChangeLog | None = None) -> Taken:
        """Take a depth update; with a `log`, what it changes is written there."""
        symbol = diff.symbol
        assert symbol is not None  # noqa: S101  the parser gives updates a symbol
        book = self.books.get(symbol)
        if book is None:
            book = self.book(symbol)
        if self.clock_ns is None:
            return book.diff(diff, line, origin, log)
        begin = self.clock_ns()
        taken = book.diff(diff, line, origin, log)
        self._timed(begin, self.clock_ns())
        return taken

    def snapshot(
        self, snapshot: RestDepth, origin: Origin, log: ChangeLog | None = None
    ) -> tuple[Verdict | None, int | None]:
        """Take a REST snapshot; one whose symbol nothing tells is no book's."""
        if snapshot.symbol is None:
            return None, None
        if self.clock_ns is None:
            return self.book(snapshot.symbol).snapshot(snapshot, origin, log)
        begin = self.clock_ns()
        taken = self.book(snapshot.symbol).snapshot(snapshot, origin, log)
        self._timed(begin, self.clock_ns())
        return taken

    def _timed(self, begin_ns: int, end_ns: int) -> None:
        self.updating_ns += end_ns - begin_ns
        self.updates_timed += 1

    def other(self, message: Message, payload: bytes, line: int) -> Arrival:
        """Take an event without numbering; one without a stream has no other line it could have come over."""
        stream = message.stream
        if stream is None:
            return Arrival.FIRST
        merge = self.contents.get(stream)
        if merge is None:
            merge = self.contents[stream] = ContentMerge()
        return merge.take(line, payload)

    def close(self, line: int, at_ns: int) -> None:
        """Take note that a line is closed from a receive time on: it is not waited for."""
        self.closed[line] = at_ns

    def finish(self, log: ChangeLog | None = None) -> None:
        """Say that the feed is over: nothing is waited for any more."""
        for book in self.books.values():
            book.finish(log)

    def restart_counts(self) -> None:
        """Begin to count anew; books and what is known of lines stay."""
        for book in self.books.values():
            book.restart_counts()

    def book(self, symbol: str) -> SymbolBook:
        """Return the book of a symbol, a new one where there is none."""
        book = self.books.get(symbol)
        if book is None:
            book = self.books[symbol] = self.new_book(symbol)
        return book

    def new_book(self, symbol: str = "") -> SymbolBook:
        """Return the book of a symbol of which nothing has been seen."""
        return SymbolBook(futures=self.futures, expects_snapshot=self._expects_snapshots, closed=self.closed)

    def new_quotes(self) -> QuoteMerge:
        """Return what merges the bookTickers of a symbol."""
        return QuoteMerge()

    def new_prints(self) -> PrintMerge:
        """Return what merges one numbering of prints of a symbol."""
        return PrintMerge()
