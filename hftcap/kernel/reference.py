"""The reference kernel: a block in, columns out, books updated on the way, in plain Python.

The oracle for any faster kernel, and what runs where there is none. Rows are gathered by shape (quotes, prints,
depth, the rest), because a quote fills ten columns and a depth update fourteen, and scattered once per block.
"""

from itertools import chain

import numpy as np
from numpy.typing import NDArray

from hftcap.binance.depth_sync import BookState, Outcome
from hftcap.binance.endpoints import Market
from hftcap.binance.messages import (
    AggTrade,
    BlockTrade,
    BookTicker,
    DepthDiff,
    Message,
    PartialDepth,
    RestDepth,
    RpiDepth,
    Trade,
)
from hftcap.binance.parser import Parser
from hftcap.book.levels import NO_ASK, NO_BID
from hftcap.capture.block import Block
from hftcap.capture.format import Kind
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
from hftcap.kernel.state import KernelState, symbol_book, symbol_state
from hftcap.kernel.symbol_book import SymbolBook

_QUOTE = TYPE_CODE["bookTicker"]
_QUOTE_FIELDS = (
    "symbol",
    "stream",
    "event_ns",
    "trade_ns",
    "final_id",
    "price_e8",
    "size_e8",
    "quote_ask_px_e8",
    "quote_ask_sz_e8",
    "oddity",
)
_PRINT_FIELDS = (
    "type",
    "symbol",
    "stream",
    "event_ns",
    "trade_ns",
    "first_id",
    "final_id",
    "prev_id",
    "price_e8",
    "size_e8",
    "side",
    "market_print",
    "oddity",
)
_DEPTH_FIELDS = (
    "type",
    "symbol",
    "stream",
    "event_ns",
    "trade_ns",
    "first_id",
    "final_id",
    "prev_id",
    "levels",
    "removals",
    "verdict",
    "book_id",
    "oddity",
)
_OTHER_FIELDS = ("type", "symbol", "stream", "event_ns", "trade_ns", "final_id", "levels", "oddity")
_TOUCH_FIELDS = ("state", "bid_px_e8", "bid_sz_e8", "ask_px_e8", "ask_sz_e8")
_NO_TOUCH = (0, NULL, NULL, NULL, NULL)


