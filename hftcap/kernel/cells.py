"""A feed whose plain state lies in C, where the compiled kernel steps it forward without Python.

    CompiledFeed --books--> CompiledSymbolBook --cell--> SymbolCell (C)       sync, levels, check, counts
                 --quotes-> CompiledQuotes     --cell--> QuoteCell (C)
                 --prints-> CompiledPrints     --cell--> PrintCell (C)

The rules stay where they are: these classes have the methods of the ones they are derived from, and only where those
keep their numbers is another. So whatever is not plain happens in the very code of the reference.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from hftcap.binance.depth_sync import BookState, DepthSync
from hftcap.binance.endpoints import Market
from hftcap.binance.ids import SeenIds
from hftcap.binance.lines import DiffMerge, Origin, PrintMerge, QuoteMerge
from hftcap.binance.messages import DepthDiff
from hftcap.book.check import TouchCheck
from hftcap.book.levels import Levels
from hftcap.kernel._native import PrintCell, QuoteCell, RingCheck, SymbolCell, WindowLevels
from hftcap.kernel.feed import Feed
from hftcap.kernel.symbol_book import SymbolBook

STATE_ORDER = tuple(BookState)
"""The book's states by their number in C less one; those of the columns."""
_STATE_NUMBER = {state: number for number, state in enumerate(STATE_ORDER, start=1)}


class Names(Protocol):
    """The tables that indices in C point into."""

    streams: list[str]
    captures: list[str]


def _of_cell(name: str) -> Any:  # Any: the attribute it stands for has the type of the class derived from
    """Return an attribute that is kept in C."""
    return property(
        lambda self: getattr(self.cell, name),
        lambda self, value: setattr(self.cell, name, value),
    )


class KeptUpdates:
    """The updates kept for joining, as the deque that `DepthSync` takes them for."""

    __slots__ = ("_cell",)

    def __init__(self, cell: SymbolCell) -> None:
        self._cell = cell

    def append(self, pair: tuple[DepthDiff, Origin]) -> None:
        """Keep one more."""
        self._cell.keep(pair)

    def popleft(self) -> tuple[DepthDiff, Origin]:
        """Let go of the oldest and return it."""
        return self._cell.let_go()

    def clear(self) -> None:
        """Let go of all."""
        self._cell.forget_kept()

    def __len__(self) -> int:
        return self._cell.n_kept

    def __iter__(self) -> Iterator[tuple[DepthDiff, Origin]]:
        return iter(self._cell.kept())


class CompiledSync(DepthSync):
    """`DepthSync` on a cell."""

    __slots__ = ("cell",)

    feed_id = _of_cell("feed_id")
    _snapshot_id = _of_cell("snapshot_id")
    _missed = _of_cell("missed")

    def __init__(self, cell: SymbolCell, *, futures: bool, expects_snapshot: bool) -> None:
        self.cell = cell
        super().__init__(futures=futures, expects_snapshot=expects_snapshot)

    @property
    def state(self) -> BookState:
        """The state, in C its number."""
        return STATE_ORDER[self.cell.state - 1]

    @state.setter
    def state(self, state: BookState) -> None:
        self.cell.state = _STATE_NUMBER[state]

    @property
    def _buffer(self) -> Any:  # Any: a deque to all that DepthSync does with it
        return KeptUpdates(self.cell)

    @_buffer.setter
    def _buffer(self, buffer: deque[tuple[DepthDiff, Origin]]) -> None:
        KeptUpdates(self.cell).clear()
        for pair in buffer:
            self.cell.keep(pair)

    @property
    def _buffered_levels(self) -> int:
        return self.cell.levels_kept

    @_buffered_levels.setter
    def _buffered_levels(self, levels: int) -> None:
        pass  # the cell counts them itself


