"""Salvage a cut or damaged capture into a new folder: all that is whole, and a note of each loss in its place.

The files are read twice. The first pass lists where blocks stand and what headers and indexes say of those that are
gone. The second opens the blocks in the order of their sequence, whichever file they stand in, and writes each as it
is, numbered afresh. A loss becomes a block of its own that holds nothing but the note.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hftcap.capture.block import LOSS, Note
from hftcap.capture.folder import claim_folder, publish, segment_name
from hftcap.capture.footer import Footer
from hftcap.capture.format import TimeBase
from hftcap.capture.preamble import Preamble
from hftcap.capture.segment import Finding
from hftcap.capture.segment_writer import LEVEL, SegmentWriter, WallOffset
from hftcap.capture.survey import Place, Source, Survey
from hftcap.errors import DamagedPart

UNKNOWN = "unknown"
"""Stands for a record's kind where nothing tells it any more."""


@dataclass(frozen=True, slots=True)
class Salvage:
    """What became of a capture: records kept and lost by kind, what was wrong, the segments written.

    `lost` is what is known to be lost, under `UNKNOWN` where the kind is not known. `lost_records` is None where
    there may be more. `lost_blocks` counts those absent by sequence or not whole, blocks of notes among them.
    """

    kept: dict[str, int]
    lost: dict[str, int]
    lost_records: int | None
    lost_blocks: int
    findings: list[Finding]
    segments: list[Path]

    @property
    def complete(self) -> bool:
        """Whether everything the capture held is kept."""
        return self.lost_records == 0 and not self.lost_blocks


def recover(
    paths: Sequence[Path], out: Path, *, level: int = LEVEL, progress: Callable[[int], None] | None = None
) -> Salvage:
    """Write what is whole of the one recording that `paths` name into the folder `out`; the source is not touched.

    `progress` is called with the bytes of each block read. Where this raises, nothing of `out` is left behind.

    Raises:
        DamagedPart, NotACapture, Unreadable: not one record can be read.
        NewerFormat: a segment was written in a later format version.
        SeveralRecordings: the segments carry more than one capture id.
        AlreadyExists, FolderBusy, WriteFailed: `out` holds a capture, or cannot be written.
    """
    rebuild = _Rebuild(Survey(paths), out, level, progress)
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    lock = claim_folder(out)
    try:
        return rebuild.run()
    except BaseException:
        for path in rebuild.written:
            path.unlink(missing_ok=True)
        for folder in made:
            folder.rmdir()
        raise
    finally:
        lock.release()


