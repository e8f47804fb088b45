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
from hftcap.capture.segments import PART_SUFFIX, find_segments
from hftcap.errors import CaptureError, DamagedPart, NewerFormat, NotACapture, SeveralRecordings, Unreadable

_READ_BYTES = 1 << 20
_HEAD_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the storage of a capture, and where."""

    path: Path
    offset: int
    what: str


class Segment:
    """One segment file, its preamble read.

    What `blocks` finds stands in `findings`, `damaged_blocks` (in their place, not whole), `missing_blocks` (absent
    by sequence), `truncated`, `footer` (None where the segment was not sealed) and `next_sequence` once it ran to
    its end, and is counted anew when it runs again.

    Raises:
        Unreadable: the file cannot be opened or read.
        NotACapture: it does not begin like a capture.
        DamagedPart: it does, and its preamble is not whole.
        NewerFormat: it was written in a later format version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.size = path.stat().st_size
        except OSError as error:
            raise Unreadable(path, error.strerror or str(error)) from error
        self.preamble = self._first_part()
        self._forget()

    def _forget(self) -> None:
        self.findings: list[Finding] = []
        self.damaged_blocks = 0
        self.missing_blocks = 0
        self.truncated = False
        self.footer: Footer | None = None
        before = self.preamble.previous_sequence
        self.next_sequence = 0 if before is None else before + 1

    def _first_part(self) -> Preamble:
        """Read no more than it takes to know whether the file begins with a preamble."""
        decoder = Decoder()
        head = b""
        try:
            with self.path.open("rb") as file:
                while data := file.read(_HEAD_BYTES):
                    head = head or data
                    parts = decoder.feed(data)
                    if parts or decoder.flaw:
                        break
                else:
                    parts = decoder.finish()
        except OSError as error:
            raise Unreadable(self.path, error.strerror or str(error)) from error
        match parts:
            case [Preamble() as preamble, *_]:
                return preamble
            case [Newer(version), *_]:
                raise NewerFormat(self.path, version, FORMAT_VERSION)
            case [Damage(what=what), *_]:
                flaw = what
            case _:
                flaw = decoder.flaw or "no bytes"
        frame_magic = FRAME.pack(SKIPPABLE_MAGIC, 0)[:4]
        magic = head[FRAME.size : FRAME.size + len(PREAMBLE_MAGIC)]
        if head.startswith(frame_magic) and magic and PREAMBLE_MAGIC.startswith(magic):
            raise DamagedPart(self.path, 0, flaw)
        found = f"a file that begins with {head[:16]!r}" if head else "an empty file"
        raise NotACapture(self.path, found, "a capture segment (*.hcap.zst)")

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
        """Yield (position in the file, block) for every block that is whole and in its turn."""
        self._forget()
        position = 0
        for number, part in enumerate(self.parts()):
            if isinstance(part, StoredBlock):
                if self.footer is not None:
                    self._find(part.offset, "a block stands after the footer")
                block = self._judge(part)
                if block is not None:
                    yield position, block
                position += 1
            elif isinstance(part, Damage):
                self._find(part.offset, f"{part.length} bytes passed over: {part.what}")
            elif isinstance(part, Footer):
                self._close(part)
            elif number:
                self._find(self.size, "a second preamble: files were joined")
        self.truncated = self.footer is None
        if self.truncated and not self.path.name.endswith(PART_SUFFIX):
            self._find(self.size, "no footer: the segment is cut")

    def _judge(self, stored: StoredBlock) -> Block | None:
        """Open a block; list it and return None where it is foreign, out of its turn or damaged."""
        header = stored.header
        if header.capture_id.hex() != self.preamble.capture_id:
            self._find(stored.offset, f"block of another capture, {header.capture_id.hex()}")
            return None
        if header.sequence < self.next_sequence:
            what = f"block {header.sequence} stands where {self.next_sequence} belongs: doubled or out of order"
            self._find(stored.offset, what)
            return None
        self._miss(header.sequence, stored.offset)
        self.next_sequence = header.sequence + 1
        block = decode_block(header, stored.body, self.preamble.time_base)
        if isinstance(block, Flaw):
            self.damaged_blocks += 1
            self._find(stored.offset, f"block {header.sequence}: {block.what}")
            return None
        return block

    def _close(self, footer: Footer) -> None:
        self.footer = footer
        if footer.entries:
            self._miss(footer.entries[-1].sequence + 1, self.size)
            self.next_sequence = max(self.next_sequence, footer.entries[-1].sequence + 1)

    def _miss(self, found: int, offset: int) -> None:
        missing = found - self.next_sequence
        if missing > 0:
            self.missing_blocks += missing
            what = (
                f"block {self.next_sequence} is" if missing == 1 else f"{missing} blocks from {self.next_sequence} are"
            )
            self._find(offset, f"{what} missing")

    def _find(self, offset: int, what: str) -> None:
        self.findings.append(Finding(self.path, offset, what))


