"""Write a recording: segment after segment into a capture folder, each as a `SegmentWriter` writes it."""

import itertools
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hftcap.capture.block import LOSS, Note, note_flaw
from hftcap.capture.folder import claim_folder, publish, segment_name
from hftcap.capture.format import NONE_NS, Kind, TimeBase
from hftcap.capture.preamble import Preamble
from hftcap.capture.segment_writer import BLOCK_BYTES, LEVEL, SegmentWriter, WallOffset


class Fsync(StrEnum):
    """When what is written is forced to the disk: a crash of the machine loses what was not.

    `seal`: the file before it is renamed, and the folder after. `1s`: every second besides, when `tick` is called.
    """

    NEVER = "never"
    SEAL = "seal"
    EVERY_SECOND = "1s"


FLUSH_NS = 1_000_000_000
_RESTATED = ("connect", "subscribe")


@dataclass(frozen=True, slots=True)
class CaptureHead:
    """What is the same in all segments of a recording to be written; fields as in `Preamble`."""

    capture_id: str
    market: str
    time_base: TimeBase
    expects_snapshots: bool
    created_ns: int
    hftcap: str
    urls: list[str] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    host: str | None = None
    boot_id: str | None = None


class CaptureWriter:
    """Write a recording into a folder, segment after segment.

    The first segment begins with the first record, whose time names it. Leaving the context seals the capture;
    leaving it by an exception writes what was added and keeps the open segment as `.part`, so nothing half-made
    passes for whole. `wall` may be replaced at any time and holds for the records added from then on.

    With `beside` the folder may hold captures already, of which none is touched. The folder is locked until the
    capture is sealed or left. Every segment's first notes repeat the connections that are open and what they are
    subscribed to, as the notes `connect`, `subscribe` and `close` (by `conn`) told, so that it can be read alone.

    Raises:
        AlreadyExists: the folder holds a capture, and `beside` is not set.
        FolderBusy: another process writes there.
        WriteFailed: the operating system refused.
    """

    def __init__(
        self,
        folder: Path,
        head: CaptureHead,
        *,
        level: int = LEVEL,
        block_bytes: int = BLOCK_BYTES,
        fsync: Fsync | bool = Fsync.SEAL,
        flush_ns: int = FLUSH_NS,
        beside: bool = False,
    ) -> None:
        self.folder = folder
        self.sealed: list[Path] = []
        self.records = 0
        self.losses = 0
        self.wall = WallOffset()
        self._head = head
        self._level = level
        self._block_bytes = block_bytes
        self._fsync = fsync if isinstance(fsync, Fsync) else Fsync.SEAL if fsync else Fsync.NEVER
        self._flush_ns = flush_ns
        self._open_since: int | None = None
        self._synced_at: int | None = None
        self._standing: dict[int, list[Note]] = {}
        self._writer: SegmentWriter | None = None
        self._segment = 0
        self._sequence = 0
        self._timeline_offset_ns: int | None = None
        self._pending: list[Note] = []
        self._source: dict[str, Any] | None = None  # Any: JSON
        self._lock = claim_folder(folder, beside=beside)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.seal()
            elif self._writer is not None:
                self._writer.abandon()
        finally:
            self._lock.release()

    def begin_segment(self, source: dict[str, Any] | None = None) -> None:  # Any: JSON
        """Seal the open segment, if any; the next record begins a new one, with `source` in its preamble."""
        self._seal_open()
        self._source = source

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
        """Append one record; see `SegmentWriter.add`."""
        writer = self._writer or self._open(time_ns)
        if writer.wall != self.wall:
            writer.cut()  # a block has one wall offset
            writer.wall = self.wall
        writer.add(payload, time_ns, kind=kind, conn=conn, flags=flags, rx_lag_ns=rx_lag_ns, note=note)
        self.records += 1

    def tick(self, mono_ns: int) -> None:
        """Cut the open block where it is older than `flush_ns`, and force it to the disk where that is due.

        Call it at least every fifth of `flush_ns`, with the monotonic clock: what was added longer ago than
        `flush_ns` and one such step is then in the file, whatever happens to this process.
        """
        writer = self._writer
        if writer is None:
            return
        if not writer.pending:
            self._open_since = None
        elif self._open_since is None:
            self._open_since = mono_ns
        if self._open_since is not None and mono_ns - self._open_since >= self._flush_ns:
            writer.cut()
            self._open_since = None
        if self._fsync is Fsync.EVERY_SECOND:
            if self._synced_at is None:
                self._synced_at = mono_ns
            elif mono_ns - self._synced_at >= FLUSH_NS:
                writer.sync()
                self._synced_at = mono_ns

    def note(self, note: Note) -> None:
        """Append a note about no record; one that comes before the first record of a segment is kept for it.

        Raises:
            ValueError: no reader would accept it; see `note_flaw`.
        """
        flaw = note_flaw(note, 0)
        if flaw is not None:
            raise ValueError(flaw)
        if note["note"] == LOSS:
            self.losses += int(note["count"])
        self._remember(note)
        if self._writer is None:
            self._pending.append(note)
        else:
            self._writer.note(note)

    def _remember(self, note: Note) -> None:
        """Keep what the next segment has to repeat."""
        conn = note.get("conn")
        if not isinstance(conn, int):
            return
        if note["note"] == "close":
            self._standing.pop(conn, None)
        elif note["note"] == "connect":
            self._standing[conn] = [note]
        elif note["note"] in _RESTATED:
            self._standing.setdefault(conn, []).append(note)

    def seal(self) -> None:
        """Seal the open segment. A recording without any record still leaves one segment, with its notes."""
        if self._writer is None and (self._pending or not self.sealed):
            self._open(self._head.created_ns - self.wall.offset_ns)
        self._seal_open()

    def _open(self, time_ns: int) -> SegmentWriter:
        if self._timeline_offset_ns is None:
            self._timeline_offset_ns = self.wall.offset_ns
        shared = {name: getattr(self._head, name) for name in CaptureHead.__dataclass_fields__}
        preamble = Preamble(
            **shared,
            segment=self._segment,
            previous_sequence=self._sequence - 1 if self._sequence else None,
            source=self._source,
            timeline_offset_ns=self._timeline_offset_ns,
        )
        name = segment_name(preamble, time_ns + self.wall.offset_ns)
        writer = SegmentWriter(
            self.folder / (name + ".part"),
            preamble,
            sequence=self._sequence,
            level=self._level,
            block_bytes=self._block_bytes,
        )
        writer.wall = self.wall
        self._writer = writer
        if self._segment:
            for note in itertools.chain.from_iterable(self._standing.values()):
                if note not in self._pending:
                    writer.note(note | {"restated": True})
        for note in self._pending:
            writer.note(note)
        self._pending = []
        return writer

    def _seal_open(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        self._segment += 1  # even where sealing fails: no number is given twice
        self._source = None
        try:
            writer.seal(fsync=self._fsync is not Fsync.NEVER)
        finally:
            self._sequence = writer.sequence
        sealed = publish(writer.path, fsync=self._fsync is not Fsync.NEVER)
        self.sealed.append(sealed)
