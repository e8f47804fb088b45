"""What a batch of columns says in each table: one function per table, columns in, Arrow table out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hftcap.capture.block import Block
from hftcap.capture.format import NONE_NS, TimeBase
from hftcap.kernel.columns import NULL, ODDITIES, STATES, TYPE_CODE, TYPES, Columns
from hftcap.report.arrays import floats, integers, names, nulls, repeated, times
from hftcap.report.schema import BBO, MESSAGES, TIME

_SOURCES = ("book", "bookTicker")


@dataclass(frozen=True, slots=True)
class Source:
    """A batch in its place: the block, the columns of its records from `first` on, and the tables of names."""

    file: str
    position: int
    block: Block
    columns: Columns
    symbols: list[str]
    streams: list[str]
    first: int = 0

    @property
    def records(self) -> int:
        """Number of records in the batch."""
        return len(self.columns)

    @property
    def rows(self) -> slice:
        """The batch's records as a slice of the block's own columns."""
        return slice(self.first, self.first + self.records)

    def place(self, rows: NDArray[np.int64]) -> dict[str, pa.Array]:
        """Return the columns every table has, for the records in `rows`."""
        return {
            "ts_recv": times(self.block.recv_ns[self.rows][rows]),
            "symbol": names(self.columns.symbol[rows], self.symbols, none=-1),
            "stream": names(self.columns.stream[rows], self.streams, none=-1),
            "file": repeated(self.file, len(rows)),
            "block": pa.array(np.full(len(rows), self.position, dtype=np.int32)),
            "record": pa.array((rows + self.first).astype(np.int32)),
        }


def messages(source: Source) -> pa.Table:
    """Return one row for every record, unreadable ones included."""
    columns, stored = source.columns, source.block.columns
    rows = np.arange(source.records)
    recv = source.block.recv_ns[source.rows]
    monotonic = source.block.time_base is TimeBase.MONOTONIC
    latency = np.where(columns.event_ns == NULL, NULL, recv - columns.event_ns)
    lag = stored.rx_lag_ns[source.rows]
    arrays: dict[str, Any] = source.place(rows) | {  # Any: Arrow arrays of each column's type
        "type": names(columns.type, TYPES, none=-1),
        "ts_mono": integers(stored.time_ns[source.rows]) if monotonic else nulls(source.records, pa.int64()),
        "rx_lag_ns": integers(np.where(lag == NONE_NS, NULL, lag)),
        "ts_event": times(columns.event_ns),
        "ts_trade": times(columns.trade_ns),
        "latency_ns": integers(latency),
        "ts_recv_adj": nulls(source.records, TIME),
        "ts_recv_err": nulls(source.records, pa.int64()),
        "connection": pa.array(stored.conn[source.rows].astype(np.int32)),
        "bytes": pa.array(stored.length[source.rows].astype(np.int32)),
        "oddity": names(columns.oddity, ODDITIES, none=0),
    }
    return pa.table(arrays, schema=MESSAGES)


def bbo(source: Source) -> pa.Table:
    """Return a row for every bookTicker, and one for every record that changed a book, with the touch after it."""
    columns = source.columns
    quoted = columns.type == TYPE_CODE["bookTicker"]
    rows = np.flatnonzero(quoted | (columns.book_id != NULL))
    is_quote = quoted[rows]

    def pick(quote: NDArray[np.int64], book: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(is_quote, quote[rows], book[rows])

    prices = {
        "bid_px_00": pick(columns.price_e8, columns.bid_px_e8),
        "bid_sz_00": pick(columns.size_e8, columns.bid_sz_e8),
        "ask_px_00": pick(columns.quote_ask_px_e8, columns.ask_px_e8),
        "ask_sz_00": pick(columns.quote_ask_sz_e8, columns.ask_sz_e8),
    }
    arrays: dict[str, Any] = source.place(rows) | {  # Any: as above
        "source": names(is_quote.astype(np.int32), _SOURCES, none=-1),
        "ts_event": times(columns.event_ns[rows]),
        "update_id": integers(pick(columns.final_id, columns.book_id)),
        **{name: floats(values) for name, values in prices.items()},
        **{f"{name}_e8": integers(values) for name, values in prices.items()},
        "state": names(columns.state[rows], STATES, none=0),
    }
    return pa.table(arrays, schema=BBO)