class ReferenceKernel:
    """Turn blocks into columns and keep every symbol's book.

    Blocks must come in record order. `symbols` and `streams` are the tables that the columns' indices point into;
    they grow as names appear. `books` holds every symbol that had a quote, an update or a snapshot.

    With `books_only`, payloads that cannot be an update or a snapshot are passed over: the books come out the same,
    the columns of other records are left empty and the bookTicker check does not go on.
    """

    name = "reference"

    def __init__(self, market: Market, *, expects_snapshots: bool, books_only: bool = False) -> None:
        self._books_only = books_only
        self.symbols: list[str] = []
        self.streams: list[str] = []
        self.books: dict[str, SymbolBook] = {}
        self._futures = market is not Market.SPOT
        self._expects_snapshots = expects_snapshots
        self._parser = Parser()
        self._symbol_index: dict[str | None, int] = {None: -1}
        self._stream_index: dict[str | None, int] = {None: -1}
        self._touch: dict[int, tuple[int, ...]] = {}

    def run(self, block: Block, stop: int | None = None, *, first: int = 0) -> Columns:
        """Take the records of a block from `first` up to, not including, `stop`, and return their columns."""
        stop = block.records if stop is None else stop
        columns = empty_columns(stop - first)
        requested = {note["record"]: note.get("symbol") for note in block.notes if note.get("note") == "rest"}
        rows = _Rows()
        touches: list[tuple[int, ...]] = []
        before = dict(self._touch)
        parse = self._parser.parse
        kinds = block.columns.kind.tolist()
        for record, payload in enumerate(block.payload_list()[first:stop]):
            kind = kinds[first + record]
            if self._books_only and not _may_be_depth(payload):
                continue
            if kind == Kind.WS_BINARY:
                rows.others.append((record, TYPE_CODE["unknown"], -1, -1, NULL, NULL, NULL, 0, ODDITY_CODE["unknown"]))
                continue
            message = parse(payload, rest=kind == Kind.REST, symbol=requested.get(first + record))
            if type(message) is BookTicker:
                self._quote(record, message, rows)
            elif type(message) is DepthDiff:
                self._diff(record, message, rows, touches)
            elif type(message) is RestDepth:
                self._snapshot(record, message, rows, touches)
            else:
                self._other(record, message, rows)
        rows.scatter(columns)
        _fill_touch(columns, touches, before)
        return columns

    def dump(self) -> KernelState:
        """Return what is known between two blocks."""
        books = [symbol_state(symbol, book) for symbol, book in self.books.items()]
        return KernelState(list(self.symbols), list(self.streams), books)

    def load(self, state: KernelState) -> None:
        """Take up a state in place of this kernel's own."""
        self.symbols, self.streams = list(state.symbols), list(state.streams)
        self._symbol_index = {None: -1} | {name: index for index, name in enumerate(self.symbols)}
        self._stream_index = {None: -1} | {name: index for index, name in enumerate(self.streams)}
        self.books = {each.symbol: symbol_book(each, futures=self._futures) for each in state.books}
        self._touch = {}
        for symbol, book in self.books.items():
            if book.has_depth:
                self._touched(self._symbol(symbol), book)

    def _quote(self, record: int, quote: BookTicker, rows: "_Rows") -> None:
        symbol = quote.symbol
        self._book(symbol).quote(quote)
        rows.quotes.append(
            (
                record,
                self._symbol(symbol),
                self._stream(quote.stream),
                NULL if quote.event_ns is None else quote.event_ns,
                NULL if quote.trade_ns is None else quote.trade_ns,
                quote.update_id,
                quote.bid_px_e8,
                quote.bid_sz_e8,
                quote.ask_px_e8,
                quote.ask_sz_e8,
                0 if quote.oddity is None else ODDITY_CODE[quote.oddity],
            )
        )

    def _diff(self, record: int, diff: DepthDiff, rows: "_Rows", touches: list[tuple[int, ...]]) -> None:
        symbol = self._symbol(diff.symbol)
        book = self._book(diff.symbol)
        outcome, removals = book.diff(diff)
        touches.append((record, symbol, *self._touched(symbol, book)))
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
                diff.levels,
                removals,
                VERDICT_CODE[outcome.verdict],
                _book_id(outcome),
                0 if diff.oddity is None else ODDITY_CODE[diff.oddity],
            )
        )

    def _snapshot(self, record: int, snapshot: RestDepth, rows: "_Rows", touches: list[tuple[int, ...]]) -> None:
        symbol = self._symbol(snapshot.symbol)
        verdict, book_id = 0, NULL
        if snapshot.symbol is not None:
            book = self._book(snapshot.symbol)
            outcome = book.snapshot(snapshot)
            verdict, book_id = VERDICT_CODE[outcome.verdict], _book_id(outcome)
            touches.append((record, symbol, *self._touched(symbol, book)))
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
                verdict,
                book_id,
                0 if snapshot.oddity is None else ODDITY_CODE[snapshot.oddity],
            )
        )

    def _other(self, record: int, message: Message, rows: "_Rows") -> None:
        code = TYPE_CODE[message.type]
        symbol = self._symbol(message.symbol)
        stream = self._stream(message.stream)
        event_ns = NULL if message.event_ns is None else message.event_ns
        oddity = 0 if message.oddity is None else ODDITY_CODE[message.oddity]
        match message:
            case Trade() | AggTrade() | BlockTrade():
                aggregate = isinstance(message, AggTrade)
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
                        aggregate or message.kind in ("trade", "MARKET", "blockTrade"),
                        oddity,
                    )
                )
            case PartialDepth() | RpiDepth():
                final = message.update_id if isinstance(message, PartialDepth) else message.final_update_id
                trade_ns = NULL if message.trade_ns is None else message.trade_ns
                levels = len(message.bids) + len(message.asks)
                rows.others.append((record, code, symbol, stream, event_ns, trade_ns, final, levels, oddity))
            case _:
                rows.others.append((record, code, symbol, stream, event_ns, NULL, NULL, 0, oddity))

    def _touched(self, symbol: int, book: SymbolBook) -> tuple[int, ...]:
        """Return the state and touch of a book after it changed, and remember them for the next block."""
        state = book.sync.state
        if state is BookState.BUFFERING:
            touch = (STATE_CODE[state], NULL, NULL, NULL, NULL)
        else:
            bid, bid_size, ask, ask_size = book.book.touch()
            touch = (
                STATE_CODE[state],
                *((bid, bid_size) if bid != NO_BID else (NULL, NULL)),
                *((ask, ask_size) if ask != NO_ASK else (NULL, NULL)),
            )
        self._touch[symbol] = touch
        return touch

    def _book(self, symbol: str | None) -> SymbolBook:
        assert symbol is not None  # noqa: S101  the parser gives quotes and updates a symbol
        book = self.books.get(symbol)
        if book is None:
            book = self.books[symbol] = self.new_book()
        return book

    def new_book(self) -> SymbolBook:
        """Return the book of a symbol of which nothing has been seen."""
        return SymbolBook(futures=self._futures, expects_snapshot=self._expects_snapshots)

    def _symbol(self, name: str | None) -> int:
        index = self._symbol_index.get(name)
        if index is None:
            assert name is not None  # noqa: S101  None has an index
            index = self._symbol_index[name] = len(self.symbols)
            self.symbols.append(name)
        return index

    def _stream(self, name: str | None) -> int:
        index = self._stream_index.get(name)
        if index is None:
            assert name is not None  # noqa: S101  None has an index
            index = self._stream_index[name] = len(self.streams)
            self.streams.append(name)
        return index


