"""What changed the books, level by level, in the order it was applied, and where updates are missing.

Every update that reached a book has a row for each of its levels. Where a snapshot joins, a row for each level that
was held and is not in it comes first, with size 0; then its own levels; then those of the updates that had waited for
it, each under its own ids and place. Applied in order, the rows give the book.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hftcap.binance.depth_sync import BookState, Change
from hftcap.binance.lines import Origin
from hftcap.binance.messages import DepthDiff, Level
from hftcap.book.levels import NO_ASK, NO_BID, Levels
from hftcap.kernel.columns import NULL, STATE_CODE


class BookSide(IntEnum):
    """The side a level stands on."""

    BID = 1
    ASK = 2


class Action(IntEnum):
    """What a row does to its level; the values are the letters' codes."""

    ADD = ord("A")
    MODIFY = ord("M")
    CANCEL = ord("C")


class Flag(IntFlag):
    """Flags of a row, by the values Databento gives them."""

    LAST = 128
    """The last row of its update."""
    SNAPSHOT = 32
    MAYBE_BAD_BOOK = 4
    """The book is not to be trusted: no snapshot joined, or an update is missing since."""


@dataclass(slots=True)
class LevelColumns:
    """A row per level, in the order in which they were applied.

    The payload a level stands in is `captures[capture]`, block `sequence`, record `place` in it; it was received at
    `recv_ns`. It may stand in an earlier block, where an update had waited for a snapshot or for another line. Ids and
    times are the update's, `NULL` where it has none; `symbol` and `stream` are indices, -1 for none.
    """

    captures: list[str]
    symbol: NDArray[np.int64]
    stream: NDArray[np.int64]
    capture: NDArray[np.int64]
    sequence: NDArray[np.int64]
    place: NDArray[np.int64]
    recv_ns: NDArray[np.int64]
    event_ns: NDArray[np.int64]
    trade_ns: NDArray[np.int64]
    first_id: NDArray[np.int64]
    final_id: NDArray[np.int64]
    prev_id: NDArray[np.int64]
    side: NDArray[np.int64]
    action: NDArray[np.int64]
    price_e8: NDArray[np.int64]
    size_e8: NDArray[np.int64]
    flags: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.side)


_ROW_FIELDS = ("side", "action", "price_e8", "size_e8", "flags")
_UPDATE_FIELDS = tuple(name for name in LevelColumns.__dataclass_fields__ if name not in ("captures", *_ROW_FIELDS))


