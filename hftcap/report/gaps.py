"""The `gaps` table: holes in the numbering of updates and prints, and what the capture knows of their cause.

A hole in the updates is what joining calls a gap. A hole in the ids of prints may still be filled by a redundant line
or by a print that comes late, so those are told at the end, what was filled left out. The cause of a hole is what the
capture says happened between the event before it and the one behind it:

    loss        a note says that records were received and not stored
    damage      blocks are missing or damaged
    reconnect   a connection was opened
    sequence    nothing of these: the venue, or the way from it, left something out
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from hftcap.binance.lines import Arrival
from hftcap.capture.block import Block
from hftcap.kernel.changes import Gap
from hftcap.report.schema import GAPS
from hftcap.report.tables import PRINTS, Locate, Source

_CAUSES = ("loss", "damage", "reconnect")
EVENTS_KEPT = 256
"""Latest events of one cause that a hole is held against; a hole ends when it is found, so older ones do not matter."""
HOLES_KEPT = 65_536
"""Holes of one numbering that may still be filled; more than these are told at once."""


_Row = dict[str, Any]  # Any: values of the table's columns


@dataclass(frozen=True, slots=True)
class _Hole:
    """Ids that are missing, `first` to `last`, and the row that tells of them."""

    first: int
    last: int
    row: _Row

    def told(self) -> _Row:
        return self.row | {"last_good_id": self.first - 1, "next_id": self.last + 1}


class _Numbering:
    """The ids of one kind of print of one symbol."""

    __slots__ = ("first", "holes", "last", "last_ns")

    def __init__(self, number: int, recv_ns: int) -> None:
        self.first = self.last = number
        self.last_ns = recv_ns
        self.holes: list[_Hole] = []

    def fill(self, number: int) -> None:
        """Take an id that comes late out of its hole."""
        at = bisect_right(self.holes, number, key=_first_of) - 1
        if at < 0 or number > self.holes[at].last:
            return
        hole = self.holes.pop(at)
        parts = (replace(hole, last=number - 1), replace(hole, first=number + 1))
        self.holes[at:at] = [part for part in parts if part.first <= part.last]


class GapTable:
    """Gather holes batch by batch."""

    def __init__(self) -> None:
        self._numberings: dict[int, _Numbering] = {}  # by type and symbol in one number
        self._events = {cause: deque[tuple[int, int]](maxlen=EVENTS_KEPT) for cause in _CAUSES}
        self._behind: dict[str, tuple[int, int]] = {}  # by capture: the sequence due, and the last receive time
        self._rows: list[_Row] = []

    def add(self, source: Source) -> None:
        """Take records: what the notes of their blocks tell of causes, and the prints."""
        for piece in source.rows.pieces:
            if piece.chunk.first == 0:
                self._learn(piece.chunk.block)
        columns = source.rows.columns
        prints = np.isin(columns.type, PRINTS) & (columns.arrival == Arrival.FIRST)
        at = np.flatnonzero(prints)
        if not len(at):
            return
        recv = source.rows.recv_ns
        keys = columns.type[at].astype(np.int64) << 32 | columns.symbol[at]
        for key in np.unique(keys).tolist():
            mine = at[keys == key]
            ids = columns.final_id[mine]
            numbering = self._numberings.get(key)
            begins = numbering is None or int(ids[0]) == numbering.last + 1
            if begins and (np.diff(ids) == 1).all():
                if numbering is None:
                    numbering = self._numberings[key] = _Numbering(int(ids[0]), 0)
                numbering.last, numbering.last_ns = int(ids[-1]), int(recv[mine[-1]])
                continue
            for row, number in zip(mine.tolist(), ids.tolist(), strict=True):
                self._follow(key, number, int(recv[row]), source, row)

    def _follow(self, key: int, number: int, recv_ns: int, source: Source, row: int) -> None:
        numbering = self._numberings.get(key)
        if numbering is None:
            self._numberings[key] = _Numbering(number, recv_ns)
            return
        if numbering.first <= number <= numbering.last:
            numbering.fill(number)
            return
        since_ns = numbering.last_ns
        if number < numbering.first:  # it moves the first id back, and what lies between is missing
            at, first, last = 0, number + 1, numbering.first - 1
            numbering.first = number
        else:
            at, first, last = len(numbering.holes), numbering.last + 1, number - 1
            numbering.last, numbering.last_ns = number, recv_ns
        if first > last:
            return
        rows, columns, names = source.rows, source.rows.columns, source.names
        symbol, stream = int(columns.symbol[row]), int(columns.stream[row])
        told = _row(
            recv_ns,
            names.symbols[symbol] if symbol >= 0 else None,
            names.streams[stream] if stream >= 0 else None,
            (rows.files[int(rows.file[row])], int(rows.block[row]), int(rows.record[row])),
            since_ns,
            self._cause(since_ns, recv_ns),
        )
        numbering.holes.insert(at, _Hole(first, last, told))
        if len(numbering.holes) > HOLES_KEPT:
            self._rows.append(numbering.holes.pop(0).told())

    def add_updates(self, gaps: list[Gap], symbols: list[str], streams: list[str], locate: Locate) -> None:
        """Take the holes in the updates of a batch."""
        for gap in gaps:
            capture, sequence, record, recv_ns = gap.origin
            file, position = locate(capture, sequence)
            told = _row(
                recv_ns,
                symbols[gap.symbol] if gap.symbol >= 0 else None,
                streams[gap.stream] if gap.stream >= 0 else None,
                (file, position, record),
                gap.since_ns,
                self._cause(gap.since_ns, recv_ns),
            )
            self._rows.append(told | {"last_good_id": gap.last_id, "next_id": gap.next_id})

    def finish(self) -> None:
        """Say that nothing more comes: what is missing in the prints stays missing."""
        holes = [hole.told() for numbering in self._numberings.values() for hole in numbering.holes]
        self._rows += sorted(holes, key=lambda row: row["ts_end"])
        self._numberings = {}

    def take(self) -> pa.Table:
        """Return the rows known since the last call."""
        rows, self._rows = self._rows, []
        return pa.Table.from_pylist(rows, schema=GAPS)

    def _learn(self, block: Block) -> None:
        """Take note of what a block says may have torn holes."""
        header = block.header
        capture = header.capture_id.hex()
        due, last_ns = self._behind.get(capture, (header.sequence, header.min_recv_ns))
        begin, end = (header.min_recv_ns, header.max_recv_ns) if header.records else (last_ns, last_ns)
        if header.sequence != due:
            self._events["damage"].append((last_ns, begin))
        self._behind[capture] = header.sequence + header.span, end
        for note in block.notes:
            if note.get("note") == "loss" and note.get("count"):
                self._events["loss"].append((begin, end))
            elif note.get("note") == "connect" and isinstance(note.get("at_ns"), int):
                self._events["reconnect"].append((note["at_ns"], note["at_ns"]))

    def _cause(self, begin_ns: int, end_ns: int) -> str:
        for cause, spans in self._events.items():
            if any(begin <= end_ns and end >= begin_ns for begin, end in spans):
                return cause
        return "sequence"


def _row(
    recv_ns: int, symbol: str | None, stream: str | None, place: tuple[str, int, int], since_ns: int, cause: str
) -> _Row:
    """Return a row without its ids: the event behind the hole, when the one before it came, and the cause."""
    file, block, record = place
    return {
        "ts_recv": recv_ns,
        "symbol": symbol,
        "stream": stream,
        "file": file,
        "block": block,
        "record": record,
        "ts_start": since_ns,
        "ts_end": recv_ns,
        "cause": cause,
    }


def _first_of(hole: _Hole) -> int:
    return hole.first
