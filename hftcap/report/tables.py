"""What a batch of columns says in each table: one function per table, columns in, Arrow table out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hftcap.binance.lines import Arrival
from hftcap.capture.format import NONE_NS, TimeBase
from hftcap.capture.reader import Chunk
from hftcap.kernel import Kernel, Result
from hftcap.kernel.changes import Action, BookSide, LevelColumns
from hftcap.kernel.columns import NULL, ODDITIES, STATES, TYPE_CODE, TYPES, Side
from hftcap.report.arrays import floats, integers, names, nulls, repeated, times
from hftcap.report.schema import BBO, BOOK_UPDATES, MESSAGES, TIME, TRADES

_SOURCES = ("book", "bookTicker")
_PRINTS = tuple(TYPE_CODE[name] for name in ("trade", "aggTrade", "blockTrade"))
_LETTERS = ("B", "A")
_ACTIONS = tuple(chr(action) for action in Action)
_ACTION_INDEX = {action.value: index for index, action in enumerate(Action)}

Locate = Callable[[str, int], tuple[str, int]]
"""Return file and block position of a block by its capture id and sequence number."""


class Source:
    """A batch in its place: a run of a block's records, what the kernel made of them, and the tables of names."""

    __slots__ = ("block", "columns", "file", "names", "position", "recv_ns", "rows")

    def __init__(self, chunk: Chunk, result: Result, names: Kernel) -> None:
        self.file = chunk.path.name
        self.position = chunk.position
        self.block = chunk.block
        self.columns = result.columns
        self.rows = result.rows
        self.recv_ns = chunk.block.received(chunk.first, chunk.stop)[result.rows - chunk.first]
        self.names = names

    def place(self, at: NDArray[np.intp]) -> dict[str, pa.Array]:
        """Return the columns every table has, for some of the rows."""
        return {
            "ts_recv": times(self.recv_ns[at]),
            "symbol": names(self.columns.symbol[at], self.names.symbols, none=-1),
            "stream": names(self.columns.stream[at], self.names.streams, none=-1),
            "file": repeated(self.file, len(at)),
            "block": pa.array(np.full(len(at), self.position, dtype=np.int32)),
            "record": pa.array(self.rows[at].astype(np.int32)),
        }


def messages(source: Source) -> pa.Table:
    """Return one row for every record, unreadable ones included."""
    columns, stored, rows = source.columns, source.block.columns, source.rows
    count = len(rows)
    recv = source.recv_ns
    monotonic = source.block.time_base is TimeBase.MONOTONIC
    latency = np.where(columns.event_ns == NULL, NULL, recv - columns.event_ns)
    lag = stored.rx_lag_ns[rows]
    arrays: dict[str, Any] = source.place(np.arange(count)) | {  # Any: Arrow arrays of each column's type
        "type": names(columns.type, TYPES, none=-1),
        "ts_mono": integers(stored.time_ns[rows]) if monotonic else nulls(count, pa.int64()),
        "rx_lag_ns": integers(np.where(lag == NONE_NS, NULL, lag)),
        "ts_event": times(columns.event_ns),
        "ts_trade": times(columns.trade_ns),
        "latency_ns": integers(latency),
        "ts_recv_adj": nulls(count, TIME),
        "ts_recv_err": nulls(count, pa.int64()),
        "connection": pa.array(stored.conn[rows].astype(np.int32)),
        "bytes": pa.array(stored.length[rows].astype(np.int32)),
        "oddity": names(columns.oddity, ODDITIES, none=0),
    }
    return pa.table(arrays, schema=MESSAGES)


