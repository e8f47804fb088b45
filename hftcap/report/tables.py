"""What a batch of columns says in each table: one function per table, columns in, Arrow table out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hftcap.binance.lines import Arrival
from hftcap.kernel import Kernel
from hftcap.kernel.changes import Action, BookSide, LevelColumns, TouchColumns
from hftcap.kernel.columns import NULL, ODDITIES, STATES, TYPE_CODE, TYPES, Side
from hftcap.kernel.gathered import Gathered
from hftcap.report.arrays import changes, floats, integers, names, nulls, repeated, times
from hftcap.report.schema import BBO, BOOK_UPDATES, MESSAGES, TIME, TRADES

PRINTS = tuple(TYPE_CODE[name] for name in ("trade", "aggTrade", "blockTrade"))
_LETTERS = ("B", "A")
_ACTIONS = tuple(chr(action) for action in Action)
_ACTION_INDEX = np.zeros(128, dtype=np.int32)
_ACTION_INDEX[[action.value for action in Action]] = np.arange(len(Action))

Locate = Callable[[str, int], tuple[str, int]]
"""Return file and block position of a block by its capture id and sequence number."""


@dataclass(frozen=True, slots=True)
class Source:
    """Records with what the kernel made of them, and the kernel, which has the tables of names."""

    rows: Gathered
    names: Kernel

    def place(self, at: NDArray[np.intp]) -> dict[str, pa.Array]:
        """Return the columns every table has, for some of the rows."""
        rows = self.rows
        return {
            "ts_recv": times(rows.recv_ns[at]),
            "symbol": names(rows.columns.symbol[at], self.names.symbols, none=-1),
            "stream": names(rows.columns.stream[at], self.names.streams, none=-1),
            "file": names(rows.file[at], rows.files, none=-1),
            "block": pa.array(rows.block[at]),
            "record": pa.array(rows.record[at]),
        }


def messages(source: Source) -> pa.Table:
    """Return one row for every record, unreadable ones included."""
    rows, columns = source.rows, source.rows.columns
    count = len(rows)
    arrays: dict[str, Any] = source.place(np.arange(count)) | {  # Any: Arrow arrays of each column's type
        "type": names(columns.type, TYPES, none=-1),
        "ts_mono": integers(rows.mono_ns),
        "rx_lag_ns": integers(rows.rx_lag_ns),
        "ts_event": times(columns.event_ns),
        "ts_trade": times(columns.trade_ns),
        "latency_ns": integers(np.where(columns.event_ns == NULL, NULL, rows.recv_ns - columns.event_ns)),
        "ts_recv_adj": nulls(count, TIME),
        "ts_recv_err": nulls(count, pa.int64()),
        "connection": pa.array(rows.conn.astype(np.int32)),
        "bytes": pa.array(rows.length.astype(np.int32)),
        "oddity": names(columns.oddity, ODDITIES, none=0),
    }
    return pa.table(arrays, schema=MESSAGES)


def trades(source: Source) -> pa.Table:
    """Return a row for every print, what redundant lines bring again left out."""
    columns = source.rows.columns
    at = np.flatnonzero(np.isin(columns.type, PRINTS) & (columns.arrival == Arrival.FIRST))
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
    arrays: dict[str, Any] = _located(levels, kernel, locate) | {  # Any: as above
        "ts_event": times(levels.event_ns),
        "ts_trade": times(levels.trade_ns),
        "first_update_id": integers(levels.first_id),
        "final_update_id": integers(levels.final_id),
        "prev_final_update_id": integers(levels.prev_id),
        "side": names((levels.side != BookSide.BID.value).astype(np.int32), _LETTERS, none=-1),
        "action": names(_ACTION_INDEX[levels.action], _ACTIONS, none=-1),
        **_priced(levels.price_e8, levels.size_e8),
        "flags": pa.array(levels.flags.astype(np.uint8)),
    }
    return pa.table(arrays, schema=BOOK_UPDATES)


def _located(rows: LevelColumns | TouchColumns, kernel: Kernel, locate: Locate) -> dict[str, pa.Array]:
    """Return the columns every table has, for rows that may be of any block."""
    # Rows of one block follow each other, or nearly: a block is looked up for each run of them.
    begins = np.flatnonzero(changes(rows.capture) | changes(rows.sequence))
    found = [
        locate(rows.captures[capture], sequence)
        for capture, sequence in zip(rows.capture[begins].tolist(), rows.sequence[begins].tolist(), strict=True)
    ]
    files = {name: code for code, name in enumerate(dict.fromkeys(file for file, _ in found))}
    counts = np.diff(begins, append=len(rows))
    file = np.repeat(np.array([files[name] for name, _ in found], dtype=np.int32), counts)
    position = np.repeat(np.array([position for _, position in found], dtype=np.int32), counts)
    return {
        "ts_recv": times(rows.recv_ns),
        "symbol": names(rows.symbol, kernel.symbols, none=-1),
        "stream": names(rows.stream, kernel.streams, none=-1),
        "file": names(file, list(files), none=-1),
        "block": pa.array(position),
        "record": pa.array(rows.place.astype(np.int32)),
    }


def bbo(source: Source, locate: Locate) -> pa.Table:
    """Return a row for every bookTicker, and one for every update that changed a book, with the touch after it."""
    columns, rows = source.rows.columns, source.rows
    at = np.flatnonzero((columns.type == TYPE_CODE["bookTicker"]) & (columns.arrival == Arrival.FIRST))
    fields: dict[str, Any] = source.place(at) | {  # Any: as above
        "source": repeated("bookTicker", len(at)),
        "ts_event": times(columns.event_ns[at]),
        "update_id": integers(columns.final_id[at]),
        **_touch(columns.price_e8[at], columns.size_e8[at], columns.quote_ask_px_e8[at], columns.quote_ask_sz_e8[at]),
        "state": names(columns.state[at], STATES, none=0),
    }
    quotes, books = pa.table(fields, schema=BBO), book_touches(rows.touches, source.names, locate)
    if not books.num_rows:
        return quotes
    # A record is a quote or an update; one that leads to several updates keeps their order.
    order = np.argsort(np.concatenate((at, rows.touch_row)), kind="stable")
    return pa.concat_tables([quotes, books]).unify_dictionaries().take(order)


def book_touches(touches: TouchColumns, kernel: Kernel, locate: Locate) -> pa.Table:
    """Return a row of `bbo` for every update that changed a book."""
    if not len(touches):
        return BBO.empty_table()
    fields: dict[str, Any] = _located(touches, kernel, locate) | {  # Any: as above
        "source": repeated("book", len(touches)),
        "ts_event": times(touches.event_ns),
        "update_id": integers(touches.update_id),
        **_touch(touches.bid_px_e8, touches.bid_sz_e8, touches.ask_px_e8, touches.ask_sz_e8),
        "state": names(touches.state, STATES, none=0),
    }
    return pa.table(fields, schema=BBO)


def _touch(*scaled: NDArray[np.int64]) -> dict[str, pa.Array]:
    named = dict(zip(("bid_px_00", "bid_sz_00", "ask_px_00", "ask_sz_00"), scaled, strict=True))
    return {name: floats(values) for name, values in named.items()} | {
        f"{name}_e8": integers(values) for name, values in named.items()
    }


def _priced(price_e8: NDArray[np.int64], size_e8: NDArray[np.int64]) -> dict[str, pa.Array]:
    return {
        "price": floats(price_e8),
        "size": floats(size_e8),
        "price_e8": integers(price_e8),
        "size_e8": integers(size_e8),
    }