def _may_be_depth(payload: bytes) -> bool:
    """Say whether a payload could be an update or a snapshot: their names stand in it, unless they are escaped."""
    return b"depthUpdate" in payload or b"lastUpdateId" in payload or b"\\" in payload


def _book_id(outcome: Outcome) -> int:
    return outcome.changes[-1].final_update_id if outcome.changes else NULL


class _Rows:
    """Rows of one block by shape, each beginning with its record's index."""

    def __init__(self) -> None:
        self.quotes: list[tuple[int, ...]] = []
        self.prints: list[tuple[int, ...]] = []
        self.depth: list[tuple[int, ...]] = []
        self.others: list[tuple[int, ...]] = []

    def scatter(self, columns: Columns) -> None:
        """Write all rows into their places."""
        quoted = _scatter(columns, self.quotes, _QUOTE_FIELDS)
        columns.type[quoted] = _QUOTE
        _scatter(columns, self.prints, _PRINT_FIELDS)
        _scatter(columns, self.depth, _DEPTH_FIELDS)
        _scatter(columns, self.others, _OTHER_FIELDS)


def _table(rows: list[tuple[int, ...]], width: int) -> NDArray[np.int64]:
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=len(rows) * width)
    return flat.reshape(len(rows), width)


def _scatter(columns: Columns, rows: list[tuple[int, ...]], names: tuple[str, ...]) -> NDArray[np.int64]:
    table = _table(rows, len(names) + 1)
    at = table[:, 0]
    for position, name in enumerate(names, start=1):
        getattr(columns, name)[at] = table[:, position]
    return at


def _fill_touch(columns: Columns, touches: list[tuple[int, ...]], before: dict[int, tuple[int, ...]]) -> None:
    """Give every record of a symbol the touch its book had after the latest change at or before that record."""
    table = _table(touches, 2 + len(_TOUCH_FIELDS))
    for symbol in np.unique(columns.symbol):
        if symbol < 0:
            continue
        mine = np.flatnonzero(columns.symbol == symbol)
        changes = table[table[:, 1] == symbol]
        known = np.vstack([np.array([before.get(int(symbol), _NO_TOUCH)], dtype=np.int64), changes[:, 2:]])
        latest = np.searchsorted(changes[:, 0], mine, side="right")
        for position, name in enumerate(_TOUCH_FIELDS):
            getattr(columns, name)[mine] = known[latest, position]