def trades(source: Source) -> pa.Table:
    """Return a row for every print, what redundant lines bring again left out."""
    columns = source.columns
    at = np.flatnonzero(np.isin(columns.type, _PRINTS) & (columns.arrival == Arrival.FIRST))
    arrays: dict[str, Any] = source.place(at) | {  # Any: as above
        "ts_event": times(columns.event_ns[at]),
        "ts_trade": times(columns.trade_ns[at]),
        "trade_id": integers(columns.final_id[at]),
        **_priced(columns.price_e8[at], columns.size_e8[at]),
        "side": names((columns.side[at] != Side.BUY.value).astype(np.int32), _LETTERS, none=-1),
        "kind": names(columns.kind[at], source.names.kinds, none=-1),
    }
    return pa.table(arrays, schema=TRADES)


def book_updates(levels: LevelColumns, kernel: Kernel, locate: Locate) -> pa.Table:
    """Return a row for every level, in the order in which they were applied."""
    blocks, of_row = np.unique(np.stack((levels.capture, levels.sequence)), axis=1, return_inverse=True)
    found = [locate(levels.captures[capture], sequence) for capture, sequence in blocks.T.tolist()]
    files = list(dict.fromkeys(file for file, _ in found))
    file_of_block = np.array([files.index(file) for file, _ in found], dtype=np.int32)
    position_of_block = np.array([position for _, position in found], dtype=np.int32)
    of_row = of_row.reshape(-1)
    action = np.vectorize(_ACTION_INDEX.__getitem__, otypes=[np.int32])(levels.action) if len(levels) else levels.action
    arrays: dict[str, Any] = {  # Any: as above
        "ts_recv": times(levels.recv_ns),
        "symbol": names(levels.symbol, kernel.symbols, none=-1),
        "stream": names(levels.stream, kernel.streams, none=-1),
        "file": names(file_of_block[of_row], files, none=-1),
        "block": pa.array(position_of_block[of_row]),
        "record": pa.array(levels.place.astype(np.int32)),
        "ts_event": times(levels.event_ns),
        "ts_trade": times(levels.trade_ns),
        "first_update_id": integers(levels.first_id),
        "final_update_id": integers(levels.final_id),
        "prev_final_update_id": integers(levels.prev_id),
        "side": names((levels.side != BookSide.BID.value).astype(np.int32), _LETTERS, none=-1),
        "action": names(action, _ACTIONS, none=-1),
        **_priced(levels.price_e8, levels.size_e8),
        "flags": pa.array(levels.flags.astype(np.uint8)),
    }
    return pa.table(arrays, schema=BOOK_UPDATES)


def bbo(source: Source) -> pa.Table:
    """Return a row for every bookTicker, and one for every record that changed a book, with the touch after it."""
    columns = source.columns
    quoted = columns.type == TYPE_CODE["bookTicker"]
    at = np.flatnonzero(quoted & (columns.arrival == Arrival.FIRST) | (columns.book_id != NULL))
    is_quote = quoted[at]

    def pick(quote: NDArray[np.int64], book: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(is_quote, quote[at], book[at])

    prices = {
        "bid_px_00": pick(columns.price_e8, columns.bid_px_e8),
        "bid_sz_00": pick(columns.size_e8, columns.bid_sz_e8),
        "ask_px_00": pick(columns.quote_ask_px_e8, columns.ask_px_e8),
        "ask_sz_00": pick(columns.quote_ask_sz_e8, columns.ask_sz_e8),
    }
    arrays: dict[str, Any] = source.place(at) | {  # Any: as above
        "source": names(is_quote.astype(np.int32), _SOURCES, none=-1),
        "ts_event": times(columns.event_ns[at]),
        "update_id": integers(pick(columns.final_id, columns.book_id)),
        **{name: floats(values) for name, values in prices.items()},
        **{f"{name}_e8": integers(values) for name, values in prices.items()},
        "state": names(columns.state[at], STATES, none=0),
    }
    return pa.table(arrays, schema=BBO)


def _priced(price_e8: NDArray[np.int64], size_e8: NDArray[np.int64]) -> dict[str, pa.Array]:
    return {
        "price": floats(price_e8),
        "size": floats(size_e8),
        "price_e8": integers(price_e8),
        "size_e8": integers(size_e8),
    }
