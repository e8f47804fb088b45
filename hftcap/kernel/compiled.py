"""The compiled kernel: plain records in C, all others one by one through the reference, one state for both.

    block --scan--> plain record:  shape known, feed goes on as usual     C: columns, books, checks, counts
              |
              +---> any other:     the reference's own code, then on      Python, on the same state (`cells`)

A stream's shape is learned from a message the reference has typed (`shapes`), so C never decides what a message is:
it sees that one differs from an understood one in its numbers alone. Results are the reference's to the last bit.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hftcap.binance.depth_sync import Verdict
from hftcap.binance.endpoints import Market
from hftcap.binance.messages import BookTicker, DepthDiff, Message, OddityKind
from hftcap.binance.parser import Parser
from hftcap.capture.block import Block
from hftcap.capture.format import Kind
from hftcap.kernel import _native, cells, shapes
from hftcap.kernel._native import CompiledDecimals, PrintCell, QuoteCell, Scanner, ShownCell, SymbolCell
from hftcap.kernel.batch import Batch, records_of
from hftcap.kernel.cells import CompiledFeed, CompiledPrints, CompiledQuotes, CompiledSymbolBook
from hftcap.kernel.column_tables import TableColumns, TablePool, Tables
from hftcap.kernel.columns import ODDITY_CODE, TYPE_CODE, VERDICT_CODE, Columns
from hftcap.kernel.feed import Feed
from hftcap.kernel.reference import MARKET_KINDS, ReferenceKernel, Take, may_be_depth
from hftcap.kernel.result import Result
from hftcap.kernel.rows import Rows, Touch
from hftcap.kernel.selection import Selection
from hftcap.kernel.shapes import Layout, ShapeType, layout_of
from hftcap.kernel.state import FeedState, load_feed
from hftcap.kernel.symbol_book import SymbolBook

_TRIES_AT_ONCE = 16
_TRY_EVERY = 32
"""After so many payloads of a stream that were not plain, a shape is looked for only in each of so many."""


class CompiledKernel(ReferenceKernel):
    """A kernel like the reference, and faster."""

    name = "compiled"

    def __init__(
        self,
        market: Market,
        *,
        expects_snapshots: bool,
        books_only: bool = False,
        selection: Selection | None = None,
        levels: bool = False,
    ) -> None:
        super().__init__(
            market, expects_snapshots=expects_snapshots, books_only=books_only, selection=selection, levels=levels
        )
        self._parse = Parser(CompiledDecimals()).parse
        self._market = market
        self._expects_snapshots = expects_snapshots
        self._kept_feed = CompiledFeed(market, self, expects_snapshots=expects_snapshots)
        self.feed = self._kept_feed
        self._scanner = Scanner(
            kind_text=Kind.WS_TEXT,
            verdict_follows=VERDICT_CODE[Verdict.FOLLOWS],
            oddity_reversed=ODDITY_CODE[OddityKind.IDS_REVERSED],
            levels=levels,
            books_only=books_only,
        )
        self._memory = TablePool()
        self._shown: list[ShownCell] = []
        self._tries: dict[str | None, int] = {}
        # A shape knows symbol and stream, but not which connection its messages will come over.
        self._by_name = Selection(selection.symbols, selection.streams) if selection else None
        self._connections = sorted(selection.connections) if selection else []

    @classmethod
    def sources(cls) -> tuple[str | None, ...]:
        """Return the files, besides the reference's own, whose content decides what comes out."""
        return tuple(module.__file__ for module in (_native, cells, shapes))

    @property
    def plain_records(self) -> int:
        """Number of records that were taken without the reference."""
        return self._scanner.plain

    def singly(self, odd: Take, capture: str) -> tuple[Take, Columns]:
        """Return what takes a text frame of a capture alone, and the row it writes to."""
        tables = Tables(1)
        index = self._capture_index(capture)
        self._scanner.one_row(tables.wide, tables.narrow, tables.counts, tables.codes, odd, capture=index)
        return self._scanner.one, TableColumns(tables, 1)

    def time_updates(self, clock_ns: Callable[[], int]) -> None:
        """Sum up from here on what updating books takes; see `updating`."""
        super().time_updates(clock_ns)
        self._scanner.timed = True

    @property
    def updating(self) -> tuple[int, int]:
        """What updating books took, nanoseconds of CLOCK_MONOTONIC where it was done in C, and how many were timed."""
        spent, updates = super().updating
        return spent + self._scanner.updating_ns, updates + self._scanner.updates_timed

    def run_together(self, runs: Sequence[tuple[Block, int, int]]) -> list[Result]:
        """Take runs of records, each a block, its first record and the one behind its last; return a result each."""
        rows = Rows()
        batches = self._batches(runs, rows)
        records = records_of(runs)
        tables = self._memory.tables(records)
        columns: Columns = TableColumns(tables, records)
        left_out = [self._scan_all(batch, tables, columns) for batch in batches]
        if rows:
            rows.scatter_messages(columns)
        return [batch.result(columns, left) for batch, left in zip(batches, left_out, strict=True)]

    def _scan_all(self, batch: Batch, tables: Tables, columns: Columns) -> Sequence[int] | NDArray[np.intp]:
        """Take the records of a batch; return which of them the selection leaves out."""
        records = batch.stop - batch.first
        left_out = None if self._selection is None else np.zeros(records, dtype=np.uint8)
        base = self._begin(batch, records, left_out, tables)
        at = 0
        while (at := self._scan(batch, at)) < records:
            taken = self._take_odd(batch, at, base, columns)
            if left_out is not None:
                left_out[at] = not taken
            at += 1
        self._scanner.end()
        return () if left_out is None else np.flatnonzero(left_out)

    def _begin(self, batch: Batch, records: int, left_out: NDArray[np.uint8] | None, tables: Tables) -> int:
        """Hand a batch to the scanner; return the base of its lines."""
        block, first, stop = batch.block, batch.first, batch.stop
        base = self.line_base(block, first)
        conn = block.columns.conn
        self._scanner.begin(
            block.payloads,
            block.start,
            block.columns.length,
            block.columns.kind,
            conn,
            batch.received,
            np.isin(conn[first:stop], self._connections).astype(np.uint8) if self._connections else None,
            left_out,
            (tables.wide, tables.narrow, tables.counts, tables.codes),
            first=first,
            records=records,
            rows=tables.rows,
            begin=batch.begin,
            line_base=base,
            capture=base >> 16,
            sequence=batch.sequence,
        )
        return base

    def _scan(self, batch: Batch, at: int) -> int:
        """Take plain records from number `at` on; return the first that is not."""
        log = batch.log
        if log is None:
            return self._scanner.run(at, 0)
        at = self._scanner.run(at, log.capture_index(batch.capture))
        log.extend(batch.capture, *self._scanner.changes())
        return at

    def _take_odd(self, batch: Batch, at: int, base: int, columns: Columns) -> bool:
        """Take one record by the reference; return whether it was selected."""
        block = batch.block
        record, row = batch.first + at, batch.begin + at
        payload = block.payload(record)
        kind = int(block.columns.kind[record])
        self._scanner.leave_empty(at)
        if self._books_only and not may_be_depth(payload):
            if kind == Kind.WS_TEXT:
                self._learn_passed_over(payload)
            return True
        connection = int(block.columns.conn[record])
        message = self._take(batch, at, payload, kind, base + connection)
        if message is None:
            if kind == Kind.WS_TEXT and (not self._connections or connection in self._connections):
                self._learn_passed_over(payload)
            return False
        symbol = self._symbol(message.symbol)
        if symbol >= 0:
            _show(columns, row, self._shown_cell(symbol).row)
        if kind == Kind.WS_TEXT:
            self._learn(payload, message)
        return True

    def _learn(self, payload: bytes, message: Message) -> None:
        """Learn the shape of a message that was taken."""
        layout = self._layout(payload, message)
        if layout is None:
            return
        symbol = message.symbol
        assert symbol is not None  # noqa: S101  messages with a shape have one
        book: SymbolCell | None = None
        quotes: QuoteCell | None = None
        prints: PrintCell | None = None
        if isinstance(message, BookTicker | DepthDiff):
            kept = self.feed.books[symbol]
            assert isinstance(kept, CompiledSymbolBook)  # noqa: S101  the feed makes no others
            book = kept.cell
        if isinstance(message, BookTicker):
            merge = self.feed.quotes[symbol]
            assert isinstance(merge, CompiledQuotes)  # noqa: S101  the feed makes no others
            quotes = merge.cell
        if layout.type in (ShapeType.TRADE, ShapeType.AGGREGATE):
            numbering = self.feed.prints[message.type][symbol]
            assert isinstance(numbering, CompiledPrints)  # noqa: S101  the feed makes no others
            prints = numbering.cell
        print_kind: str | None = getattr(message, "kind", None)
        self._scanner.learn(
            payload,
            layout.steps,
            shape_type=layout.type,
            type_code=TYPE_CODE[message.type],
            market_print=print_kind in MARKET_KINDS,
            taken=True,
            may_be_depth=may_be_depth(payload),
            symbol=self._symbol(symbol),
            stream=self._stream(message.stream),
            kind=self._kind(print_kind),
            book=book,
            quotes=quotes,
            prints=prints,
            shown=self._shown_cell(self._symbol(symbol)),
        )

    def _learn_passed_over(self, payload: bytes) -> None:
        """Learn the shape of a message that is not taken, if its like never is."""
        if self._scanner.knows(payload):
            return
        message = self._parse(payload, rest=False)
        layout = self._layout(payload, message)
        if layout is not None:
            self._scanner.learn(
                payload,
                layout.steps,
                shape_type=layout.type,
                type_code=0,
                market_print=False,
                taken=self._by_name is None or self._by_name.takes(message, 0),
                may_be_depth=may_be_depth(payload),
                symbol=-1,
                stream=-1,
                kind=-1,
                book=None,
                quotes=None,
                prints=None,
                shown=ShownCell(),
            )

    def _layout(self, payload: bytes, message: Message) -> Layout | None:
        """Return the layout of a payload whose shape is not known, and None where there is none or too many failed."""
        if message.symbol is None or self._scanner.knows(payload):
            return None
        tries = self._tries[message.stream] = self._tries.get(message.stream, 0) + 1
        if tries > _TRIES_AT_ONCE and tries % _TRY_EVERY:
            return None
        return layout_of(payload, message)

    def _load_feed(self, state: FeedState) -> None:
        self._scanner.forget()  # what shapes write to is no longer the feed's
        self._shown = []
        plain = Feed(self._market, expects_snapshots=self._expects_snapshots)
        load_feed(plain, state)
        self._kept_feed.adopt(plain)

    def _touched(self, symbol: int, book: SymbolBook) -> Touch:
        touch = super()._touched(symbol, book)
        self._shown_cell(symbol).show(touch)
        return touch

    def _shown_cell(self, symbol: int) -> ShownCell:
        while len(self._shown) <= symbol:
            self._shown.append(ShownCell())
        return self._shown[symbol]


def _show(columns: Columns, row: int, touch: Touch) -> None:
    (
        columns.state[row],
        columns.bid_px_e8[row],
        columns.bid_sz_e8[row],
        columns.ask_px_e8[row],
        columns.ask_sz_e8[row],
    ) = touch
