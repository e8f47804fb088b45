"""Read one segment file: its preamble, its blocks in their turn, and what is wrong with it.

What is damaged is passed over and listed, never guessed. How many records that cost is exact where a block's header or
the footer's index still says so, and None where nothing does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from hftcap.capture.ahead import ONE_BY_ONE, Opened, Opening
from hftcap.capture.block import Block
from hftcap.capture.decode import Damage, Decoder, Part, StoredBlock, read_block
from hftcap.capture.folder import PART_SUFFIX
from hftcap.capture.footer import Footer, IndexEntry, unpack_footer
from hftcap.capture.format import (
    FOOTER_MAGIC,
    FOOTER_MAX,
    FORMAT_VERSION,
    FRAME,
    NONE_NS,
    PREAMBLE_MAGIC,
    SKIPPABLE_MAGIC,
    TAIL,
    BlockHeader,
    Flaw,
    TimeBase,
)
from hftcap.capture.index import hop, read_footer, read_footer_crc
from hftcap.capture.preamble import Newer, Preamble
from hftcap.errors import DamagedPart, NewerFormat, NotACapture, Unreadable

_READ_BYTES = 64 << 10
_HEAD_BYTES = 64 << 10
UNKNOWN_MARKET = "unknown"
"""The market of an unsealed segment whose preamble is damaged: nothing in it says which."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the storage of a capture, and where."""

    path: Path
    offset: int
    what: str


