"""Write one segment: append records, cut blocks, seal with an index.

A block is cut when it holds `block_bytes` of payload, or when the caller says so (`cut`), and goes to disk with
one `write()`, so that a crash leaves whole blocks and at most one torn tail. Nothing here reads a clock: when to
cut for age is the caller's decision.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard

from hftcap.capture.block import LOSS, Note, encode_block, note_flaw, note_line
from hftcap.capture.columns import BlockColumns
from hftcap.capture.footer import Footer, IndexEntry, Totals
from hftcap.capture.format import BLOCK_RAW_MAX, ENTRIES_MAX, NONE_NS, NOTES_RAW_MAX, PAYLOAD_MAX, RECORDS_MAX, Kind
from hftcap.capture.preamble import Preamble
from hftcap.errors import CaptureError, OverLimit, WriteFailed

BLOCK_BYTES = 256 << 10
"""Where a block is cut: beyond it compression gains little, below it the block header begins to weigh."""
LEVEL = 1
"""On this data level 1 is smaller and faster than level 3."""

_ROW = np.dtype([("time_ns", "<i8"), ("rx_lag_ns", "<i8"), ("conn", "<u2"), ("kind", "u1"), ("flags", "u1")])
_PACK = struct.Struct("<qqHBB")
_INT64 = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class WallOffset:
    """Wall clock minus monotonic clock, nanoseconds, and how far it may be off; both 0 where times are imported."""

    offset_ns: int = 0
    error_ns: int = 0


class SegmentWriter:
    """Append records to a new segment file.

    `path` must not exist; it is created at once with the preamble. `sequence` is the number of the first block.
    `wall` holds for the whole open block. The file ends without a footer until `seal`.

    Raises:
        WriteFailed: the operating system refused a write. What was written up to the last whole block stays.
    """

    def __init__(
        self,
        path: Path,
        preamble: Preamble,
        *,
        sequence: int,
        level: int = LEVEL,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.path = path
        self.sequence = sequence
        self.wall = WallOffset()
        self.size = 0
        self._preamble = preamble
        self._capture_id = bytes.fromhex(preamble.capture_id)
        self._block_bytes = block_bytes
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
        self._entries: list[IndexEntry] = []
        self._by_kind = dict.fromkeys(Kind, 0)
        self._losses = 0
        self._payload_bytes = 0
        self._start_block()
        packed = preamble.pack()
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except OSError as error:
            raise WriteFailed(path, error.strerror or str(error)) from error
        try:
            self._write(packed)
        except WriteFailed:
            os.close(self._fd)
            path.unlink(missing_ok=True)  # a segment without preamble holds nothing
            raise

    def _start_block(self) -> None:
        # One entry per record, appended in one step: an interrupt cannot leave the columns of unequal length.
        self._rows: list[tuple[bytes, bytes]] = []
        self._raw_bytes = 0
        self._notes: list[bytes] = []
        self._notes_bytes = 0
        self._block_losses = 0

    def add(
        self,
        payload: bytes,
        time_ns: int,
        *,
        kind: Kind = Kind.WS_TEXT,
        conn: int = 0,
        flags: int = 0,
        rx_lag_ns: int = NONE_NS,
        note: Note | None = None,
    ) -> None:
        """Append one record, and a note about it where there is one.

        `time_ns` is CLOCK_MONOTONIC, or the source's own stamp where the preamble's time base is `wall`.

        Raises:
            OverLimit: the payload exceeds 16 MiB, or a value has no place in its column; nothing was appended.
        """
        if len(payload) > PAYLOAD_MAX:
            raise OverLimit("payload length in bytes", len(payload), PAYLOAD_MAX)
        try:
            row = _PACK.pack(time_ns, rx_lag_ns, conn, kind, flags)
        except struct.error:
            _refuse(time_ns, rx_lag_ns, conn, flags)
            raise
        if self._raw_bytes + len(payload) + 1 > BLOCK_RAW_MAX:
            self.cut()
        if note is not None:
            self._note_of_next(note)
        self._rows.append((payload, row))
        self._raw_bytes += len(payload) + 1
        if self._raw_bytes >= self._block_bytes or len(self._rows) == RECORDS_MAX:
            self.cut()

    def note(self, note: Note) -> None:
        """Append a note of ours, about no record, to the open block; `note["note"]` names its kind.

        Raises:
            OverLimit: the note exceeds 16 MiB; nothing was appended.
            ValueError: no reader would accept it; see `note_flaw`.
        """
        self._append_note(note, 0)

    def _append_note(self, note: Note, records: int) -> None:
        flaw = note_flaw(note, records)
        if flaw is not None:
            raise ValueError(flaw)
        line = note_line(note)
        if len(line) > NOTES_RAW_MAX:
            raise OverLimit("note length in bytes", len(line), NOTES_RAW_MAX)
        if self._notes_bytes + len(line) > NOTES_RAW_MAX:
            self.cut()
        self._notes.append(line)
        self._notes_bytes += len(line)
        if note["note"] == LOSS:
            self._block_losses += int(note["count"])

    def _note_of_next(self, note: Note) -> None:
        """Append a note about the record to come; both must end up in one block."""
        if self._notes_bytes + len(note_line(note | {"record": len(self._rows)})) > NOTES_RAW_MAX:
            self.cut()
        self._append_note(note | {"record": len(self._rows)}, len(self._rows) + 1)

    @property
    def pending(self) -> bool:
        """Whether the open block holds anything."""
        return bool(self._rows or self._notes)

    def sync(self) -> None:
        """Force what is written to the disk.

        Raises:
            WriteFailed: the operating system refused.
        """
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise WriteFailed(self.path, error.strerror or str(error)) from error

    def cut(self) -> None:
        """Close the open block and write it; nothing happens where it is empty.

        Raises:
            WriteFailed: the operating system refused; the block stays open.
            OverLimit: the segment has as many blocks as an index can list.
        """
        if not self._rows and not self._notes:
            return
        rows = np.frombuffer(b"".join([row for _, row in self._rows]), dtype=_ROW)
        payloads = [payload for payload, _ in self._rows]
        columns = BlockColumns(
            length=np.fromiter(map(len, payloads), dtype=np.uint32, count=len(payloads)),
            time_ns=rows["time_ns"],
            rx_lag_ns=rows["rx_lag_ns"],
            kind=rows["kind"],
            conn=rows["conn"],
            flags=rows["flags"],
        )
        payloads.append(b"")  # so that the last payload, too, is followed by a newline
        self._write_block(columns, b"\n".join(payloads), b"".join(self._notes), self._block_losses, 1)
        self._start_block()

    def add_block(
        self, columns: BlockColumns, payloads: bytes | memoryview, notes: Sequence[Note], *, span: int = 1
    ) -> None:
        """Write a block that was whole elsewhere, after the open one; `payloads` is as `encode_block` takes it.

        `span` is how many blocks of an earlier file it stands for.

        Raises:
            WriteFailed: the operating system refused.
            OverLimit: the block exceeds what the format allows; nothing was written.
        """
        self.cut()
        losses = sum(int(note["count"]) for note in notes if note["note"] == LOSS)
        lines = b"".join(map(note_line, notes))
        for what, found, limit in (
            ("number of records in a block", len(columns.length), RECORDS_MAX),
            ("payloads of a block in bytes", len(payloads), BLOCK_RAW_MAX),
            ("notes of a block in bytes", len(lines), NOTES_RAW_MAX),
        ):
            if found > limit:
                raise OverLimit(what, found, limit)
        self._write_block(columns, payloads, lines, losses, span)

    def _write_block(
        self, columns: BlockColumns, payloads: bytes | memoryview, notes: bytes, losses: int, span: int
    ) -> None:
        if len(self._entries) == ENTRIES_MAX:
            raise OverLimit("number of blocks in a segment", ENTRIES_MAX + 1, ENTRIES_MAX)
        header, stored = encode_block(
            columns,
            payloads,
            notes,
            time_base=self._preamble.time_base,
            sequence=self.sequence,
            capture_id=self._capture_id,
            wall_offset_ns=self.wall.offset_ns,
            wall_error_ns=self.wall.error_ns,
            compressor=self._compressor,
            span=span,
        )
        offset = self.size
        self._write(stored)
        self._entries.append(IndexEntry.of(offset, header))
        self.sequence = header.next_sequence
        for kind in Kind:
            self._by_kind[kind] += int((columns.kind == kind).sum())
        self._losses += losses
        self._payload_bytes += header.payloads_raw - header.records

    def seal(self, *, fsync: bool = True) -> None:
        """Write what is open and the footer, and close the file; with `fsync` it is on the disk when this returns."""
        try:
            self.cut()
            self._write(Footer(tuple(self._entries), self.totals(), self._preamble).pack(self.size))
            if fsync:
                os.fsync(self._fd)
        except OSError as error:
            raise WriteFailed(self.path, error.strerror or str(error)) from error
        finally:
            os.close(self._fd)

    def abandon(self) -> None:
        """Write what is open, as far as the operating system lets us, and close the file without a footer."""
        try:
            self.cut()
        except CaptureError:
            return  # the caller is leaving because of an error already, and most likely of this one
        finally:
            os.close(self._fd)

    def totals(self) -> Totals:
        """Return what the footer says of the segment so far, the open block left out."""
        spans = [entry for entry in self._entries if entry.records]
        return {
            "records": sum(self._by_kind.values()),
            "payload_bytes": self._payload_bytes,
            "by_kind": {kind.name.lower(): count for kind, count in self._by_kind.items()},
            "losses": self._losses,
            "first_recv_ns": min((entry.min_recv_ns for entry in spans), default=None),
            "last_recv_ns": max((entry.max_recv_ns for entry in spans), default=None),
        }

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        written = 0
        try:
            while written < len(data):
                # A short write is how a full disk or a signal shows; the next call says which. The place is named,
                # so that a block after a failed one leaves no hole.
                written += os.pwrite(self._fd, view[written:], self.size + written)
        except OSError as error:
            self._truncate()
            raise WriteFailed(self.path, error.strerror or str(error)) from error
        self.size += len(data)

    def _truncate(self) -> None:
        """Cut a torn block off again, so that the file ends with its last whole one."""
        try:
            os.ftruncate(self._fd, self.size)
        except OSError:
            return  # the reader finds the torn tail and says so


def _refuse(time_ns: int, rx_lag_ns: int, conn: int, flags: int) -> None:
    """Raise OverLimit for the first value that has no place in its column."""
    for name, value, least, most in (
        ("record time in ns", time_ns, *_INT64),
        ("rx_lag in ns", rx_lag_ns, *_INT64),
        ("connection number", conn, 0, 2**16 - 1),
        ("record flags", flags, 0, 2**8 - 1),
    ):
        if not least <= value <= most:
            raise OverLimit(name, value, most if value > most else least)
