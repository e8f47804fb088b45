"""Prove the storage of captures: checksums, sequence, completeness. The feed is judged elsewhere.

Every byte is read and every frame opened. A finding names the file, the byte and what is wrong. How many records
are lost is exact where a header or a footer's index still says so, and unknown (None) otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from hftcap.capture.block import decode_block
from hftcap.capture.decode import Damage, StoredBlock
from hftcap.capture.footer import Footer
from hftcap.capture.format import Flaw
from hftcap.capture.preamble import Newer, Preamble
from hftcap.capture.reader import Finding, Segment
from hftcap.capture.segments import find_segments


@dataclass(slots=True)
class Verdict:
    """What was read, and what was found wrong; `lost_records` is None where it cannot be known."""

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

    def lose(self, records: int | None) -> None:
        """Count lost records; None, once said, stays."""
        self.lost_records = None if records is None or self.lost_records is None else self.lost_records + records


def verify(paths: Sequence[Path], progress: Callable[[int], None] | None = None) -> Verdict:
    """Read every segment that `paths` name to its last byte.

    `progress` is called with the bytes of each part read.

    Raises:
        CaptureError: a path is no capture, cannot be read, or is of a newer format.
    """
    segments = [Segment(path) for path in find_segments(paths)]
    recordings: dict[str, list[Segment]] = {}
    for segment in segments:
        recordings.setdefault(segment.preamble.capture_id, []).append(segment)
    verdict = Verdict(files=len(segments))
    for members in recordings.values():
        members.sort(key=lambda segment: segment.preamble.segment)
        _verify_order(members, verdict)
        sequence: int | None = None
        for segment in members:
            sequence = _SegmentCheck(segment, verdict, sequence, progress).run()
    return verdict


def _verify_order(segments: Sequence[Segment], verdict: Verdict) -> None:
    """Hold the segment numbers of one recording against each other."""
    for before, after in pairwise(segments):
        step = after.preamble.segment - before.preamble.segment
        if step == 0:
            what = f"segment {after.preamble.segment} of recording {after.preamble.capture_id} is here twice"
            verdict.findings.append(Finding(after.path, 0, what))
        elif step > 1:
            what = f"{step - 1} segments before this one are missing ({before.preamble.segment} is the one found)"
            verdict.findings.append(Finding(after.path, 0, what))


class _SegmentCheck:
    """One pass over one segment. `sequence` is that of the last block of the segment before, None at the start."""

    def __init__(
        self, segment: Segment, verdict: Verdict, sequence: int | None, progress: Callable[[int], None] | None
    ) -> None:
        self.segment = segment
        self.verdict = verdict
        self.progress = progress
        self.last = sequence if sequence is not None else segment.preamble.previous_sequence
        self.seen: dict[int, int] = {}  # sequence -> records, of blocks that are whole
        self.absent: list[int] = []  # sequences that are missing or damaged here, their records not yet known
        self.footer: Footer | None = None

    def run(self) -> int | None:
        """Check all parts; return the sequence of the last block."""
        for part in self.segment.parts():
            if isinstance(part, StoredBlock):
                self._block(part)
            elif isinstance(part, Footer):
                self.footer = part
            elif isinstance(part, Damage):
                self._find(part.offset, f"{part.length} bytes passed over: {part.what}")
            elif isinstance(part, Preamble | Newer) and self.seen:
                self._find(0, "a second preamble")
        self._settle()
        return self.last

    def _find(self, offset: int, what: str) -> None:
        self.verdict.findings.append(Finding(self.segment.path, offset, what))

    def _block(self, part: StoredBlock) -> None:
        header = part.header
        if self.progress is not None:
            self.progress(header.block_bytes)
        if header.capture_id.hex() != self.segment.preamble.capture_id:
            self._find(part.offset, f"block {header.sequence} belongs to recording {header.capture_id.hex()}")
            return
        if self.last is not None and header.sequence <= self.last:
            self._find(part.offset, f"block {header.sequence} stands after block {self.last}")
            return
        first = 0 if self.last is None else self.last + 1
        if header.sequence > first:
            self._find(part.offset, f"blocks {first} to {header.sequence - 1} are missing before this one")
            self.verdict.missing_blocks += header.sequence - first
            self.absent += range(first, min(header.sequence, first + (1 << 20)))
        self.last = header.sequence
        block = decode_block(header, part.body, self.segment.preamble.time_base)
        if isinstance(block, Flaw):
            self.verdict.damaged_blocks += 1
            self.verdict.lose(header.records)
            self._find(part.offset, f"block {header.sequence}: {block.what}")
            self.seen[header.sequence] = header.records
            return
        self.verdict.blocks += 1
        self.verdict.records += block.records
        self.seen[header.sequence] = block.records

    def _settle(self) -> None:
        """Say what only the end of the segment can tell: footer, and how much was in blocks that are gone."""
        if self.footer is None:
            unsealed = self.segment.path.name.endswith(".part")
            why = "not sealed: it is being written, or its writer stopped" if unsealed else "no footer: it is cut"
            self._find(self.segment.size, f"the segment is {why}")
            if not unsealed or self.absent:
                self.verdict.lose(None)
            return
        promised = {entry.sequence: entry.records for entry in self.footer.entries}
        behind = [sequence for sequence in promised if self.last is None or sequence > self.last]
        if behind:
            self._find(self.segment.size, f"blocks {behind[0]} to {behind[-1]} of the index are missing at the end")
            self.verdict.missing_blocks += len(behind)
            self.last = behind[-1]
        for sequence in (*self.absent, *behind):
            self.verdict.lose(promised.get(sequence))
        total = self.footer.totals.get("records")
        if total != sum(promised.values()):
            self._find(self.segment.size, f"the footer counts {total} records, its index {sum(promised.values())}")