class Segment:
    """One segment file, its preamble read.

    What `blocks` finds stands in `findings`, `damaged_blocks` (in their place, not whole), `missing_blocks` (absent
    by sequence), `lost_records` (in both, None where unknown), `truncated`, `footer` (None where the segment was not
    sealed), `footer_moved` (it was written for another place), `found` (what the index should say: an entry for each
    block met in its turn) and `next_sequence` once it ran to its end, and is counted anew when it runs again.

    `being_written` is False until somebody who asked the folder sets it: a torn end is then a block on its way.

    A damaged preamble is a finding: its facts are taken from the footer, or, in a segment without one, from the first
    block as far as that goes (`market` is then `UNKNOWN_MARKET`).

    Raises:
        Unreadable: the file cannot be opened or read.
        NotACapture: it does not begin like a capture.
        DamagedPart: it does, its preamble is not whole, and nothing else in it says what it is.
        NewerFormat: it was written in a later format version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.size = path.stat().st_size
        except OSError as error:
            raise Unreadable(path, error.strerror or str(error)) from error
        self.being_written = False
        self._preamble_flaw: Finding | None = None
        self.preamble = self._first_part()
        self._index: tuple[IndexEntry, ...] | None = None
        self._forget()

    @property
    def sealed_name(self) -> bool:
        """Whether the file has the name of a sealed segment."""
        return not self.path.name.endswith(PART_SUFFIX)

    @property
    def preamble_damaged(self) -> bool:
        """Whether `preamble` was put together from what else the file says."""
        return self._preamble_flaw is not None

    @property
    def first_sequence(self) -> int:
        """Sequence of the segment's first block."""
        before = self.preamble.previous_sequence
        return 0 if before is None else before + 1

    def _forget(self) -> None:
        self.findings: list[Finding] = [] if self._preamble_flaw is None else [self._preamble_flaw]
        self.damaged_blocks = 0
        self.missing_blocks = 0
        self.lost_records: int | None = 0
        self.truncated = False
        self.footer: Footer | None = None
        self.footer_moved = False
        self.found: list[IndexEntry] = []
        self.next_sequence = self.first_sequence
        self._absent: list[range] = []
        self._torn: dict[int, BlockHeader] = {}

    def _first_part(self) -> Preamble:
        """Read no more than it takes to know whether the file begins with a preamble."""
        decoder = Decoder()
        head = b""
        parts: list[Part] = []
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
        return self._without_preamble(head, flaw)

    def _without_preamble(self, head: bytes, flaw: str) -> Preamble:
        footer = read_footer(self.path)
        if footer is not None and footer.preamble is not None:
            self._preamble_flaw = Finding(self.path, 0, f"preamble: {flaw}; the footer's copy is used")
            return footer.preamble
        frame_magic = FRAME.pack(SKIPPABLE_MAGIC, 0)[:4]
        magic = head[FRAME.size : FRAME.size + len(PREAMBLE_MAGIC)]
        begins_like_one = head.startswith(frame_magic) or magic == PREAMBLE_MAGIC
        guessed = self._from_first_block() if begins_like_one and magic else None
        if guessed is not None:
            self._preamble_flaw = Finding(self.path, 0, f"preamble: {flaw}; what its first block says is used")
            return guessed
        if head.startswith(frame_magic) and magic and PREAMBLE_MAGIC.startswith(magic):
            raise DamagedPart(self.path, 0, flaw)
        found = f"a file that begins with {head[:16]!r}" if head else "an empty file"
        raise NotACapture(self.path, found, "a capture segment (*.hcap.zst)")

    def _from_first_block(self) -> Preamble | None:
        first: int | None = None
        for part in self.parts():
            if not isinstance(part, StoredBlock):
                continue
            header = part.header
            first = header.sequence if first is None else first
            if header.records:  # one with notes alone has no times, which tell the time base
                return Preamble(
                    capture_id=header.capture_id.hex(),
                    segment=0,
                    previous_sequence=first - 1 if first else None,
                    market=UNKNOWN_MARKET,
                    time_base=TimeBase.WALL if header.min_mono_ns == NONE_NS else TimeBase.MONOTONIC,
                    expects_snapshots=False,
                    created_ns=0,
                    hftcap="",
                )
        return None

    def adopt(self, sibling: Preamble) -> None:
        """Take what a damaged preamble no longer says from another segment of the same recording."""
        if self.preamble.market == UNKNOWN_MARKET and self.preamble.capture_id == sibling.capture_id:
            number = sibling.segment + 1
            self.preamble = replace(sibling, segment=number, previous_sequence=self.preamble.previous_sequence)

    def parts(self, offset: int = 0) -> Iterator[Part]:
        """Yield every part from byte `offset` on, blocks still compressed, damage in its place."""
        try:
            with self.path.open("rb") as file:
                while True:
                    while (block := read_block(file, offset)) is not None:
                        offset += block.header.block_bytes
                        yield block
                        del block  # its reader may have let go of it as well
                    decoder = Decoder(offset)
                    yield from self._parts_with(decoder, file)
                    if decoder.ended:
                        return
                    offset = decoder.offset
        except OSError as error:
            raise Unreadable(self.path, error.strerror or str(error)) from error

    def _parts_with(self, decoder: Decoder, file: BinaryIO) -> Iterator[Part]:
        """Yield what a decoder makes of the bytes from its offset on, up to where all is in order again, or the end."""
        file.seek(decoder.offset)
        while data := file.read(_READ_BYTES):
            parts = decoder.feed(data)
            yield from parts
            if parts and decoder.flaw is None:
                return
        yield from decoder.finish()

    def index(self) -> tuple[IndexEntry, ...]:
        """Return the index, from the footer or rebuilt from the blocks' headers; no block is opened."""
        if self._index is None:
            footer = read_footer(self.path)
            self._index = footer.entries if footer is not None else tuple(hop(self.path, self._first_offset()))
        return self._index

    def footer_crc(self) -> int | None:
        """Return the checksum of the footer, which stands for the whole file; None where it is not sealed."""
        return read_footer_crc(self.path)

    def _first_offset(self) -> int:
        return next((part.offset for part in self.parts() if isinstance(part, StoredBlock)), self.size)

    def position(self, sequence: int) -> int:
        """Return a block's position in this segment: how many sequence numbers stand before it."""
        return sequence - self.first_sequence

    def blocks(self, start: IndexEntry | None = None, opening: Opening = ONE_BY_ONE) -> Iterator[tuple[int, Block]]:
        """Yield (position, block) for every block that is whole and in its turn, from `start` on."""
        self._forget()
        if start is not None:
            self.next_sequence = start.sequence
        first = start is None
        for part, opened in opening(self.parts(0 if start is None else start.offset), self.preamble.time_base):
            if isinstance(part, StoredBlock):
                assert opened is not None  # noqa: S101  a block can be opened
                if self.footer is not None:
                    self._find(part.offset, "a block stands after the footer")
                position, block = self.position(part.header.sequence), self._judge(part, opened)
                del part, opened
                if block is not None:
                    yield position, block
                del block  # its memory serves for the next, where nobody else holds it
            elif isinstance(part, Damage):
                self._damage(part)
            elif isinstance(part, Footer):
                self._close(part)
            elif not first:
                self._find(self.size, "a second preamble: files were joined")
            first = False
        self._settle()

    def _damage(self, damage: Damage) -> None:
        if damage.offset == 0 and self._preamble_flaw is not None:
            return  # the preamble itself, which is listed already
        footer = self._moved_footer(damage)
        if footer is not None:
            self._find(damage.offset, f"no footer belongs here, and this one says as much: {damage.what}")
            self.footer_moved = True
            self._close(footer)
            return
        if damage.tail and self.being_written:
            return
        self._find(damage.offset, f"{damage.length} bytes passed over: {damage.what}")
        header = damage.header
        if header is not None and header.capture_id.hex() == self.preamble.capture_id:
            self._torn[header.sequence] = header
        if damage.tail and not self.sealed_name:
            # A segment that was never sealed loses what its last, torn block was to hold, and nothing else; where
            # more was passed over than that block, other blocks were in it.
            self.lose(header.records if header is not None and damage.length <= header.block_bytes else None)

    def _moved_footer(self, damage: Damage) -> Footer | None:
        """Return the footer that the last bytes of the file are, whole but for standing elsewhere than it says."""
        if not damage.tail or damage.length > FRAME.size + FOOTER_MAX:
            return None
        try:
            with self.path.open("rb") as file:
                file.seek(damage.offset)
                head = file.read(FRAME.size + len(FOOTER_MAGIC))
                if not head.endswith(FOOTER_MAGIC) or damage.length < len(head) + TAIL.size:
                    return None
                frame = head + file.read(damage.length - len(head))
        except OSError as error:
            raise Unreadable(self.path, error.strerror or str(error)) from error
        if FRAME.unpack_from(frame) != (SKIPPABLE_MAGIC, len(frame) - FRAME.size):
            return None
        written_for, _, _ = TAIL.unpack_from(frame, len(frame) - TAIL.size)
        footer = unpack_footer(frame[FRAME.size :], written_for)
        return None if isinstance(footer, Flaw) else footer

    def _judge(self, stored: StoredBlock, opened: Opened) -> Block | None:
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
        self.next_sequence = header.next_sequence
        self.found.append(IndexEntry.of(stored.offset, header))
        block = opened()
        if isinstance(block, Flaw):
            self._spoilt(stored.offset, header, block)
            return None
        return block

    def _spoilt(self, offset: int, header: BlockHeader, flaw: Flaw) -> None:
        self.damaged_blocks += 1
        self.lose(header.records)
        self._find(offset, f"block {header.sequence}: {flaw.what}")

    def _close(self, footer: Footer) -> None:
        repeated = footer.preamble
        if repeated is not None and repeated.capture_id != self.preamble.capture_id:
            self._find(self.size, f"footer of another capture, {repeated.capture_id}")
            return
        self.footer = footer
        if footer.entries:
            end = footer.entries[-1].next_sequence
            self._miss(end, self.size)
            self.next_sequence = max(self.next_sequence, end)

    def _miss(self, found: int, offset: int) -> None:
        missing = found - self.next_sequence
        if missing > 0:
            self.missing_blocks += missing
            self._absent.append(range(self.next_sequence, found))
            first = self.next_sequence
            which = f"block {first} is" if missing == 1 else f"{missing} blocks from {first} are"
            self._find(offset, f"{which} missing")

    def _settle(self) -> None:
        """Say what only the end of the segment can tell."""
        self.truncated = self.footer is None
        if self.truncated and self.sealed_name:
            self._find(self.size, "no footer: the segment is cut")
            self.lose(None)
        promised = {} if self.footer is None else {entry.sequence: entry for entry in self.footer.entries}
        for absent in self._absent:
            at = absent.start
            while at < absent.stop:
                told = promised.get(at) or self._torn.get(at)
                self.lose(None if told is None else told.records)
                at = absent.stop if told is None else told.next_sequence

    def lose(self, records: int | None) -> None:
        """Count lost records; None, once said, stays."""
        self.lost_records = None if records is None or self.lost_records is None else self.lost_records + records

    def _find(self, offset: int, what: str) -> None:
        self.findings.append(Finding(self.path, offset, what))
