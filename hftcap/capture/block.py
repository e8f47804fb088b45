"""One block in memory: its records as columns and payloads, and the step to and from stored bytes."""

import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from hftcap.capture.columns import BlockColumns, open_columns
from hftcap.capture.compiled import opened
from hftcap.capture.format import CRC, FRAME, NONE_NS, SKIPPABLE_MAGIC, BlockHeader, Flaw, TimeBase
from hftcap.capture.inflate import inflate

Note = dict[str, Any]
"""A note of ours, JSON: `note` names its kind, `record` (where there is one) is a record's index in its block."""

LOSS = "loss"
"""The kind of note that counts records received and not stored, `count`; the format itself sums these."""
REST = "rest"
"""The kind of note that says what was asked for to get a REST body; it always has `record`."""

CLOSE = "close"
"""The kind of note that says that a connection was closed: `conn`, `at_ns`."""
_ERROR_NS_MAX = 2**32 - 1
_ALL = slice(None)


@dataclass(slots=True)
class Block:
    """A decoded block. Record i's payload is `payloads[start[i]:start[i] + columns.length[i]]`.

    `rises` says that no time is before the one in front of it; False where nobody looked.

    The memory of `payloads` is used again when neither the block nor a view of it is held any more.

    `recv_ns` is the wall clock at receipt: the wall offset plus the monotonic stamp minus `rx_lag_ns`, or the
    imported stamp. It need not rise. `timeline_ns` is filled in by the reader of the whole recording.
    """

    header: BlockHeader
    time_base: TimeBase
    columns: BlockColumns
    start: NDArray[np.int64]
    payloads: bytes | memoryview
    notes: list[Note]
    rises: bool = False

    @property
    def records(self) -> int:
        """Number of records."""
        return self.header.records

    @property
    def recv_ns(self) -> NDArray[np.int64]:
        """Wall clock at receipt, epoch nanoseconds, one per record."""
        return received_at(self.columns, self.time_base, self.header.wall_offset_ns)

    def payload(self, record: int) -> bytes:
        """Return the bytes of one payload exactly as received."""
        at = int(self.start[record])
        return bytes(self.payloads[at : at + int(self.columns.length[record])])

    def requests(self) -> dict[int, Note]:
        """Return by record what was asked for to get each REST body."""
        return {note["record"]: note for note in self.notes if note.get("note") == REST and "record" in note}

    def closings(self) -> dict[int, int]:
        """Return by connection when it was closed, wall clock ns, as far as the notes tell."""
        return {
            note["conn"]: note["at_ns"]
            for note in self.notes
            if note.get("note") == CLOSE and isinstance(note.get("conn"), int) and isinstance(note.get("at_ns"), int)
        }

    def received(self, first: int, stop: int) -> NDArray[np.int64]:
        """Return `recv_ns` of the records from `first` up to, not including, `stop`."""
        return received_at(self.columns, self.time_base, self.header.wall_offset_ns, slice(first, stop))

    def payload_list(self, first: int = 0, stop: int | None = None) -> list[bytes]:
        """Return the payloads of the records from `first` up to, not including, `stop`, in record order."""
        starts, lengths = self.start[first:stop].tolist(), self.columns.length[first:stop].tolist()
        if not starts:
            return []
        # One copy first: a slice of bytes is made in half the time that a slice of a view takes to become bytes.
        before = starts[0]
        payloads = bytes(self.payloads[before : starts[-1] + lengths[-1]])
        return [payloads[at - before : at - before + n] for at, n in zip(starts, lengths, strict=True)]


def received_at(
    columns: BlockColumns, time_base: TimeBase, wall_offset_ns: int, rows: slice = _ALL
) -> NDArray[np.int64]:
    """Return the wall clock at receipt of each record, or of some, epoch nanoseconds."""
    if time_base is TimeBase.WALL:
        return columns.time_ns[rows]
    stored_lag = columns.rx_lag_ns[rows]
    lag = np.where(stored_lag == NONE_NS, 0, stored_lag)
    return columns.time_ns[rows] + np.int64(wall_offset_ns) - lag


def note_flaw(note: object, records: int) -> str | None:
    """Say what keeps `note` from standing in a block of `records` records; of its content only what readers rely on."""
    if not isinstance(note, dict) or not isinstance(note.get("note"), str):
        return "a note is not a JSON object that names its kind"
    about = note.get("record")
    if "record" in note and not (isinstance(about, int) and 0 <= about < records):
        return f"a note of record {about!r} in a block of {records}"
    if note["note"] == LOSS and not (isinstance(note.get("count"), int) and note["count"] >= 0):
        return "a note of a loss without its count"
    if note["note"] == REST and about is None:
        return "a note of a REST body without its record"
    return None


def note_line(note: Note) -> bytes:
    """Return a note as it is stored: one line of JSON, ASCII, because a close reason may hold what has no UTF-8."""
    return json.dumps(note, separators=(",", ":")).encode() + b"\n"


