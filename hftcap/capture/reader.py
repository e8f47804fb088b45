"""Read segments and whole recordings, in record order, with the timeline on it.

What is damaged is passed over and listed, never guessed: a reader ends with its blocks and its findings.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hftcap.capture.block import Block, decode_block
from hftcap.capture.decode import Damage, Decoder, Part, StoredBlock
from hftcap.capture.format import (
    FORMAT_VERSION,
    FRAME,
    NONE_NS,
    PREAMBLE_MAGIC,
    SKIPPABLE_MAGIC,
    Flaw,
    Footer,
    Newer,
    Preamble,
    TimeBase,
)
from hftcap.capture.segments import find_segments
from hftcap.errors import DamagedPart, NewerFormat, NotACapture, SeveralRecordings, Unreadable

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the storage of a capture, and where."""

    path: Path
    offset: int
    what: str


class Segment:
    """One segment file, its preamble read.

    `footer` is None until `parts` or `blocks` ran to the end, and stays so where the segment was not sealed.

    Raises:
        Unreadable: the file cannot be opened or read.
        NotACapture: it does not begin with a preamble.
        NewerFormat: it was written in a later format version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.findings: list[Finding] = []
        self.damaged_blocks = 0
        self.footer: Footer | None = None
        self.truncated = False
        try:
            self.size = path.stat().st_size
        except OSError as error:
            raise Unreadable(path, error.strerror or str(error)) from error
        self.preamble = self._first_part()

    def _first_part(self) -> Preamble:
        for part in self.parts():
            if isinstance(part, Preamble):
                return part
            if isinstance(part, Newer):
                raise NewerFormat(self.path, part.version, FORMAT_VERSION)
            if isinstance(part, Damage):
                self._refuse(part)
            break
        raise NotACapture(self.path, "an empty file" if not self.size else "no preamble", "a capture segment")

    def _refuse(self, damage: Damage) -> None:
        expected = FRAME.pack(SKIPPABLE_MAGIC, 0)[:4] + b"...." + PREAMBLE_MAGIC
        with self.path.open("rb") as file:
            head = file.read(len(expected))
        if head[:4] == expected[:4] and head[8:] == PREAMBLE_MAGIC:
            raise DamagedPart(self.path, 0, damage.what)
        raise NotACapture(self.path, f"a file that begins with {head[:16]!r}", "a capture segment (*.hcap.zst)")

    def parts(self, offset: int = 0) -> Iterator[Part]:
        """Yield every part from byte `offset` on, blocks still compressed, damage in its place."""
        decoder = Decoder(offset)
        try:
            with self.path.open("rb") as file:
                if offset:
                    file.seek(offset, os.SEEK_SET)
                while data := file.read(_READ_BYTES):
                    yield from decoder.feed(data)
        except OSError as error:
            raise Unreadable(self.path, error.strerror or str(error)) from error
        yield from decoder.finish()

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Yield (position in the file, block) for every block that is whole; list the rest in `findings`."""
        self.findings = []
        self.damaged_blocks = 0
        self.footer = None
        position = 0
        for part in self.parts():
            if isinstance(part, StoredBlock):
                block = decode_block(part.header, part.body, self.preamble.time_base)
                if part.header.capture_id.hex() != self.preamble.capture_id:
                    self._find(part.offset, f"block of another capture, {part.header.capture_id.hex()}")
                elif isinstance(block, Flaw):
                    self.damaged_blocks += 1
                    self._find(part.offset, f"block {part.header.sequence}: {block.what}")
                else:
                    yield position, block
                position += 1
            elif isinstance(part, Damage):
                self._find(part.offset, f"{part.length} bytes passed over: {part.what}")
            elif isinstance(part, Footer):
                self.footer = part
        self.truncated = self.footer is None
        if self.truncated and not self.path.name.endswith(".part"):
            self._find(self.size, "no footer: the segment is cut")

    def _find(self, offset: int, what: str) -> None:
        self.findings.append(Finding(self.path, offset, what))


@dataclass(slots=True)
class Chunk:
    """A block in its place in a recording: which file, where in it, and when on the timeline.

    `timeline_ns` never goes backwards: the first wall offset of the recording plus the monotonic stamp, or, for
    imports, the running maximum of the stamps.
    """

    path: Path
    position: int
    block: Block
    timeline_ns: NDArray[np.int64]

    def upto(self, timeline_ns: int) -> int:
        """Return how many records from the front have `timeline_ns` at or before the given instant."""
        return int(np.searchsorted(self.timeline_ns, timeline_ns, side="right"))


class Recording:
    """The segments of one capture id, in segment order."""

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = sorted(segments, key=lambda segment: segment.preamble.segment)
        self.preamble = self.segments[0].preamble

    @property
    def file_bytes(self) -> int:
        """Size of all segment files."""
        return sum(segment.size for segment in self.segments)

    @property
    def findings(self) -> list[Finding]:
        """What the last complete read found wrong."""
        return [finding for segment in self.segments for finding in segment.findings]

    @property
    def truncated(self) -> bool:
        """Whether the last complete read met a segment without footer."""
        return any(segment.truncated for segment in self.segments)

    def chunks(self) -> Iterator[Chunk]:
        """Yield every block that is whole, with its timeline."""
        first_offset: int | None = None
        latest = NONE_NS
        for segment in self.segments:
            for position, block in segment.blocks():
                if first_offset is None:
                    first_offset = block.header.wall_offset_ns
                times = block.columns.time_ns
                if block.time_base is TimeBase.MONOTONIC:
                    times = times + np.int64(first_offset)
                timeline = np.maximum.accumulate(np.maximum(times, np.int64(latest)))
                if len(timeline):
                    latest = int(timeline[-1])
                yield Chunk(segment.path, position, block, timeline)


def open_recording(paths: Iterable[Path]) -> Recording:
    """Open the one recording whose segments `paths` name.

    Raises:
        SeveralRecordings: the segments carry more than one capture id.
        CaptureError: a path cannot be used; see `Segment` and `find_segments`.
    """
    segments = [Segment(path) for path in find_segments(paths)]
    ids = tuple(dict.fromkeys(segment.preamble.capture_id for segment in segments))
    if len(ids) != 1:
        raise SeveralRecordings(ids)
    return Recording(segments)