class _Rebuild:
    """Writes what a survey found, segment by segment, and counts; `next` is the sequence due of the source, `path`."""

    def __init__(self, survey: Survey, out: Path, level: int, progress: Callable[[int], None] | None) -> None:
        self.survey = survey
        self.path = self.out = out
        self.level = level
        self.progress = progress or (lambda _bytes: None)
        self.next = survey.sources[0].first
        self.sequence = 0
        self.kept: Counter[str] = Counter()
        self.lost: Counter[str] = Counter({UNKNOWN: 0})
        self.lost_blocks = 0
        self.exact = True
        self.written: list[Path] = []
        self._known = sorted(survey.known)

    def run(self) -> Salvage:
        """Write all segments."""
        sources = self.survey.sources
        places = self.survey.places
        begins = [bisect_left(places, source.first, key=lambda place: place.header.sequence) for source in sources]
        begins = [0, *begins[1:], len(places)]
        offset: int | None = None
        for number, source in enumerate(sources):
            mine = places[begins[number] : begins[number + 1]]
            if not number or source.preamble.boot_id != sources[number - 1].preamble.boot_id:
                offset = source.preamble.timeline_offset_ns
            if offset is None and mine:
                offset = mine[0].header.wall_offset_ns
            before = self.sequence - 1 if self.sequence else None
            preamble = replace(source.preamble, segment=number, previous_sequence=before, timeline_offset_ns=offset)
            self._segment(preamble, source, mine, last=number == len(sources) - 1)
        exact = self.lost.total() if self.exact else None
        lost = {kind: self.lost[kind] for kind in (*self.kept, UNKNOWN)}
        salvage = Salvage(dict(self.kept), lost, exact, self.lost_blocks, self.survey.findings, self.written)
        if not self.kept.total() and not salvage.complete:
            raise DamagedPart(sources[0].path, 0, "not one record of it is whole")
        return salvage

    def _segment(self, preamble: Preamble, source: Source, mine: list[Place], *, last: bool) -> None:
        begins = (place.header.min_recv_ns for place in mine if place.header.records)
        path = self.out / (segment_name(preamble, next(begins, preamble.created_ns)) + ".part")
        self.path = source.path
        writer = SegmentWriter(path, preamble, sequence=self.sequence, level=self.level)
        self.written.append(path)
        try:
            writer.wall = WallOffset(mine[0].header.wall_offset_ns if mine else preamble.timeline_offset_ns or 0)
            if not preamble.segment and source.guessed and source.first:
                self._note(writer, 0, f"what came before block {source.first} is not known", exact=False)
            self._lose(writer, source.first)
            lost = self.lost[UNKNOWN]
            self._copy(writer, mine, preamble.time_base)
            if source.footer is not None:
                self._close(writer, source.footer, lost)
            if last:
                self._lose(writer, self.survey.end)
                if source.footer is None and source.doubt is not None:
                    self._note(writer, *source.doubt, exact=False)
                elif self.survey.refused:
                    self._note(writer, 0, "a segment could not be read at all", exact=False)
        except BaseException:
            writer.abandon()
            raise
        writer.seal()
        self.sequence = writer.sequence
        self.kept.update(writer.totals()["by_kind"])
        self.written[-1] = publish(path)

    def _copy(self, writer: SegmentWriter, places: list[Place], time_base: TimeBase) -> None:
        """Write each block that is whole, once: of two that are the same one, whichever is."""
        for place in places:
            header = place.header
            self.progress(header.block_bytes)
            block = self.survey.opened(place, time_base) if header.sequence >= self.next else None
            if block is not None:
                writer.wall = WallOffset(header.wall_offset_ns, header.wall_error_ns)
                self._lose(writer, header.sequence)
                writer.add_block(block.columns, block.payloads, block.notes)
                self.next = header.next_sequence

    def _lose(self, writer: SegmentWriter, upto: int) -> None:
        """Note that the blocks from where we are up to, not including, `upto` are gone; none may be."""
        first = at = self.next
        if upto <= first:
            return
        blocks, records, told = upto - first, 0, 0
        for sequence in self._known[bisect_left(self._known, first) : bisect_left(self._known, upto)]:
            span, count = self.survey.known[sequence]
            if sequence >= at and sequence + span <= upto:
                records += count
                told += span
                at = sequence + span
        which = f"block {first} is" if blocks == 1 else f"blocks {first} to {upto - 1} are"
        self.next = upto
        self.lost_blocks += blocks
        self.lost[UNKNOWN] += records
        least = records if told == blocks else max(records, 1)
        self._note(writer, least, f"{which} missing or damaged", exact=told == blocks)

    def _note(self, writer: SegmentWriter, records: int, why: str, *, exact: bool) -> None:
        note: Note = {"note": LOSS, "count": records, "cause": f"recovered: {why}"}
        self.exact &= exact
        self.survey.find(self.path, 0, f"lost: {why}")
        writer.note(note if exact else note | {"at_least": True})
        writer.cut()

    def _close(self, writer: SegmentWriter, footer: Footer, lost_before: int) -> None:
        """Note what is lost before the end that a footer tells, and of which kinds all was that its segment lost."""
        if footer.entries:
            self._lose(writer, footer.entries[-1].next_sequence)
        kept = writer.totals()["by_kind"]
        rest = {kind: footer.totals["by_kind"].get(kind, 0) - count for kind, count in kept.items()}
        lost = self.lost[UNKNOWN] - lost_before
        if sum(rest.values()) == lost and min(rest.values()) >= 0:
            self.lost[UNKNOWN] -= lost
            self.lost.update(rest)
