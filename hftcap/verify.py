"""Prove the storage of captures: checksums, sequence, completeness. The feed is judged elsewhere.

Every byte is read and every frame opened. Order and loss are judged by the reader; what is added here is what a
reader has no use for: whether headers, index, totals and the second copy of the preamble say what the blocks hold,
whether the first segment is there, and whether an unsealed segment is still being written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hftcap.capture.block import LOSS, Block
from hftcap.capture.folder import PART_SUFFIX, find_segments, is_being_written
from hftcap.capture.footer import Footer
from hftcap.capture.format import BLOCK_LEAST, NONE_NS, Kind, TimeBase
from hftcap.capture.reader import Finding, Recording, Segment, open_recordings
from hftcap.errors import CaptureError, DamagedPart, NotACapture


@dataclass(slots=True)
class Verdict:
    """What was read, and what was found wrong.

    `blocks` and `records` are those that are whole and in their turn. `damaged_blocks` are in their place and not
    whole, `missing_blocks` absent by sequence. `lost_records` is exact where a header or an index still tells, and
    None where nothing does.
    """

    files: int = 0
    blocks: int = 0
    records: int = 0
    damaged_blocks: int = 0
    missing_blocks: int = 0
    lost_records: int | None = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing at all was found wrong."""
        return not self.findings

    def find(self, path: Path, offset: int, what: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(path, offset, what))

    def lose(self, records: int | None) -> None:
        """Count lost records; None, once said, stays."""
        self.lost_records = None if records is None or self.lost_records is None else self.lost_records + records


def verify(paths: Sequence[Path], progress: Callable[[int], None] | None = None) -> Verdict:
    """Read every segment that `paths` name to its last byte; findings come by file and byte.

    A segment that is missing at the front is found where a whole folder was named. In a folder that is being written
    the youngest unsealed segment need not be whole. `progress` is called with the bytes of each block read.

    Raises:
        CaptureError: no path is a capture, one cannot be read, or is of a newer format.
    """
    files = find_segments(paths)
    # Asked before anything is read: a segment may be sealed meanwhile, but none that is asked about is begun.
    unsealed = {file.parent for file in files if file.name.endswith(PART_SUFFIX)}
    written = {folder for folder in unsealed if is_being_written(folder)}
    verdict = Verdict(files=len(files))
    recordings = open_recordings(_readable(files, verdict))
    _mark_growing(recordings, written)
    whole_folders = {path for path in paths if path.is_dir()}
    for recording in recordings:
        _Check(recording, verdict).run(progress, from_the_start=recording.segments[0].path.parent in whole_folders)
    verdict.findings.sort(key=lambda finding: (finding.path, finding.offset))
    return verdict


def _readable(files: Sequence[Path], verdict: Verdict) -> list[Path]:
    """Return the files that can be opened; list the others, unless none can be."""
    readable: list[Path] = []
    refused: CaptureError | None = None
    for path in files:
        try:
            Segment(path)
        except (NotACapture, DamagedPart) as error:
            refused = refused or error
            verdict.find(path, 0, "this segment has no whole preamble: passed over")
            # A crash between creating a segment and its first write leaves one that has no room for a block.
            verdict.lose(0 if path.name.endswith(PART_SUFFIX) and path.stat().st_size < BLOCK_LEAST else None)
        else:
            readable.append(path)
    if refused is not None and not readable:
        raise refused
    return readable


def _mark_growing(recordings: Sequence[Recording], written: set[Path]) -> None:
    """Tell the segments that are being written: one writer at a time may, so it is the youngest unsealed one."""
    for folder in written:
        unsealed = [
            segment
            for recording in recordings
            for segment in recording.segments
            if segment.path.parent == folder and not segment.sealed_name
        ]
        if unsealed:
            youngest = max(unsealed, key=lambda segment: (segment.preamble.created_ns, segment.preamble.segment))
            youngest.being_written = True


