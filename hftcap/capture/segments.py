"""The capture folder: how segments are named, found, and written one after the other.

A segment is `<name>.hcap.zst.part` while it is written and loses `.part` when it is sealed. Names sort by time and
carry capture id and segment number for people; a reader believes only the preamble.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hftcap.capture.block import LOSS, Note, note_flaw
from hftcap.capture.format import NONE_NS, Kind, TimeBase
from hftcap.capture.preamble import Preamble
from hftcap.capture.writer import BLOCK_BYTES, LEVEL, SegmentWriter, WallOffset
from hftcap.errors import AlreadyExists, NoSegments, Unreadable, WriteFailed

SUFFIX = ".hcap.zst"
PART_SUFFIX = ".hcap.zst.part"


def is_segment(path: Path) -> bool:
    """Say whether a file name is that of a segment, sealed or being written."""
    return path.name.endswith((SUFFIX, PART_SUFFIX))


def find_segments(paths: Iterable[Path]) -> list[Path]:
    """Return the segment files that `paths` name, each a file or a folder (not searched below).

    Raises:
        NoSegments: a folder holds none.
        Unreadable: a path does not exist or cannot be listed.
    """
    found: list[Path] = []
    for path in paths:
        try:
            if path.is_dir():
                segments = sorted(entry for entry in path.iterdir() if is_segment(entry) and entry.is_file())
                if not segments:
                    raise NoSegments(path)
                found += segments
            elif path.exists():
                found.append(path)
            else:
                raise Unreadable(path, "no such file or folder")
        except OSError as error:
            raise Unreadable(path, error.strerror or str(error)) from error
    return list(dict.fromkeys(found))


def segment_name(preamble: Preamble, first_ns: int) -> str:
    """Name a segment by the UTC second it begins in, its capture id and its number."""
    begin = datetime.fromtimestamp(first_ns // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{begin}-{preamble.capture_id[:8]}-{preamble.segment:06d}{SUFFIX}"


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

    Raises:
        AlreadyExists: the folder holds a capture.
        WriteFailed: the operating system refused.
    """

    def __init__(
        self,
        folder: Path,
        head: CaptureHead,
        *,
        level: int = LEVEL,
        block_bytes: int = BLOCK_BYTES,
        fsync: bool = True,
    ) -> None:
        self.folder = folder
        self.sealed: list[Path] = []
        self.records = 0
        self.losses = 0
        self.wall = WallOffset()
        self._head = head
        self._level = level
        self._block_bytes = block_bytes
        self._fsync = fsync
        self._writer: SegmentWriter | None = None
        self._segment = 0
        self._sequence = 0
        self._timeline_offset_ns: int | None = None
        self._pending: list[Note] = []
        self._source: dict[str, Any] | None = None  # Any: JSON
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(is_segment(entry) for entry in folder.iterdir()):
                raise AlreadyExists(folder)
        except OSError as error:
            raise WriteFailed(folder, error.strerror or str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.seal()
        elif self._writer is not None:
            self._writer.abandon()

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
        if self._writer is None:
            self._pending.append(note)
        else:
            self._writer.note(note)

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
            writer.seal(fsync=self._fsync)
        finally:
            self._sequence = writer.sequence
        sealed = writer.path.with_name(writer.path.name.removesuffix(".part"))
        if sealed.exists():
            raise AlreadyExists(sealed)
        try:
            writer.path.rename(sealed)
            if self._fsync:
                _fsync_folder(self.folder)
        except OSError as error:
            raise WriteFailed(sealed, error.strerror or str(error)) from error
        self.sealed.append(sealed)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
