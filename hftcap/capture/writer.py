"""Write one segment: append records, cut blocks, seal with an index.

A block is cut when it holds `block_bytes` of payload, or when the caller says so (`cut`), and goes to disk with
one `write()`, so that a crash leaves whole blocks and at most one torn tail. Nothing here reads a clock: when to
cut for age is the caller's decision.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from hftcap.capture.block import BlockColumns, Note, encode_block
from hftcap.capture.format import (
    NONE_NS,
    PAYLOAD_MAX,
    RECORDS_MAX,
    Footer,
    IndexEntry,
    Kind,
    Preamble,
)
from hftcap.errors import OverLimit, WriteFailed

BLOCK_BYTES = 256 << 10
"""Where a block is cut: beyond it compression gains little, below it the block header begins to weigh."""
LEVEL = 1
"""On this data level 1 is smaller and faster than level 3."""


@dataclass(frozen=True, slots=True)
class WallOffset:
    """Wall clock minus monotonic clock, nanoseconds, and how far it may be off; both 0 where times are imported."""

    offset_ns: int = 0
    error_ns: int = 0


class SegmentWriter:
    """Append records to a new segment file.

    `path` must not exist; it is created at once with the preamble. `sequence` is the number of the first block.
    The file ends without a footer until `seal`.

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
        self._preamble = preamble
        self._capture_id = bytes.fromhex(preamble.capture_id)
        self._block_bytes = block_bytes
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
        self._entries: list[IndexEntry] = []
        self._by_kind = dict.fromkeys(Kind, 0)
        self._losses = 0
        self._payload_bytes = 0
        self._start_block()
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except OSError as error:
            raise WriteFailed(path, error.strerror or str(error)) from error
        self.size = 0
        self._write(preamble.pack())

    def _start_block(self) -> None:
        self._payloads: list[bytes] = []
        self._time_ns: list[int] = []
        self._rx_lag_ns: list[int] = []
        self._kind: list[int] = []
        self._conn: list[int] = []
        self._flags: list[int] = []
        self._notes: list[Note] = []
        self._raw_bytes = 0

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
            OverLimit: the payload exceeds 16 MiB; nothing was appended.
        """
        if len(payload) > PAYLOAD_MAX:
            raise OverLimit("payload length", len(payload), PAYLOAD_MAX)
        if note is not None:
            self.note(note | {"record": len(self._payloads)})
        self._payloads.append(payload)
        self._time_ns.append(time_ns)
        self._rx_lag_ns.append(rx_lag_ns)
        self._kind.append(kind)
        self._conn.append(conn)
        self._flags.append(flags)
        self._by_kind[kind] += 1
        self._payload_bytes += len(payload)
        self._raw_bytes += len(payload) + 1
        if self._raw_bytes >= self._block_bytes or len(self._payloads) == RECORDS_MAX:
            self.cut()

    def note(self, note: Note) -> None:
        """Append a note of ours to the open block; `note["note"]` names its kind."""
        self._notes.append(note)
        if note["note"] == "loss":
            self._losses += int(note["count"])

    def cut(self) -> None:
        """Close the open block and write it; nothing happens where it is empty."""
        if not self._payloads and not self._notes:
            return
        columns = BlockColumns(
            length=np.fromiter(map(len, self._payloads), dtype=np.uint32, count=len(self._payloads)),
            time_ns=np.array(self._time_ns, dtype=np.int64),
            rx_lag_ns=np.array(self._rx_lag_ns, dtype=np.int64),
            kind=np.array(self._kind, dtype=np.uint8),
            conn=np.array(self._conn, dtype=np.uint16),
            flags=np.array(self._flags, dtype=np.uint8),
        )
        payloads = b"\n".join(self._payloads) + b"\n" if self._payloads else b""
        header, stored = encode_block(
            columns,
            payloads,
            self._notes,
            time_base=self._preamble.time_base,
            sequence=self.sequence,
            capture_id=self._capture_id,
            wall_offset_ns=self.wall.offset_ns,
            wall_error_ns=self.wall.error_ns,
            compressor=self._compressor,
        )
        offset = self.size
        self._write(stored)
        self._entries.append(
            IndexEntry(
                offset,
                header.sequence,
                header.min_mono_ns,
                header.max_mono_ns,
                header.min_recv_ns,
                header.max_recv_ns,
                header.records,
                header.payloads_raw,
            )
        )
        self.sequence += 1
        self._start_block()

    def seal(self, *, fsync: bool = True) -> None:
        """Write what is open and the footer, and close the file; with `fsync` it is on the disk when this returns."""
        self.cut()
        footer = Footer(tuple(self._entries), self.totals())
        self._write(footer.pack(self.size))
        try:
            if fsync:
                os.fsync(self._fd)
            os.close(self._fd)
        except OSError as error:
            raise WriteFailed(self.path, error.strerror or str(error)) from error

    def abandon(self) -> None:
        """Close the file as it stands, without footer; what is in the open block is dropped."""
        os.close(self._fd)

    def totals(self) -> dict[str, Any]:  # Any: JSON
        """Return what the footer says of the segment so far, the open block left out of the times."""
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
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                # A short write is how a full disk or a signal shows; the next call says which.
                written += os.write(self._fd, data[written:])
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