def encode_block(
    columns: BlockColumns,
    payloads: bytes | memoryview,
    notes_raw: bytes,
    *,
    time_base: TimeBase,
    sequence: int,
    capture_id: bytes,
    wall_offset_ns: int,
    wall_error_ns: int,
    compressor: zstandard.ZstdCompressor,
    span: int = 1,
) -> tuple[BlockHeader, bytes]:
    """Build a block's bytes; `payloads` is every payload followed by a newline, `notes_raw` the lines of `note_line`.

    `wall_error_ns` saturates at 32 bits, 4.29 s. The caller keeps the format's limits. The compressor must write
    content size and checksum: the payload frame's own checksum is repeated in the header, which ties the two frames
    together.
    """
    columns_raw = columns.pack()
    columns_stored = compressor.compress(columns_raw) if columns_raw else b""
    notes_stored = compressor.compress(notes_raw) if notes_raw else b""
    payloads_stored = compressor.compress(payloads) if payloads else b""
    recv = received_at(columns, time_base, wall_offset_ns)
    mono = columns.time_ns if time_base is TimeBase.MONOTONIC else columns.time_ns[:0]
    header = BlockHeader(
        records=len(columns.length),
        sequence=sequence,
        capture_id=capture_id,
        wall_offset_ns=wall_offset_ns,
        min_mono_ns=int(mono.min()) if len(mono) else NONE_NS,
        max_mono_ns=int(mono.max()) if len(mono) else NONE_NS,
        min_recv_ns=int(recv.min()) if len(recv) else NONE_NS,
        max_recv_ns=int(recv.max()) if len(recv) else NONE_NS,
        wall_error_ns=min(wall_error_ns, _ERROR_NS_MAX),
        columns_stored=len(columns_stored),
        columns_raw=len(columns_raw),
        notes_stored=len(notes_stored),
        notes_raw=len(notes_raw),
        payloads_stored=len(payloads_stored),
        payloads_raw=len(payloads),
        crc_columns_notes=zlib.crc32(notes_stored, zlib.crc32(columns_stored)),
        payload_check=CRC.unpack(payloads_stored[-4:])[0] if payloads_stored else 0,
        span=span,
    )
    frame = FRAME.pack(SKIPPABLE_MAGIC, header.frame_bytes)
    return header, b"".join((frame, header.pack(), columns_stored, notes_stored, payloads_stored))


def decode_block(header: BlockHeader, body: bytes | memoryview, time_base: TimeBase) -> Block | Flaw:
    """Open a stored block; `body` is everything after its header: columns, notes and payload frame.

    Nothing is allocated on the word of a length alone: each frame's own content size must equal what the header
    promises, and the header's lengths were held against the format's limits.
    """
    notes_at = header.columns_stored
    payloads_at = notes_at + header.notes_stored
    view = memoryview(body)
    found = opened(header, view)
    if found is None:
        return _decode_plainly(header, view, time_base)
    (columns, start), payloads, rises = found
    notes_raw = inflate("notes", view[notes_at:payloads_at], header.notes_raw)
    notes = notes_raw if isinstance(notes_raw, Flaw) else _read_notes(notes_raw, header.records)
    if isinstance(notes, Flaw):
        return notes
    return Block(header, time_base, columns, start, payloads, notes, rises)


def _decode_plainly(header: BlockHeader, body: memoryview, time_base: TimeBase) -> Block | Flaw:
    notes_at = header.columns_stored
    payloads_at = notes_at + header.notes_stored
    actual = zlib.crc32(body[:payloads_at])
    if actual != header.crc_columns_notes:
        return Flaw(f"columns and notes crc32 is {actual:08x}, header says {header.crc_columns_notes:08x}")
    columns_raw = inflate("columns", body[:notes_at], header.columns_raw)
    notes_raw = inflate("notes", body[notes_at:payloads_at], header.notes_raw)
    payloads = inflate("payloads", body[payloads_at:], header.payloads_raw)
    for part in (columns_raw, notes_raw, payloads):
        if isinstance(part, Flaw):
            return part
    assert isinstance(columns_raw, bytes) and isinstance(notes_raw, bytes) and isinstance(payloads, bytes)  # noqa: S101
    if payloads and CRC.unpack(body[-4:])[0] != header.payload_check:
        return Flaw("payload frame is not the one this header was written for")
    found = open_columns(columns_raw, header.records, payloads)
    if isinstance(found, Flaw):
        return found
    notes = _read_notes(notes_raw, header.records)
    if isinstance(notes, Flaw):
        return notes
    columns, start = found
    return Block(header, time_base, columns, start, payloads, notes)


def _read_notes(notes_raw: bytes, records: int) -> list[Note] | Flaw:
    if not notes_raw:
        return []
    *lines, rest = notes_raw.split(b"\n")
    if rest:
        return Flaw("the last note is not followed by a newline")
    try:
        notes = [json.loads(line) for line in lines]
    except (ValueError, RecursionError) as error:
        return Flaw(f"notes are not JSON lines: {error}")
    flaws = (note_flaw(note, records) for note in notes)
    flaw = next((flaw for flaw in flaws if flaw is not None), None)
    return notes if flaw is None else Flaw(flaw)