@dataclass(slots=True)
class Chunk:
    """A block in its place in a recording: which file, where in it, and when on the timeline.

    `timeline_ns` never goes backwards: the recording's first wall offset plus the monotonic stamp, or, for imports,
    the running maximum of the stamps.
    """

    path: Path
    position: int
    block: Block
    timeline_ns: NDArray[np.int64]

    def upto(self, timeline_ns: int) -> int:
        """Return how many records from the front have `timeline_ns` at or before the given instant."""
        return int(np.searchsorted(self.timeline_ns, timeline_ns, side="right"))


class Recording:
    """The segments of one capture id, in segment order.

    `unopened` lists what the folder holds besides, such as a `.part` torn in its first write.
    """

    def __init__(self, segments: list[Segment], unopened: Iterable[Finding] = ()) -> None:
        self.segments = sorted(segments, key=lambda segment: segment.preamble.segment)
        self.preamble = self.segments[0].preamble
        self._unopened = list(unopened)
        self._between: list[Finding] = []
        self._missing_between = 0

    @property
    def file_bytes(self) -> int:
        """Size of all segment files."""
        return sum(segment.size for segment in self.segments)

    @property
    def findings(self) -> list[Finding]:
        """What the last complete read found wrong."""
        return self._unopened + self._between + [finding for segment in self.segments for finding in segment.findings]

    @property
    def damaged_blocks(self) -> int:
        """Blocks that the last complete read met and could not use."""
        return sum(segment.damaged_blocks for segment in self.segments)

    @property
    def missing_blocks(self) -> int:
        """Blocks absent by sequence, as far as the last complete read can tell."""
        return self._missing_between + sum(segment.missing_blocks for segment in self.segments)

    @property
    def truncated(self) -> bool:
        """Whether the last complete read met a segment without footer."""
        return any(segment.truncated for segment in self.segments)

    def chunks(self) -> Iterator[Chunk]:
        """Yield every block that is whole, with its timeline."""
        self._between = []
        self._missing_between = 0
        offset: int | None = None
        latest = NONE_NS
        before: Segment | None = None
        for segment in self.segments:
            if before is not None and not self._follows(before, segment):
                continue
            if before is None or segment.preamble.boot_id != before.preamble.boot_id:
                offset = segment.preamble.timeline_offset_ns
            before = segment
            for position, block in segment.blocks():
                if offset is None:
                    offset = block.header.wall_offset_ns
                times = block.columns.time_ns
                if block.time_base is TimeBase.MONOTONIC:
                    times = times + np.int64(offset)
                timeline = np.maximum.accumulate(np.maximum(times, np.int64(latest)))
                if len(timeline):
                    latest = int(timeline[-1])
                yield Chunk(segment.path, position, block, timeline)

    def _follows(self, before: Segment, segment: Segment) -> bool:
        """List what is missing between two segments; False where the second is a double of the first."""
        number, expected = segment.preamble.segment, before.preamble.segment + 1
        if number < expected:
            self._between.append(Finding(segment.path, 0, f"segment {number} is here twice: this file is passed over"))
            return False
        if number > expected:
            which = f"segment {expected} is" if number == expected + 1 else f"segments {expected} to {number - 1} are"
            self._between.append(Finding(segment.path, 0, f"{which} missing"))
        missing = (segment.preamble.previous_sequence or 0) + 1 - before.next_sequence
        if missing > 0:
            self._missing_between += missing
            what = f"{missing} blocks are missing between {before.path.name} and this segment"
            self._between.append(Finding(segment.path, 0, what))
        return True


def open_recording(paths: Iterable[Path]) -> Recording:
    """Open the one recording whose segments `paths` name.

    A `.part` without a whole preamble is a finding where another segment can be read.

    Raises:
        SeveralRecordings: the segments carry more than one capture id.
        CaptureError: a path cannot be used; see `Segment` and `find_segments`.
    """
    segments: list[Segment] = []
    unopened: list[Finding] = []
    refused: CaptureError | None = None
    for path in find_segments(paths):
        try:
            segments.append(Segment(path))
        except (NotACapture, DamagedPart) as error:
            # A crash between creating a segment and its first write leaves this; the rest is as good as ever.
            if not path.name.endswith(PART_SUFFIX):
                raise
            refused = error
            unopened.append(Finding(path, 0, "this segment has no whole preamble: passed over"))
    if refused is not None and not segments:
        raise refused
    ids = tuple(dict.fromkeys(segment.preamble.capture_id for segment in segments))
    if len(ids) != 1:
        raise SeveralRecordings(ids)
    return Recording(segments, unopened)