class _Check:
    """One pass over one recording."""

    def __init__(self, recording: Recording, verdict: Verdict) -> None:
        self.recording = recording
        self.verdict = verdict

    def run(self, progress: Callable[[int], None] | None, *, from_the_start: bool) -> None:
        """Read all blocks, then judge what they add up to."""
        verdict, recording = self.verdict, self.recording
        read = {segment.path: (segment, _Tally()) for segment in recording.segments}
        for chunk in recording.chunks():
            segment, tally = read[chunk.path]
            verdict.blocks += 1
            verdict.records += chunk.records
            tally.add(chunk.block)
            flaw = _time_flaw(chunk.block)
            if flaw is not None:
                verdict.find(chunk.path, segment.found[-1].offset, f"block {chunk.block.header.sequence}: {flaw}")
            if progress is not None:
                progress(chunk.block.header.block_bytes)
        verdict.findings += recording.findings
        verdict.damaged_blocks += recording.damaged_blocks
        verdict.missing_blocks += recording.missing_blocks
        verdict.lose(recording.lost_records)
        self._check_first(from_the_start=from_the_start)
        last = -1
        for segment, tally in read.values():
            if segment.preamble.segment > last:  # otherwise a double, which the reader passed over
                last = segment.preamble.segment
                self._check_end(segment, tally)

    def _check_first(self, *, from_the_start: bool) -> None:
        """Find what is missing before the first segment; a later one that was named alone is not without it."""
        first = self.recording.segments[0]
        number = first.preamble.segment
        if number and not from_the_start:
            return
        if number:
            which = "segment 0 is" if number == 1 else f"segments 0 to {number - 1} are"
        elif first.first_sequence:
            which = "block 0 is" if first.first_sequence == 1 else f"blocks 0 to {first.first_sequence - 1} are"
        else:
            return
        self.verdict.find(first.path, 0, f"{which} missing before this segment")
        self.verdict.missing_blocks += first.first_sequence
        self.verdict.lose(None if first.first_sequence else 0)

    def _check_end(self, segment: Segment, tally: "_Tally") -> None:
        if segment.footer is not None:
            for what in (*_index_flaws(segment, segment.footer), *_totals_flaws(segment, segment.footer, tally)):
                self.verdict.find(segment.path, segment.size, what)
        elif not segment.sealed_name and not segment.being_written:
            self.verdict.find(segment.path, segment.size, "not sealed: its writer stopped")


@dataclass(slots=True)
class _Tally:
    """What the blocks of one segment hold, to be held against its footer."""

    by_kind: dict[str, int] = field(default_factory=dict)
    losses: int = 0

    def add(self, block: Block) -> None:
        for kind in Kind:
            count = int((block.columns.kind == kind.value).sum())
            if count:
                name = kind.name.lower()
                self.by_kind[name] = self.by_kind.get(name, 0) + count
        self.losses += sum(int(note["count"]) for note in block.notes if note["note"] == LOSS)


def _time_flaw(block: Block) -> str | None:
    """Hold the least and greatest times of a header against the columns."""
    header = block.header
    mono = block.columns.time_ns if block.time_base is TimeBase.MONOTONIC else block.columns.time_ns[:0]
    for name, said, times in (
        ("mono", (header.min_mono_ns, header.max_mono_ns), mono),
        ("recv", (header.min_recv_ns, header.max_recv_ns), block.recv_ns),
    ):
        found = (int(times.min()), int(times.max())) if len(times) else (NONE_NS, NONE_NS)
        if said != found:
            return f"header says {name} times {said[0]} to {said[1]}, its columns {found[0]} to {found[1]}"
    return None


def _index_flaws(segment: Segment, footer: Footer) -> list[str]:
    """Hold the footer's index, and its copy of the preamble, against what was found in their places."""
    flaws = []
    if footer.preamble is not None and footer.preamble != segment.preamble and not segment.preamble_damaged:
        flaws.append("the footer's copy of the preamble is not the preamble")
    promised = {entry.sequence: entry for entry in footer.entries}
    unlisted = [entry.sequence for entry in segment.found if entry.sequence not in promised]
    if unlisted:
        which = "a block is" if len(unlisted) == 1 else f"{len(unlisted)} blocks are"
        flaws.append(f"{which} not in the footer's index, the first is {unlisted[0]}")
    if not segment.footer_moved:
        wrong = [entry.sequence for entry in segment.found if promised.get(entry.sequence, entry) != entry]
        if wrong:
            which = "a block is" if len(wrong) == 1 else f"{len(wrong)} blocks are"
            flaws.append(f"{which} not what the footer's index says of it, the first is {wrong[0]}")
    due = segment.first_sequence
    for entry in footer.entries:
        if entry.sequence != due:
            flaws.append(f"the footer's index lists block {entry.sequence} where {due} is due")
            break
        due = entry.next_sequence
    return flaws


def _totals_flaws(segment: Segment, footer: Footer, tally: _Tally) -> list[str]:
    """Hold the footer's totals against its index and, where no block is lost, against the records read."""
    spans = [entry for entry in footer.entries if entry.records]
    records = sum(entry.records for entry in footer.entries)
    expected: dict[str, Any] = {  # Any: a count, a time, counts by kind
        "records": records,
        "payload_bytes": sum(entry.raw_bytes for entry in footer.entries) - records,
        "first_recv_ns": min((entry.min_recv_ns for entry in spans), default=None),
        "last_recv_ns": max((entry.max_recv_ns for entry in spans), default=None),
    }
    said: dict[str, Any] = dict(footer.totals)  # Any: as above
    if not segment.damaged_blocks and not segment.missing_blocks:
        expected |= {"by_kind": tally.by_kind, "losses": tally.losses}
        said["by_kind"] = {kind: count for kind, count in footer.totals["by_kind"].items() if count}
    return [
        f"the footer says {name} {said[name]}, its blocks have {found}"
        for name, found in expected.items()
        if said[name] != found
    ]
