"""Read whole recordings, in record order, with the timeline on it; seek by the timeline.

`timeline_ns` never goes backwards in a recording: its first wall offset plus the monotonic stamp, so that steps of the
wall clock do not show, or, for imports, the running maximum of the stamps.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hftcap.capture.ahead import ONE_BY_ONE, Opening
from hftcap.capture.block import Block
from hftcap.capture.folder import PART_SUFFIX, find_segments
from hftcap.capture.footer import IndexEntry
from hftcap.capture.format import NONE_NS, TimeBase
from hftcap.capture.segment import UNKNOWN_MARKET, Finding, Segment
from hftcap.errors import CaptureError, DamagedPart, NotACapture, SeveralRecordings

__all__ = ["Chunk", "Finding", "Place", "Recording", "Segment", "open_recording", "open_recordings"]


@dataclass(slots=True)
class Chunk:
    """A block, or a run of its records, in its place in a recording: which file, where in it, when on the timeline.

    `timeline_ns` has all records of the block; the chunk is of those from `first` up to, not including, `stop`.
    """

    path: Path
    position: int
    block: Block
    timeline_ns: NDArray[np.int64]
    first: int = 0
    stop: int = -1

    def __post_init__(self) -> None:
        if self.stop < 0:
            self.stop = self.block.records

    @property
    def records(self) -> int:
        """Number of records in the chunk."""
        return self.stop - self.first

    @property
    def rows(self) -> slice:
        """The chunk's records as a slice of the block's columns."""
        return slice(self.first, self.stop)

    def upto(self, timeline_ns: int) -> int:
        """Return the index behind the last record of the chunk whose `timeline_ns` is at or before an instant."""
        found = int(np.searchsorted(self.timeline_ns, timeline_ns, side="right"))
        return min(max(found, self.first), self.stop)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a read begins: a segment by its index in the recording, a block of it, and the timeline so far."""

    segment: int
    entry: IndexEntry
    latest_ns: int


