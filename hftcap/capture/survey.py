"""Take stock of a damaged capture: which segments there are, where each block stands, what the lost ones held.

Nothing is judged by the name of a file: blocks of one capture id are sorted by sequence, whichever file they stand in,
and headers and indexes are believed as far as their checksums hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hftcap.capture.block import Block, decode_block
from hftcap.capture.decode import Damage, StoredBlock
from hftcap.capture.folder import find_segments
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
from hftcap.errors import CaptureError, DamagedPart, NotACapture, SeveralRecordings, Unreadable

_FOOTER_SEARCH_BYTES = 64 << 20
"""How far back from the end of damage a footer that moved is looked for: the index of a million blocks."""

_CUT = (0, "the file was cut: what it held behind this is not known")
_TORN = (1, "the last block is torn")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block of the recording stands."""

    path: Path
    offset: int
    header: BlockHeader


@dataclass(slots=True)
class Source:
    """A segment as it was found; `first` is the sequence of its first block.

    `guessed`: its preamble is gone, no footer repeats it. `doubt`: what its end lost at least, and why that is all.
    """

    path: Path
    preamble: Preamble
    first: int
    guessed: bool = False
    footer: Footer | None = None
    doubt: tuple[int, str] | None = None


class Survey:
    """What the files hold: the segments in order, where each block stands, how many records the lost ones had.

    `places` is in order of sequence. `known` says of a sequence how many numbers that block spans and how many records
    it has. `end` is behind the last block that anything tells of. `refused`: a sealed segment could not be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.findings: list[Finding] = []
        self.places: list[Place] = []
        self.known: dict[int, tuple[int, int]] = {}
        self.sources: list[Source] = []
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
        """Add a finding."""
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

    def _source(self, path: Path, preamble: Preamble) -> Source:
        before = preamble.previous_sequence
        self.sources.append(Source(path, preamble, 0 if before is None else before + 1))
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
        self.places.append(Place(path, stored.offset, header))
        self._know(header.sequence, header.records, header.span)

    def _know(self, sequence: int, records: int, span: int) -> None:
        # Of a block and one that spans it and more, both lost, the smaller tells more exactly what is missing.
        self.known[sequence] = min((span, records), self.known.get(sequence, (span, records)))
        self.end = max(self.end, sequence + span)

    def _footer(self, path: Path, source: Source, footer: Footer) -> Source:
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

    def _damage(self, segment: Segment, source: Source, damage: Damage) -> Source:
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

    def opened(self, place: Place, time_base: TimeBase) -> Block | None:
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
