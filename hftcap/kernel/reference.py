"""The reference kernel: a block in, columns out, books updated on the way, in plain Python.

The oracle for any faster kernel, and what runs where there is none.
"""

from collections.abc import Callable, Sequence

import numpy as np

from hftcap.binance.depth_sync import BookState
from hftcap.binance.endpoints import Market
from hftcap.binance.lines import Arrival, Origin
from hftcap.binance.messages import (
    AggTrade,
    BlockTrade,
    BookTicker,
    DepthDiff,
    Message,
    Oddity,
    OddityKind,
    PartialDepth,
    RestDepth,
    RpiDepth,
    Trade,
)
from hftcap.binance.parser import Parser
from hftcap.book.levels import NO_ASK, NO_BID
from hftcap.capture.block import Block
from hftcap.capture.format import Kind
from hftcap.kernel.batch import Batch, records_of, result_of
from hftcap.kernel.changes import ChangeLog
from hftcap.kernel.columns import (
    NULL,
    ODDITY_CODE,
    STATE_CODE,
    TYPE_CODE,
    VERDICT_CODE,
    Columns,
    Side,
    empty_columns,
)
from hftcap.kernel.feed import Feed
from hftcap.kernel.result import Result
from hftcap.kernel.rows import Rows, Touch
from hftcap.kernel.selection import Selection
from hftcap.kernel.state import FeedState, KernelState, dump_feed, load_feed
from hftcap.kernel.symbol_book import SymbolBook, removals_of

MARKET_KINDS = ("trade", "MARKET", "blockTrade", "aggTrade")
_FIRST = Arrival.FIRST
_NO_NOTE: dict[str, str | None] = {}
_BINARY = Oddity(oddity=OddityKind.UNKNOWN, detail="a binary frame")


Take = Callable[[bytes, int, int], None]
"""Takes a payload, the number of its connection, and when it was received, wall clock ns."""