class Recording:
    """The segments of one capture id, in segment order.

    `unopened` lists what the folder holds besides, such as a `.part` torn in its first write. `opening` may be set to
    another that opens blocks ahead.
    """

    def __init__(self, segments: list[Segment], unopened: Iterable[Finding] = ()) -> None:
        known = [segment.preamble for segment in segments if segment.preamble.market != UNKNOWN_MARKET]
        for segment in segments:
            if known:
                segment.adopt(max(known, key=lambda preamble: preamble.segment))
        self.segments = sorted(segments, key=lambda segment: segment.preamble.segment)
        self.preamble = self.segments[0].preamble
        self.opening: Opening = ONE_BY_ONE
        self._unopened = list(unopened)
        self._forget()

    def _forget(self) -> None:
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
    def lost_records(self) -> int | None:
        """Records in damaged and missing blocks as of the last complete read, None where nothing tells."""
        lost = 0
        for segment in self.segments:
            if segment.lost_records is None or self._missing_between:
                return None
            lost += segment.lost_records
        return lost

    @property
    def truncated(self) -> bool:
        """Whether the last complete read met a segment without footer."""
        return any(segment.truncated for segment in self.segments)

    def chunks(self, start: Place | None = None) -> Iterator[Chunk]:
        """Yield every block that is whole, from `start` on, with its timeline."""
        self._forget()
        offset: int | None = None
        latest = NONE_NS if start is None else start.latest_ns
        before: Segment | None = None
        for number, segment in enumerate(self.segments):
            if before is not None and not self._follows(before, segment):
                continue
            if before is None or segment.preamble.boot_id != before.preamble.boot_id:
                offset = segment.preamble.timeline_offset_ns
            before = segment
            if start is not None and number < start.segment:
                segment.next_sequence = (
                    segment.first_sequence if not segment.index() else (segment.index()[-1].next_sequence)
                )
                continue
            entry = start.entry if start is not None and number == start.segment else None
            for position, block in segment.blocks(entry, self.opening):
                if offset is None:
                    offset = block.header.wall_offset_ns
                times = block.columns.time_ns
                if block.time_base is TimeBase.MONOTONIC:
                    times = times + np.int64(offset)
                if block.rises and len(times) and times[0] >= latest:
                    timeline = times
                else:
                    timeline = np.maximum.accumulate(np.maximum(times, np.int64(latest)))
                if len(timeline):
                    latest = int(timeline[-1])
                chunk = Chunk(segment.path, position, block, timeline)
                del block, times, timeline
                yield chunk
                del chunk  # its memory serves for the next, where nobody else holds it

    def _follows(self, before: Segment, segment: Segment) -> bool:
        """List what is missing between two segments; False where the second is a double of the first."""
        number, expected = segment.preamble.segment, before.preamble.segment + 1
        if number < expected:
            self._between.append(Finding(segment.path, 0, f"segment {number} is here twice: this file is passed over"))
            return False
        if number > expected:
            which = f"segment {expected} is" if number == expected + 1 else f"segments {expected} to {number - 1} are"
            self._between.append(Finding(segment.path, 0, f"{which} missing"))
        missing = segment.first_sequence - before.next_sequence
        if missing > 0:
            self._missing_between += missing
            what = f"{missing} blocks are missing between {before.path.name} and this segment"
            self._between.append(Finding(segment.path, 0, what))
        return True

    def seek(self, timeline_ns: int) -> Place | None:
        """Return the block at which a replay up to an instant may begin: all records before it are at or before it.

        Uses the index alone. None where the recording has no blocks.
        """
        latest = NONE_NS
        place: Place | None = None
        offset: int | None = None
        boot: str | None = None
        for number, segment in enumerate(self.segments):
            if offset is None or segment.preamble.boot_id != boot:
                offset, boot = segment.preamble.timeline_offset_ns, segment.preamble.boot_id
            for entry in segment.index():
                place = Place(number, entry, latest)
                if not entry.records:
                    continue
                highest = self._highest(segment, entry, offset)
                if highest > timeline_ns:
                    return place
                latest = max(latest, highest)
        return place

    def place(self, segment_number: int, position: int) -> Place | None:
        """Return the place of a block by its segment and position, None where the index has no such block."""
        latest = NONE_NS
        for number, segment in enumerate(self.segments[: segment_number + 1]):
            offset = segment.preamble.timeline_offset_ns
            for entry in segment.index():
                if number == segment_number and segment.position(entry.sequence) == position:
                    return Place(number, entry, latest)
                if entry.records:
                    latest = max(latest, self._highest(segment, entry, offset))
        return None

    def span(self) -> tuple[int, int] | None:
        """Return the first and last instant of the timeline, None where there are no records; opens one block."""
        highest = [
            self._highest(segment, entry, segment.preamble.timeline_offset_ns)
            for segment in self.segments
            for entry in segment.index()
            if entry.records
        ]
        first = next((chunk for chunk in self.chunks() if chunk.records), None)
        return None if first is None else (int(first.timeline_ns[0]), max(highest))

    def _highest(self, segment: Segment, entry: IndexEntry, offset: int | None) -> int:
        if segment.preamble.time_base is TimeBase.WALL:
            return entry.max_recv_ns
        if offset is None:  # written before the offset was in the preamble: the first block has it
            _, block = next(segment.blocks(entry))
            offset = block.header.wall_offset_ns
        return entry.max_mono_ns + offset


def open_recordings(paths: Iterable[Path]) -> list[Recording]:
    """Open every recording whose segments `paths` name, in the order in which the first of each is named.

    A `.part` without a whole preamble is a finding where another segment can be read.

    Raises:
        CaptureError: a path cannot be used; see `Segment` and `find_segments`.
    """
    segments: dict[str, list[Segment]] = {}
    unopened: list[Finding] = []
    refused: CaptureError | None = None
    for path in find_segments(paths):
        try:
            segment = Segment(path)
        except (NotACapture, DamagedPart) as error:
            # A crash between creating a segment and its first write leaves this; the rest is as good as ever.
            if not path.name.endswith(PART_SUFFIX):
                raise
            refused = error
            unopened.append(Finding(path, 0, "this segment has no whole preamble: passed over"))
        else:
            segments.setdefault(segment.preamble.capture_id, []).append(segment)
    if refused is not None and not segments:
        raise refused
    recordings = []
    for members in segments.values():
        recordings.append(Recording(members, unopened))
        unopened = []
    return recordings


def open_recording(paths: Iterable[Path]) -> Recording:
    """Open the one recording whose segments `paths` name.

    Raises:
        SeveralRecordings: the segments carry more than one capture id.
        CaptureError: a path cannot be used; see `open_recordings`.
    """
    recordings = open_recordings(paths)
    if len(recordings) != 1:
        raise SeveralRecordings(tuple(recording.preamble.capture_id for recording in recordings))
    return recordings[0]
