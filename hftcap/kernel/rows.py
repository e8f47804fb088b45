"""Rows of one batch by shape (quotes, prints, depth, the rest), scattered into the columns once.

A quote fills ten columns and a depth update fourteen: gathering by shape costs half of filling each column in turn.
"""

from itertools import chain

import numpy as np
from numpy.typing import NDArray

from hftcap.kernel.columns import NULL, TYPE_CODE, Columns

QUOTE_FIELDS = (
    "symbol",
    "stream",
    "event_ns",
    "trade_ns",
    "final_id",
    "price_e8",
    "size_e8",
    "quote_ask_px_e8",
    "quote_ask_sz_e8",
    "arrival",
    "oddity",
)
PRINT_FIELDS = (
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
    "kind",
    "arrival",
    "oddity",
)
DEPTH_FIELDS = (
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
    "arrival",
    "oddity",
)
OTHER_FIELDS = ("type", "symbol", "stream", "event_ns", "trade_ns", "final_id", "levels", "arrival", "oddity")
TOUCH_FIELDS = ("state", "bid_px_e8", "bid_sz_e8", "ask_px_e8", "ask_sz_e8")

Touch = tuple[int, ...]
"""State and touch of a book, as in `TOUCH_FIELDS`."""
_NO_TOUCH: Touch = (0, NULL, NULL, NULL, NULL)


_FEW = 64
_NO_ROWS = np.empty(0, dtype=np.int64)


class Rows:
    """Rows of one batch, each beginning with its record's index; of `touches` each goes on with its symbol."""

    def __init__(self) -> None:
        self.quotes: list[tuple[int, ...]] = []
        self.prints: list[tuple[int, ...]] = []
        self.depth: list[tuple[int, ...]] = []
        self.others: list[tuple[int, ...]] = []
        self.touches: list[tuple[int, ...]] = []

    def __bool__(self) -> bool:
        return bool(self.quotes or self.prints or self.depth or self.others)

    def scatter(self, columns: Columns, before: dict[int, Touch]) -> None:
        """Write all rows into their places; `before` is each symbol's touch as the batch began."""
        self.scatter_messages(columns)
        _fill_touch(columns, self.touches, before)

    def scatter_messages(self, columns: Columns) -> None:
        """Write what the messages say, and not where the books stand."""
        quoted = _scatter(columns, self.quotes, QUOTE_FIELDS)
        columns.type[quoted] = TYPE_CODE["bookTicker"]
        _scatter(columns, self.prints, PRINT_FIELDS)
        _scatter(columns, self.depth, DEPTH_FIELDS)
        _scatter(columns, self.others, OTHER_FIELDS)


def _table(rows: list[tuple[int, ...]], width: int) -> NDArray[np.int64]:
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=len(rows) * width)
    return flat.reshape(len(rows), width)


def _scatter(columns: Columns, rows: list[tuple[int, ...]], names: tuple[str, ...]) -> NDArray[np.int64]:
    if not rows:
        return _NO_ROWS
    table = _table(rows, len(names) + 1)
    at = table[:, 0]
    for position, name in enumerate(names, start=1):
        getattr(columns, name)[at] = table[:, position]
    return at


def _fill_touch(columns: Columns, touches: list[tuple[int, ...]], before: dict[int, Touch]) -> None:
    """Give every record of a symbol the touch its book had after the latest change at or before that record."""
    changed: dict[int, list[tuple[int, ...]]] = {}
    for touch in touches:
        changed.setdefault(touch[1], []).append(touch)
    # Of a few records, as merging and pacing hand over, a set finds the symbols in a tenth of the time.
    few = len(columns) <= _FEW
    for symbol in set(columns.symbol.tolist()) if few else np.unique(columns.symbol).tolist():
        changes, first = changed.get(symbol), before.get(symbol)
        if symbol < 0 or (changes is None and first is None):
            continue
        mine = np.flatnonzero(columns.symbol == symbol)
        if changes is None:
            for name, value in zip(TOUCH_FIELDS, first or _NO_TOUCH, strict=True):
                getattr(columns, name)[mine] = value
            continue
        table = _table(changes, 2 + len(TOUCH_FIELDS))
        known = np.vstack([np.array([first or _NO_TOUCH], dtype=np.int64), table[:, 2:]])
        latest = np.searchsorted(table[:, 0], mine, side="right")
        for position, name in enumerate(TOUCH_FIELDS):
            getattr(columns, name)[mine] = known[latest, position]
