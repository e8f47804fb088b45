"""Columns in four tables, one of each type of number, for a writer that fills row by row.

An array is made of a column when it is first asked for: to make all of them costs more than to fill ten rows each.
"""

import sys

import numpy as np
from numpy.typing import NDArray

from hftcap.kernel.columns import Columns

WIDE = (
    *("event_ns", "trade_ns", "first_id", "final_id", "prev_id"),
    *("price_e8", "size_e8", "quote_ask_px_e8", "quote_ask_sz_e8"),
    *("bid_px_e8", "bid_sz_e8", "ask_px_e8", "ask_sz_e8", "book_id"),
)
NARROW = ("symbol", "stream", "kind")
COUNTS = ("levels", "removals")
CODES = ("type", "side", "verdict", "state", "market_print", "arrival", "oddity")
"""Names of the columns of each table, in the order that native/scan.h knows."""

_PLACES = {
    name: (table, at)
    for table, names in (("wide", WIDE), ("narrow", NARROW), ("counts", COUNTS), ("codes", CODES))
    for at, name in enumerate(names)
}


_ROW_BYTES = 8 * len(WIDE) + 4 * len(NARROW) + 4 * len(COUNTS) + len(CODES)
_KEPT = 4


class Tables:
    """A row for each column, int64, int32, uint32 and uint8, with room for `rows` records."""

    __slots__ = ("_memory", "_untouched", "codes", "counts", "narrow", "rows", "wide")

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._memory = np.empty(rows * _ROW_BYTES, dtype=np.uint8)
        narrow = len(WIDE) * rows * 8
        counts = narrow + len(NARROW) * rows * 4
        codes = counts + len(COUNTS) * rows * 4
        self.wide: NDArray[np.int64] = self._memory[:narrow].view(np.int64).reshape(len(WIDE), rows)
        self.narrow: NDArray[np.int32] = self._memory[narrow:counts].view(np.int32).reshape(len(NARROW), rows)
        self.counts: NDArray[np.uint32] = self._memory[counts:codes].view(np.uint32).reshape(len(COUNTS), rows)
        self.codes: NDArray[np.uint8] = self._memory[codes:].reshape(len(CODES), rows)
        self._untouched = sys.getrefcount(self._memory)

    @property
    def unused(self) -> bool:
        """Whether nobody looks into a column: every array made of one holds on to the memory."""
        return sys.getrefcount(self._memory) == self._untouched


class TablePool:
    """Tables that are used again once nobody has a column of them any more.

    Fresh memory costs 20 ns a row: the system clears every page. A consumer that keeps its columns loses nothing, the
    next tables are simply made elsewhere.
    """

    def __init__(self) -> None:
        self._kept: list[Tables] = []

    def tables(self, records: int) -> Tables:
        """Return tables that hold nothing yet, with room for at least so many records."""
        for tables in self._kept:
            # One reference is the list's, one this loop's, one the call's: the columns' owner would be another.
            if tables.rows >= records and sys.getrefcount(tables) <= _UNUSED and tables.unused:
                return tables
        tables = Tables(records + records // 4)
        self._kept = [tables, *self._kept[: _KEPT - 1]]
        return tables


_UNUSED = 3


class TableColumns(Columns):
    """The columns of the first `records` rows of such tables."""

    __slots__ = ("_records", "_tables")

    def __init__(self, tables: Tables, records: int) -> None:
        self._tables = tables
        self._records = records

    def __len__(self) -> int:
        return self._records

    def __getattr__(self, name: str) -> NDArray[np.generic]:
        """Make the array of a column that has not been asked for."""
        try:
            table, at = _PLACES[name]
        except KeyError:
            raise AttributeError(name) from None
        column: NDArray[np.generic] = getattr(self._tables, table)[at, : self._records]
        setattr(self, name, column)
        return column