@dataclass(slots=True)
class TouchColumns:
    """A row for each update that changed a book, in the order in which they were applied: the book's touch after it.

    Places, names and `recv_ns` as in `LevelColumns`. `at` is the index in its block of the record that led to it, which
    is a later one where the update had waited. Prices and sizes are `NULL` where a side is empty; `state` is the index
    of the book's state in `STATES`.
    """

    captures: list[str]
    at: NDArray[np.int64]
    symbol: NDArray[np.int64]
    stream: NDArray[np.int64]
    capture: NDArray[np.int64]
    sequence: NDArray[np.int64]
    place: NDArray[np.int64]
    recv_ns: NDArray[np.int64]
    event_ns: NDArray[np.int64]
    update_id: NDArray[np.int64]
    state: NDArray[np.int64]
    bid_px_e8: NDArray[np.int64]
    bid_sz_e8: NDArray[np.int64]
    ask_px_e8: NDArray[np.int64]
    ask_sz_e8: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in the updates of a symbol.

    `last_id` is where the feed stood, received at `since_ns`; `next_id` the first id of the update behind the hole,
    which stands at `origin`. `symbol` and `stream` are indices, -1 for none.
    """

    symbol: int
    stream: int
    last_id: int
    next_id: int
    since_ns: int
    origin: Origin


class ChangeLog:
    """Gather what happens to the books of one batch, each change before it is applied.

    `symbol_index` and `stream_index` give a name's index in the kernel's tables.
    """

    def __init__(self, symbol_index: Callable[[str | None], int], stream_index: Callable[[str | None], int]) -> None:
        self.gaps: list[Gap] = []
        self._symbol_index = symbol_index
        self._stream_index = stream_index
        self._captures: dict[str, int] = {}
        self._updates = array("q")
        self._counts = array("q")
        self._rows = array("q")
        self._touches = array("q")
        self.at = 0
        """Index of the record that is being taken."""

    def gap(self, diff: DepthDiff, origin: Origin, last_id: int, since_ns: int) -> None:
        """Take an update in front of which others are missing."""
        symbol, stream = self._symbol_index(diff.symbol), self._stream_index(diff.stream)
        self.gaps.append(Gap(symbol, stream, last_id, diff.first_update_id, since_ns, origin))

    def change(self, change: Change, book: Levels, *, trusted: bool) -> None:
        """Take a change that is about to be applied to `book`."""
        flags = 0 if trusted else Flag.MAYBE_BAD_BOOK.value
        rows = self._rows
        before = len(rows)
        bids, asks = book.sides()
        if change.reset:
            flags |= Flag.SNAPSHOT.value
            _drop(rows, BookSide.BID.value, sorted(bids, reverse=True), change.bids, flags)
            _drop(rows, BookSide.ASK.value, sorted(asks), change.asks, flags)
        _set(rows, BookSide.BID.value, bids, change.bids, flags)
        _set(rows, BookSide.ASK.value, asks, change.asks, flags)
        count = (len(rows) - before) // len(_ROW_FIELDS)
        if not count:
            return
        rows[-1] |= Flag.LAST.value
        event = change.event
        diff = event if isinstance(event, DepthDiff) else None
        capture, sequence, place, recv_ns = change.origin
        self._counts.append(count)
        self._updates.extend(
            (
                self._symbol_index(event.symbol),
                self._stream_index(event.stream),
                self._captures.setdefault(capture, len(self._captures)),
                sequence,
                place,
                recv_ns,
                _or_null(event.event_ns),
                _or_null(event.trade_ns),
                _or_null(diff.first_update_id if diff else None),
                change.final_update_id,
                _or_null(diff.prev_final_update_id if diff else None),
            )
        )

    def touch(self, change: Change, book: Levels, state: BookState) -> None:
        """Take the book after a change was applied to it."""
        capture, sequence, place, recv_ns = change.origin
        event = change.event
        bid, bid_size, ask, ask_size = book.touch()
        self._touches.extend(
            (
                self.at,
                self._symbol_index(event.symbol),
                self._stream_index(event.stream),
                self._captures.setdefault(capture, len(self._captures)),
                sequence,
                place,
                recv_ns,
                _or_null(event.event_ns),
                change.final_update_id,
                STATE_CODE[state],
                *((bid, bid_size) if bid != NO_BID else (NULL, NULL)),
                *((ask, ask_size) if ask != NO_ASK else (NULL, NULL)),
            )
        )

    def touches(self) -> TouchColumns:
        """Return the touches gathered."""
        table = np.frombuffer(self._touches, dtype=np.int64).reshape(-1, len(_TOUCH_FIELDS))
        fields = {name: table[:, at] for at, name in enumerate(_TOUCH_FIELDS)}
        return TouchColumns(captures=list(self._captures), **fields)

    def capture_index(self, capture: str) -> int:
        """Return the index of a capture among those of the rows, the next one where it has none yet."""
        return self._captures.get(capture, len(self._captures))

    def extend(self, capture: str, updates: bytes, counts: bytes, rows: bytes, touches: bytes) -> None:
        """Take changes that were gathered elsewhere, all of one capture, packed as they are here."""
        if touches:
            self._captures.setdefault(capture, len(self._captures))
            self._updates.frombytes(updates)
            self._counts.frombytes(counts)
            self._rows.frombytes(rows)
            self._touches.frombytes(touches)

    def columns(self) -> LevelColumns:
        """Return the rows gathered."""
        if not self._counts:
            return NO_LEVELS
        updates = np.frombuffer(self._updates, dtype=np.int64).reshape(-1, len(_UPDATE_FIELDS))
        rows = np.frombuffer(self._rows, dtype=np.int64).reshape(-1, len(_ROW_FIELDS))
        of_row = np.repeat(np.arange(len(updates)), np.frombuffer(self._counts, dtype=np.int64))
        return LevelColumns(
            captures=list(self._captures),
            **{name: updates[of_row, at] for at, name in enumerate(_UPDATE_FIELDS)},
            **{name: rows[:, at] for at, name in enumerate(_ROW_FIELDS)},
        )


NO_LEVELS = LevelColumns([], **{name: np.empty(0, dtype=np.int64) for name in (*_UPDATE_FIELDS, *_ROW_FIELDS)})
"""No rows at all."""
_TOUCH_FIELDS = tuple(name for name in TouchColumns.__dataclass_fields__ if name != "captures")
NO_TOUCHES = TouchColumns([], **{name: np.empty(0, dtype=np.int64) for name in _TOUCH_FIELDS})
"""No touches at all."""
_Rows = TypeVar("_Rows", LevelColumns, TouchColumns)


def joined_levels(parts: list[LevelColumns]) -> LevelColumns:
    """Return the rows of several runs as one, in order."""
    return _joined(parts, LevelColumns, NO_LEVELS)


def joined_touches(parts: list[TouchColumns]) -> TouchColumns:
    """Return the touches of several runs as one, in order."""
    return _joined(parts, TouchColumns, NO_TOUCHES)


def _joined(parts: list[_Rows], kind: type[_Rows], nothing: _Rows) -> _Rows:
    """Join rows; each part numbers its captures by itself, the whole by their first appearance."""
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else nothing
    captures = list(dict.fromkeys(capture for part in parts for capture in part.captures))
    fields = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in kind.__dataclass_fields__
        if name not in ("capture", "captures")
    }
    renumbered = [np.array([captures.index(name) for name in part.captures])[part.capture] for part in parts]
    return kind(captures=captures, capture=np.concatenate(renumbered), **fields)


def _or_null(value: int | None) -> int:
    return NULL if value is None else value


def _set(rows: "array[int]", side: int, held: Mapping[int, int], levels: Iterable[Level], flags: int) -> None:
    touched: dict[int, int] = {}  # a price may stand twice in one update
    add, modify, cancel = Action.ADD.value, Action.MODIFY.value, Action.CANCEL.value
    for price, size in levels:
        if not size:
            action = cancel
        elif touched.get(price, held.get(price, 0)):
            action = modify
        else:
            action = add
        touched[price] = size
        rows.extend((side, action, price, size, flags))


def _drop(rows: "array[int]", side: int, held: Iterable[int], levels: Iterable[Level], flags: int) -> None:
    """Add a row of size 0 for each price that is held and not among `levels`."""
    kept = {price for price, size in levels if size}
    for price in held:
        if price not in kept:
            rows.extend((side, Action.CANCEL.value, price, 0, flags))