class ReferenceKernel:
    """Turn blocks into columns and keep every symbol's book.

    Blocks must come in record order. `symbols`, `streams` and `kinds` are the tables that the columns' indices point
    into; they grow as names appear. `feed` has the books.

    `selection` says which records count at all. With `levels`, the changes of the books are in the result. With
    `books_only`, payloads that cannot be an update or a snapshot are passed over: the books come out the same, the
    columns of other records are left empty and the bookTicker check does not go on.
    """

    name = "reference"

    def __init__(
        self,
        market: Market,
        *,
        expects_snapshots: bool,
        books_only: bool = False,
        selection: Selection | None = None,
        levels: bool = False,
    ) -> None:
        self.feed = Feed(market, expects_snapshots=expects_snapshots)
        self.symbols: list[str] = []
        self.streams: list[str] = []
        self.kinds: list[str] = []
        self.captures: list[str] = []
        self._books_only = books_only
        self._selection = selection or None  # an empty one takes all: nothing to ask for each record
        self._levels = levels
        self._parse = Parser().parse
        self._index_names()
        self._touch: dict[int, Touch] = {}

    @classmethod
    def sources(cls) -> tuple[str | None, ...]:
        """Return the files, besides the reference's own, whose content decides what comes out."""
        return ()

    @property
    def books(self) -> dict[str, SymbolBook]:
        """Every symbol that had a quote, an update or a snapshot."""
        return self.feed.books

    def run(self, block: Block, stop: int | None = None, *, first: int = 0) -> Result:
        """Take the records of a block from `first` up to, not including, `stop`."""
        return self.run_together([(block, first, block.records if stop is None else stop)])[0]

    def run_together(self, runs: Sequence[tuple[Block, int, int]]) -> list[Result]:
        """Take runs of records, each a block, its first record and the one behind its last; return a result for each.

        The columns are filled once for all: what merging hands over is a few records at a time.
        """
        rows, before = Rows(), dict(self._touch)
        batches = self._batches(runs, rows)
        left_out = [self._take_all(batch) for batch in batches]
        columns = empty_columns(records_of(runs))
        rows.scatter(columns, before)
        return [batch.result(columns, left) for batch, left in zip(batches, left_out, strict=True)]

    def _batches(self, runs: Sequence[tuple[Block, int, int]], rows: Rows) -> list[Batch]:
        begin = 0
        batches = []
        for block, first, stop in runs:
            batches.append(Batch(block, first, stop, begin, rows, self._new_log()))
            begin += stop - first
        return batches

    def _take_all(self, batch: Batch) -> list[int]:
        """Take the records of a batch; return which of them the selection leaves out."""
        block, first, stop = batch.block, batch.first, batch.stop
        base = self.line_base(block, first)
        lines = [base + number for number in block.columns.conn[first:stop].tolist()]
        kinds = block.columns.kind[first:stop].tolist()
        left_out = []
        for at, payload in enumerate(block.payload_list(first, stop)):
            if self._books_only and not may_be_depth(payload):
                continue
            if self._take(batch, at, payload, kinds[at], lines[at]) is None:
                left_out.append(at)
        return left_out

    def singly(self, odd: Take, capture: str) -> tuple[Take, Columns]:
        """Return what takes a text frame of a capture alone, and the row it writes to.

        What cannot be taken without a block is given to `odd`, which has to write the row.
        """
        return odd, empty_columns(1)

    def time_updates(self, clock_ns: Callable[[], int]) -> None:
        """Sum up from here on what updating books takes; see `updating`."""
        self.feed.clock_ns = clock_ns

    @property
    def updating(self) -> tuple[int, int]:
        """What updating books took, nanoseconds, and how many updates were timed."""
        return self.feed.updating_ns, self.feed.updates_timed

    def finish(self) -> Result:
        """Say that the feed is over: updates that waited for another line are taken, comparisons are settled."""
        log = self._new_log()
        self.feed.finish(log)
        return result_of(empty_columns(0), np.arange(0), log)

    def restart_counts(self) -> None:
        """Begin to count anew; books stay as they are."""
        self.feed.restart_counts()

    def dump(self) -> KernelState:
        """Return what is known between two blocks."""
        tables = (self.symbols, self.streams, self.kinds, self.captures)
        symbols, streams, kinds, captures = (list(table) for table in tables)
        return KernelState(symbols, streams, kinds, captures, dump_feed(self.feed))

    def load(self, state: KernelState) -> None:
        """Take up a state in place of this kernel's own."""
        self.symbols, self.streams, self.kinds = list(state.symbols), list(state.streams), list(state.kinds)
        self.captures = list(state.captures)
        self._index_names()
        self._load_feed(state.feed)
        self._touch = {}
        for symbol, book in self.books.items():
            if book.has_depth:
                self._touched(self._symbol(symbol), book)

    def _load_feed(self, state: FeedState) -> None:
        load_feed(self.feed, state)

    def _new_log(self) -> ChangeLog | None:
        return ChangeLog(self._symbol, self._stream) if self._levels else None

    def line_base(self, block: Block, first: int) -> int:
        """Return what is added to a connection's number to tell its line apart from those of other recordings.

        With the first record of a block, which connections were closed is taken note of.
        """
        base = self._capture_index(block.header.capture_id.hex()) << 16
        if first == 0:
            for conn, at_ns in block.closings().items():
                self.feed.close(base + conn, at_ns)
        return base

    def _capture_index(self, capture: str) -> int:
        if capture not in self.captures:
            self.captures.append(capture)
        return self.captures.index(capture)

    def _take(self, batch: Batch, at: int, payload: bytes, kind: int, line: int) -> Message | None:
        """Take a record, number `at` of its batch; return its message, None where the selection leaves it out."""
        selection, rows, row, record = self._selection, batch.rows, batch.begin + at, batch.first + at
        if kind == Kind.WS_BINARY:
            if selection is not None and not selection.takes_unnamed(line & 0xFFFF):
                return None
            rows.others.append((row, TYPE_CODE["unknown"], -1, -1, NULL, NULL, NULL, 0, 0, ODDITY_CODE["unknown"]))
            return _BINARY
        asked = batch.requests.get(record, _NO_NOTE).get("symbol")
        message = self._parse(payload, rest=kind == Kind.REST, symbol=asked)
        if batch.log is not None:
            batch.log.at = record
        if selection is not None and not selection.takes(message, line & 0xFFFF):
            return None
        if type(message) is BookTicker:
            self._quote(row, message, line, rows)
        elif type(message) is DepthDiff:
            self._diff(row, message, line, batch.origin(at), rows, batch.log)
        elif type(message) is RestDepth:
            self._snapshot(row, message, batch.origin(at), rows, batch.log)
        else:
            self._other(row, message, payload, line, rows)
        return message

    def _quote(self, record: int, quote: BookTicker, line: int, rows: Rows) -> None:
        rows.quotes.append(
            (
                record,
                self._symbol(quote.symbol),
                self._stream(quote.stream),
                NULL if quote.event_ns is None else quote.event_ns,
                NULL if quote.trade_ns is None else quote.trade_ns,
                quote.update_id,
                quote.bid_px_e8,
                quote.bid_sz_e8,
                quote.ask_px_e8,
                quote.ask_sz_e8,
                self.feed.quote(quote, line),
                0 if quote.oddity is None else ODDITY_CODE[quote.oddity],
            )
        )

    def _diff(self, record: int, diff: DepthDiff, line: int, origin: Origin, rows: Rows, log: ChangeLog | None) -> None:
        symbol = self._symbol(diff.symbol)
        verdict, book_id, arrival = self.feed.diff(diff, line, origin, log)
        rows.touches.append((record, symbol, *self._touched(symbol, self.books[diff.symbol])))  # type: ignore[index]  # it has one
        rows.depth.append(
            (
                record,
                TYPE_CODE["depthUpdate"],
                symbol,
                self._stream(diff.stream),
                NULL if diff.event_ns is None else diff.event_ns,
                NULL if diff.trade_ns is None else diff.trade_ns,
                diff.first_update_id,
                diff.final_update_id,
                NULL if diff.prev_final_update_id is None else diff.prev_final_update_id,
                len(diff.bids) + len(diff.asks),
                removals_of(diff),
                VERDICT_CODE[verdict],
                NULL if book_id is None else book_id,
                arrival,
                0 if diff.oddity is None else ODDITY_CODE[diff.oddity],
            )
        )

    def _snapshot(self, record: int, snapshot: RestDepth, origin: Origin, rows: Rows, log: ChangeLog | None) -> None:
        symbol = self._symbol(snapshot.symbol)
        verdict, book_id = self.feed.snapshot(snapshot, origin, log)
        if snapshot.symbol is not None:
            rows.touches.append((record, symbol, *self._touched(symbol, self.books[snapshot.symbol])))
        rows.depth.append(
            (
                record,
                TYPE_CODE["rest_depth"],
                symbol,
                -1,
                NULL if snapshot.event_ns is None else snapshot.event_ns,
                NULL if snapshot.trade_ns is None else snapshot.trade_ns,
                NULL,
                snapshot.update_id,
                NULL,
                len(snapshot.bids) + len(snapshot.asks),
                0,
                VERDICT_CODE[verdict],
                NULL if book_id is None else book_id,
                _FIRST,
                0 if snapshot.oddity is None else ODDITY_CODE[snapshot.oddity],
            )
        )

    def _other(self, record: int, message: Message, payload: bytes, line: int, rows: Rows) -> None:
        code = TYPE_CODE[message.type]
        symbol = self._symbol(message.symbol)
        stream = self._stream(message.stream)
        event_ns = NULL if message.event_ns is None else message.event_ns
        oddity = 0 if message.oddity is None else ODDITY_CODE[message.oddity]
        match message:
            case Trade() | AggTrade() | BlockTrade():
                rows.prints.append(
                    (
                        record,
                        code,
                        symbol,
                        stream,
                        event_ns,
                        message.trade_ns,
                        message.first_trade_id if isinstance(message, AggTrade) else NULL,
                        message.trade_id,
                        message.last_trade_id if isinstance(message, AggTrade) else NULL,
                        message.price_e8,
                        message.size_e8,
                        Side.BUY if message.side == "B" else Side.SELL,
                        message.kind in MARKET_KINDS,
                        self._kind(message.kind),
                        self.feed.print(message, line),
                        oddity,
                    )
                )
            case PartialDepth() | RpiDepth():
                final = message.update_id if isinstance(message, PartialDepth) else message.final_update_id
                trade_ns = NULL if message.trade_ns is None else message.trade_ns
                levels = len(message.bids) + len(message.asks)
                arrival = self.feed.other(message, payload, line)
                rows.others.append((record, code, symbol, stream, event_ns, trade_ns, final, levels, arrival, oddity))
            case _:
                arrival = self.feed.other(message, payload, line)
                rows.others.append((record, code, symbol, stream, event_ns, NULL, NULL, 0, arrival, oddity))

    def _touched(self, symbol: int, book: SymbolBook) -> Touch:
        """Return the state and touch of a book after it changed, and remember them for the next block."""
        state = book.sync.state
        if state is BookState.BUFFERING:
            touch: Touch = (STATE_CODE[state], NULL, NULL, NULL, NULL)
        else:
            bid, bid_size, ask, ask_size = book.book.touch()
            touch = (
                STATE_CODE[state],
                *((bid, bid_size) if bid != NO_BID else (NULL, NULL)),
                *((ask, ask_size) if ask != NO_ASK else (NULL, NULL)),
            )
        self._touch[symbol] = touch
        return touch

    def _index_names(self) -> None:
        self._symbol = _Indices(self.symbols).__getitem__
        self._stream = _Indices(self.streams).__getitem__
        self._kind = _Indices(self.kinds).__getitem__


class _Indices(dict[str | None, int]):
    """The index of each name in a table, which grows as names are asked for; -1 for None."""

    def __init__(self, table: list[str]) -> None:
        super().__init__({None: -1} | {name: index for index, name in enumerate(table)})
        self._table = table

    def __missing__(self, name: str | None) -> int:
        assert name is not None  # noqa: S101  None has an index
        index = self[name] = len(self._table)
        self._table.append(name)
        return index


def may_be_depth(payload: bytes) -> bool:
    """Say whether a payload could be an update or a snapshot: their names stand in it, unless they are escaped."""
    return b"depthUpdate" in payload or b"lastUpdateId" in payload or b"\\" in payload