class CompiledSymbolBook(SymbolBook):
    """`SymbolBook` on a cell."""

    __slots__ = ("_lines", "cell")

    line = _of_cell("line")
    feed_ns = _of_cell("feed_ns")
    book_update_id = _of_cell("book_update_id")
    first_update_id = _of_cell("first_update_id")
    updates = _of_cell("updates")
    levels = _of_cell("levels")
    removals = _of_cell("removals")
    crossed = _of_cell("crossed")

    def __init__(
        self,
        names: Names,
        symbol: str,
        *,
        futures: bool,
        expects_snapshot: bool,
        closed: Mapping[int, int] | None = None,
    ) -> None:
        self.cell = SymbolCell(names, symbol, futures=futures)
        super().__init__(futures=futures, expects_snapshot=expects_snapshot, closed=closed)
        self.sync = CompiledSync(self.cell, futures=futures, expects_snapshot=expects_snapshot)

    @property
    def book(self) -> Levels:
        """The levels, a `WindowLevels`."""
        return self.cell.levels_held

    @book.setter
    def book(self, book: Levels) -> None:
        self.cell.hold_book(book if isinstance(book, WindowLevels) else WindowLevels(book.bids(), book.asks()))

    @property
    def check(self) -> TouchCheck:
        """The check, a `RingCheck`."""
        return self.cell.check_held

    @check.setter
    def check(self, check: TouchCheck) -> None:
        if not isinstance(check, RingCheck):
            held = RingCheck.load(*check.dump())
            held.checked, held.equal = check.checked, check.equal
            check = held
        self.cell.hold_check(check)

    @property
    def lines(self) -> DiffMerge | None:
        """What merges the lines; C is told that there are several."""
        return self._lines

    @lines.setter
    def lines(self, lines: DiffMerge | None) -> None:
        self._lines = lines
        self.cell.many_lines = lines is not None

    def adopt(self, book: SymbolBook) -> None:
        """Take over all that another one knows."""
        feed_id, snapshot_id, missed, buffer = book.sync.dump()
        sync = self.sync
        sync.state, sync.feed_id, sync._snapshot_id, sync._missed = book.sync.state, feed_id, snapshot_id, missed
        sync._buffer = deque(buffer)
        sync.gaps, sync.stale = book.sync.gaps, book.sync.stale
        for name in ("book", "check", "lines", "borders", "snapshots", *_CELL_NAMES):
            setattr(self, name, getattr(book, name))


_CELL_NAMES = (
    *("line", "feed_ns", "book_update_id", "first_update_id"),
    *("updates", "levels", "removals", "crossed"),
)


class CompiledQuotes(QuoteMerge):
    """`QuoteMerge` on a cell."""

    __slots__ = ("_by_line", "cell")

    newest_id = _of_cell("newest_id")

    def __init__(self, newest_id: int = -1, latest: dict[int, int] | None = None) -> None:
        self.cell = QuoteCell()
        super().__init__(newest_id, latest)

    @property
    def latest(self) -> dict[int, int]:
        """The newest id of each line; what C wrote down of it is taken over first."""
        return self.cell.by_line(self._by_line)

    @latest.setter
    def latest(self, latest: dict[int, int]) -> None:
        self._by_line = dict(latest)


class _CompiledSeen(SeenIds):
    """`SeenIds` on a cell."""

    __slots__ = ("_first", "cell")

    last = _of_cell("last")

    def __init__(self, cell: PrintCell) -> None:
        self.cell = cell
        super().__init__()

    @property
    def first(self) -> int | None:
        """The first id; C is told that there is one."""
        return self._first

    @first.setter
    def first(self, first: int | None) -> None:
        self._first = first
        self.cell.begin(first is not None)


class CompiledPrints(PrintMerge):
    """`PrintMerge` on a cell."""

    __slots__ = ("_by_line", "cell")

    def __init__(self, merge: PrintMerge | None = None) -> None:
        self.cell = PrintCell()
        self._seen = _CompiledSeen(self.cell)
        self._by_line: dict[int, int] = {}
        if merge is not None:
            (first, last, missing, starts, ends), latest = merge.dump()
            seen = self._seen
            seen.first, seen.last, seen.missing = first, last, missing
            seen._starts, seen._ends = list(starts), list(ends)
            self._by_line.update(latest)

    @property
    def _latest(self) -> dict[int, int]:
        """The newest id of each line; what C wrote down of it is taken over first."""
        return self.cell.by_line(self._by_line)

    @_latest.setter
    def _latest(self, latest: dict[int, int]) -> None:
        self._by_line = latest


class CompiledFeed(Feed):
    """A feed of such books and merges. `names` are the kernel's tables, for the updates kept in C."""

    def __init__(self, market: Market, names: Names, *, expects_snapshots: bool) -> None:
        super().__init__(market, expects_snapshots=expects_snapshots)
        self._names = names

    def new_book(self, symbol: str = "") -> CompiledSymbolBook:
        """Return the book of a symbol of which nothing has been seen."""
        return CompiledSymbolBook(
            self._names,
            symbol,
            futures=self.futures,
            expects_snapshot=self._expects_snapshots,
            closed=self.closed,
        )

    def new_quotes(self) -> CompiledQuotes:
        """Return what merges the bookTickers of a symbol."""
        return CompiledQuotes()

    def new_prints(self) -> CompiledPrints:
        """Return what merges one numbering of prints of a symbol."""
        return CompiledPrints()

    def adopt(self, feed: Feed) -> None:
        """Take over all that another feed knows."""
        self.closed = feed.closed  # books know it as it was theirs
        self.books = {}
        for symbol, book in feed.books.items():
            mine = self.new_book(symbol)
            mine.adopt(book)
            self.books[symbol] = mine
        self.quotes = {symbol: CompiledQuotes(merge.newest_id, merge.latest) for symbol, merge in feed.quotes.items()}
        self.prints = {
            name: {symbol: CompiledPrints(merge) for symbol, merge in merges.items()}
            for name, merges in feed.prints.items()
        }
        self.contents = feed.contents
