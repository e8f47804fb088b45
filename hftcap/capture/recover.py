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

from hftcap.capture.block import LOSS, Block, Note, decode_block
from hftcap.capture.decode import Damage, StoredBlock
from hftcap.capture.footer import Footer, unpack_footer
from hftcap.capture.format import (
    BLOCK_HEADER_BYTES,
    FOOTER_MAGIC,
    FRAME,
    NONE_NS,
    TAIL,
    BlockHeader,
    Flaw,
    TimeBase,
    unpack_block_header,
)
from hftcap.capture.preamble import Preamble
from hftcap.capture.segment import UNKNOWN_MARKET, Finding, Segment
from hftcap.capture.segments import claim_folder, find_segments, publish, segment_name
from hftcap.capture.writer import LEVEL, SegmentWriter, WallOffset
from hftcap.errors import CaptureError, DamagedPart, NotACapture, SeveralRecordings, Unreadable

UNKNOWN = "unknown"
"""Stands for a record's kind where nothing tells it any more."""

_FOOTER_SEARCH_BYTES = 64 << 20
"""How far back from the end of damage a footer that moved is looked for: the index of a million blocks."""

_CUT = (0, "the file was cut: what it held behind this is not known")
_TORN = (1, "the last block is torn")


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


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a block of the recording stands."""

    path: Path
    offset: int
    header: BlockHeader


@dataclass(slots=True)
class _Source:
    """A segment as it was found; `first` is the sequence of its first block.

    `guessed`: its preamble is gone, no footer repeats it. `doubt`: what its end lost at least, and why that is all.
    """

    path: Path
    preamble: Preamble
    first: int
    guessed: bool = False
    footer: Footer | None = None
    doubt: tuple[int, str] | None = None


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
    rebuild = _Rebuild(_Survey(paths), out, level, progress)
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


class _Survey:
    """What the files hold: the segments in order, where each block stands, how many records the lost ones had.

    `places` is in order of sequence. `known` says of a sequence how many numbers that block spans and how many records
    it has. `end` is behind the last block that anything tells of. `refused`: a sealed segment could not be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.findings: list[Finding] = []
        self.places: list[_Place] = []
        self.known: dict[int, tuple[int, int]] = {}
        self.sources: list[_Source] = []
        self.refused = False
        self.end = 0
        segments = self._open(paths)
        ids = tuple(dict.fromkeys(segment.preamble.capture_id for segment in segments))
        if len(ids) > 1:
            raise SeveralRecordings(ids)
        self.capture_id = ids[0]
        told = [segment.preamble for segment in segments if segment.preamble.market != UNKNOWN_MARKET]
        for segment in segments:
            guessed = segment.preamble.market == UNKNOWN_MARKET
            if guessed and told:
                segment.adopt(max(told, key=lambda preamble: preamble.segment))
            self._read(segment, guessed=guessed)
        self._order()

    def _open(self, paths: Sequence[Path]) -> list[Segment]:
        segments: list[Segment] = []
        first_error: CaptureError | None = None
        for path in find_segments(paths):
            try:
                segments.append(Segment(path))
            except (NotACapture, DamagedPart, Unreadable) as error:
                first_error = first_error or error
                self.find(path, 0, f"passed over: {str(error).removeprefix(f'{path}: ')}")
                # A `.part` without a preamble was torn in its first write and holds nothing.
                self.refused |= not path.name.endswith(".part")
        if first_error is not None and not segments:
            raise first_error
        return segments

    def find(self, path: Path, offset: int, what: str) -> None:
        self.findings.append(Finding(path, offset, what))

    def _read(self, segment: Segment, *, guessed: bool) -> None:
        self.findings += segment.findings
        source = self._source(segment.path, segment.preamble)
        source.guessed = guessed
        begin = len(self.places)
        try:
            for number, part in enumerate(segment.parts()):
                if isinstance(part, StoredBlock):
                    self._block(segment.path, part, begin)
                elif isinstance(part, Damage):
                    if part.offset or not segment.findings:
                        self.find(segment.path, part.offset, f"{part.length} bytes passed over: {part.what}")
                    source = self._damage(segment, source, part)
                elif isinstance(part, Footer):
                    source = self._footer(segment.path, source, part)
                elif isinstance(part, Preamble) and number:
                    self.find(segment.path, segment.size, "a second preamble: files were joined")
                    if part.capture_id == self.capture_id:
                        source = self._source(segment.path, part)
        except (Unreadable, OSError) as error:
            self.find(segment.path, segment.size, str(error))
            source.doubt = _CUT
        if source.footer is None and segment.sealed_name:
            self.find(segment.path, segment.size, "no footer: the segment is cut")
            source.doubt = source.doubt or _CUT
        headers = [place.header for place in self.places[begin:]]
        if source.guessed and headers:
            # One header stood in for the preamble; all of them know better.
            source.first = min(header.sequence for header in headers)
            if any(header.min_mono_ns != NONE_NS for header in headers):
                source.preamble = replace(source.preamble, time_base=TimeBase.MONOTONIC)

    def _source(self, path: Path, preamble: Preamble) -> _Source:
        before = preamble.previous_sequence
        self.sources.append(_Source(path, preamble, 0 if before is None else before + 1))
        return self.sources[-1]

    def _block(self, path: Path, stored: StoredBlock, begin: int) -> None:
        header = stored.header
        if header.capture_id.hex() != self.capture_id:
            self.find(path, stored.offset, f"block of another capture, {header.capture_id.hex()}: left out")
            return
        before = self.places[-1].header if len(self.places) > begin else None
        if before is not None and header.sequence < before.next_sequence:
            what = f"block {header.sequence} stands behind {before.sequence}: doubled or out of order"
            self.find(path, stored.offset, what)
        self.places.append(_Place(path, stored.offset, header))
        self._know(header.sequence, header.records, header.span)

    def _know(self, sequence: int, records: int, span: int) -> None:
        # Of a block and one that spans it and more, both lost, the smaller tells more exactly what is missing.
        self.known[sequence] = min((span, records), self.known.get(sequence, (span, records)))
        self.end = max(self.end, sequence + span)

    def _footer(self, path: Path, source: _Source, footer: Footer) -> _Source:
        """Give a footer to the segment it seals, which it may be the only trace of."""
        told = footer.preamble or source.preamble
        if told.capture_id != self.capture_id:
            return source
        if told.segment != source.preamble.segment and not source.guessed:
            source = self._source(path, told)
        source.footer = footer
        for entry in footer.entries:
            self._know(entry.sequence, entry.records, entry.span)
        return source

    def _damage(self, segment: Segment, source: _Source, damage: Damage) -> _Source:
        """Learn what damaged bytes still say: the header of a torn block, a footer that is not where it was."""
        skipped = max(damage.length - _FOOTER_SEARCH_BYTES, 0)
        with segment.path.open("rb") as file:
            file.seek(damage.offset)
            head = file.read(min(FRAME.size + BLOCK_HEADER_BYTES, damage.length))
            file.seek(damage.offset + skipped)
            data = file.read(damage.length - skipped)
        at = data.rfind(FOOTER_MAGIC) - FRAME.size
        content = data[at + FRAME.size :][: FRAME.unpack_from(data, at)[1]] if at >= 0 else b""
        if len(content) >= TAIL.size:
            footer = unpack_footer(content, TAIL.unpack_from(content, len(content) - TAIL.size)[0])
            if isinstance(footer, Footer):
                return self._footer(segment.path, source, footer)
        header = unpack_block_header(head[FRAME.size :]) if len(head) == FRAME.size + BLOCK_HEADER_BYTES else None
        alone = head[FRAME.size :].startswith(FOOTER_MAGIC)
        if isinstance(header, BlockHeader) and header.capture_id.hex() == self.capture_id:
            self._know(header.sequence, header.records, header.span)
            alone = damage.length <= header.block_bytes  # else more blocks are in it
        if damage.tail and not alone:
            source.doubt = _TORN
        return source

    def _order(self) -> None:
        """Sort, and take what is there twice once."""
        self.places.sort(key=lambda place: (place.header.sequence, -place.header.span))
        self.sources.sort(key=lambda source: (source.first, source.guessed, source.preamble.segment))
        kept = self.sources[:1]
        for source in self.sources[1:]:
            before = kept[-1]
            same = source.guessed or source.preamble.segment == before.preamble.segment
            if same and source.first == before.first:
                self.find(source.path, 0, f"segment {before.preamble.segment} is here twice")
                before.footer = before.footer or source.footer
                before.doubt = before.doubt and source.doubt
                continue
            kept.append(source)
        self.sources = kept

    def opened(self, place: _Place, time_base: TimeBase) -> Block | None:
        """Open a block, None where it is not whole."""
        header = place.header
        try:
            with place.path.open("rb") as file:
                file.seek(place.offset + FRAME.size + BLOCK_HEADER_BYTES)
                body = file.read(header.block_bytes - FRAME.size - BLOCK_HEADER_BYTES)
        except OSError as error:
            block: Block | Flaw = Flaw(error.strerror or str(error))
        else:
            block = decode_block(header, body, time_base)
        if isinstance(block, Flaw):
            self.find(place.path, place.offset, f"block {header.sequence}: {block.what}")
            return None
        return block


class _Rebuild:
    """Writes what a survey found, segment by segment, and counts; `next` is the sequence due of the source, `path`."""

    def __init__(self, survey: _Survey, out: Path, level: int, progress: Callable[[int], None] | None) -> None:
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

    def _segment(self, preamble: Preamble, source: _Source, mine: list[_Place], *, last: bool) -> None:
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

    def _copy(self, writer: SegmentWriter, places: list[_Place], time_base: TimeBase) -> None:
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
