"""A capture as an iterable of records, with nothing understood: bytes, times, where they came from."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hftcap.capture.format import NONE_NS, Kind, TimeBase
from hftcap.capture.merge import merged
from hftcap.capture.reader import Chunk, Finding, Recording, open_recordings

Paths = str | Path | Iterable[str | Path]
"""One capture folder or segment file, or several, which are merged by timeline."""


class DamagedCapture(UserWarning):
    """What was read to its end is cut or damaged; the message says where and how."""


class Record(NamedTuple):
    """One payload, byte for byte as it was received.

    `recv_ns` is the wall clock at receipt, epoch nanoseconds; `mono_ns` CLOCK_MONOTONIC, nanoseconds, None in imports;
    `rx_lag_ns` how long after the kernel's stamp the read callback ran, None without one; `timeline_ns` never goes
    backwards in a recording. `kind` says what the payload is, `conn` the number of the connection it came over.
    """

    recv_ns: int
    mono_ns: int | None
    rx_lag_ns: int | None
    timeline_ns: int
    kind: Kind
    conn: int
    payload: bytes


class Capture:
    """Recordings, opened. Each iteration reads them from the start.

    `findings` is what the last complete one found wrong, which it also warned of (`DamagedCapture`).
    """

    def __init__(self, recordings: list[Recording]) -> None:
        self.recordings = recordings

    @property
    def findings(self) -> list[Finding]:
        """What the last complete iteration found damaged, cut or missing: file, offset, what."""
        return [finding for recording in self.recordings for finding in recording.findings]

    def __iter__(self) -> Iterator[Record]:
        for chunk in merged(self.recordings):
            yield from records_of(chunk)
        warn_of(self.recordings)


def open_capture(paths: Paths) -> Capture:
    """Open a capture folder, a segment file, or several of them as one.

    Raises:
        CaptureError: a path does not exist, is no capture, or is of a newer format.
    """
    return Capture(open_recordings(as_paths(paths)))


def as_paths(paths: Paths) -> list[Path]:
    """Return one path or several as a list."""
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]


def warn_of(recordings: list[Recording]) -> None:
    """Warn of what a complete read found wrong with captures, one warning each."""
    for recording in recordings:
        for finding in recording.findings:
            said = f"{finding.path.name} at byte {finding.offset}: {finding.what}"
            warnings.warn(said, DamagedCapture, stacklevel=3)


def names_of(names: str | Iterable[str]) -> tuple[str, ...]:
    """Return names, or one name alone, as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def records_of(chunk: Chunk) -> Iterator[Record]:
    """Yield the records of a chunk."""
    block, rows = chunk.block, chunk.rows
    columns = block.columns
    imported = block.time_base is TimeBase.WALL
    fields = (columns.time_ns[rows], columns.rx_lag_ns[rows], chunk.timeline_ns[rows], columns.kind[rows])
    stored = zip(
        block.received(chunk.first, chunk.stop).tolist(),
        *(field.tolist() for field in fields),
        columns.conn[rows].tolist(),
        block.payload_list(chunk.first, chunk.stop),
        strict=True,
    )
    for recv, mono, lag, timeline, kind, conn, payload in stored:
        yield Record(
            recv,
            None if imported else mono,
            None if lag == NONE_NS else lag,
            timeline,
            Kind(kind),
            conn,
            payload,
        )
