"""Sans-I/O decoder of a segment: bytes in, parts out. The single reader of the wire layout.

Feed it bytes in pieces of any size and it returns the parts that became whole: preamble, stored blocks, footer.
Where bytes are not what the layout demands it looks for the next part that is intact and returns a `Damage` with
the extent it passed over. It never raises on any input, and never waits for more than a part's own bounds allow.
"""

import zlib
from dataclasses import dataclass
from typing import BinaryIO

from msgspec import Struct

from hftcap.capture.footer import Footer, unpack_footer
from hftcap.capture.format import (
    BLOCK_HEADER_BYTES,
    BLOCK_LEAST,
    BLOCK_MAGIC,
    CRC,
    ENTRIES_MAX,
    FOOTER_ENTRY,
    FOOTER_HEAD,
    FOOTER_MAGIC,
    FRAME,
    JSON_MAX,
    PREAMBLE_HEAD,
    PREAMBLE_MAGIC,
    SKIPPABLE_MAGIC,
    TAIL,
    BlockHeader,
    Flaw,
    unpack_block_header,
)
from hftcap.capture.preamble import Newer, Preamble, unpack_preamble

_HEAD_BYTES = FRAME.size + len(BLOCK_MAGIC)
_MAGIC_PREFIX = b"\x89H"


class StoredBlock(Struct, frozen=True):
    """A block as it stands on disk, header checked; `body` is columns, notes and payload frame, still compressed."""

    offset: int
    header: BlockHeader
    body: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are no part of it: where they begin, how many, what was wrong first.

    `tail` says that the bytes ran out before a next part was found: the segment is cut, or still being written.
    `header` is that of the block with which the bytes begin, where it is whole: what was to stand there.
    """

    offset: int
    length: int
    what: str
    tail: bool = False
    header: BlockHeader | None = None


@dataclass(frozen=True, slots=True)
class _Need:
    """More bytes are wanted before anything can be said."""


@dataclass(frozen=True, slots=True)
class _Whole:
    """A part that is complete, and its length on disk."""

    part: Preamble | Newer | StoredBlock | Footer
    length: int


Part = Preamble | Newer | StoredBlock | Footer | Damage


class Decoder:
    """Turn the bytes of one segment into parts.

    `offset` is where in the file the first byte fed stands: 0, or the offset of a block taken from the index.
    """

    def __init__(self, offset: int = 0) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._base = offset
        self._flaw: str | None = None  # set while searching for the next intact part
        self._flaw_offset = 0
        self._flaw_header: BlockHeader | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether it was said that no more bytes follow."""
        return self._ended

    @property
    def flaw(self) -> str | None:
        """What is wrong with the bytes that are being passed over; None while all is in order."""
        return self._flaw

    @property
    def offset(self) -> int:
        """Offset in the file of the next byte that belongs to no part returned so far."""
        return self._base + self._at

    def feed(self, data: bytes | memoryview) -> list[Part]:
        """Take more bytes; return the parts they complete, in file order."""
        self._buffer += data
        parts = self._advance()
        del self._buffer[: self._at]
        self._base += self._at
        self._at = 0
        return parts

    def finish(self) -> list[Part]:
        """Say that no more bytes follow; return what is wrong with those left over, if any are."""
        parts: list[Part] = []
        self._ended = True
        parts += self._advance()
        while self._at < len(self._buffer):
            # What waits for bytes that never come is flawed: what stands behind its first byte may be whole.
            if self._flaw is None:
                self._begin_search("the bytes end inside a part")
            self._at += 1
            parts += self._advance()
        if self._flaw is not None:
            length = self._base + len(self._buffer) - self._flaw_offset
            parts.append(Damage(self._flaw_offset, length, self._flaw, tail=True, header=self._flaw_header))
            self._flaw = None
        self._base += len(self._buffer)
        self._buffer.clear()
        self._at = 0
        return parts

    def _advance(self) -> list[Part]:
        parts: list[Part] = []
        while True:
            if self._flaw is not None and not self._search():
                return parts
            found = self._part_at(self._at)
            if isinstance(found, _Need):
                return parts
            if isinstance(found, Flaw):
                if self._flaw is None and not self._ended and len(self._buffer) - self._at < BLOCK_LEAST:
                    return parts  # so that the header there is seen, in whatever pieces the bytes come
                self._begin_search(found.what)
                self._at += 1
                continue
            if self._flaw is not None:
                length = self.offset - self._flaw_offset
                parts.append(Damage(self._flaw_offset, length, self._flaw, header=self._flaw_header))
                self._flaw = None
            parts.append(found.part)
            self._at += found.length

    def _begin_search(self, what: str) -> None:
        if self._flaw is None:
            self._flaw = what
            self._flaw_offset = self.offset
            self._flaw_header = self._header_here()

    def _header_here(self) -> BlockHeader | None:
        body_at = self._at + FRAME.size + BLOCK_HEADER_BYTES
        if len(self._buffer) < body_at:
            return None
        header = unpack_block_header(self._copy(self._at + FRAME.size, body_at))
        return None if isinstance(header, Flaw) else header

    def _search(self) -> bool:
        """Move to the next place where a part could begin; False where the buffer holds none."""
        while True:
            magic = self._buffer.find(_MAGIC_PREFIX, self._at + FRAME.size)
            if magic < 0:
                # A magic may be cut by the end of the buffer: keep what could be its beginning.
                self._at = max(self._at, len(self._buffer) - FRAME.size - len(_MAGIC_PREFIX) + 1)
                return False
            self._at = magic - FRAME.size
            if len(self._buffer) - self._at < _HEAD_BYTES:
                return False
            if self._frame_head(self._at)[2] is not None:
                return True
            self._at += 1

    def _frame_head(self, at: int) -> tuple[int, int, bytes | None]:
        """Return frame magic, frame length, and the part's magic where it is one of ours."""
        frame_magic, length = FRAME.unpack_from(self._buffer, at)
        magic = bytes(self._buffer[at + FRAME.size : at + _HEAD_BYTES])
        known = frame_magic == SKIPPABLE_MAGIC and magic in (BLOCK_MAGIC, FOOTER_MAGIC, PREAMBLE_MAGIC)
        return frame_magic, length, magic if known else None

    def _part_at(self, at: int) -> _Whole | _Need | Flaw:
        if len(self._buffer) - at < _HEAD_BYTES:
            return _Need()
        frame_magic, length, magic = self._frame_head(at)
        if magic is None:
            if frame_magic != SKIPPABLE_MAGIC:
                return Flaw(f"found frame magic {frame_magic:08x}, expected {SKIPPABLE_MAGIC:08x}")
            found = bytes(self._buffer[at + FRAME.size : at + _HEAD_BYTES])
            return Flaw(f"found part magic {found.hex()}, expected a block or the footer")
        if magic == BLOCK_MAGIC:
            return self._block_at(at, length)
        head = PREAMBLE_HEAD if magic == PREAMBLE_MAGIC else FOOTER_HEAD
        if len(self._buffer) < at + FRAME.size + head.size:
            return _Need()
        # Held against each other and the limits before any byte is awaited: a wrong length must not swallow the file.
        promised = self._preamble_bytes(at) if magic == PREAMBLE_MAGIC else self._footer_bytes(at)
        if isinstance(promised, Flaw):
            return promised
        if length != promised:
            return Flaw(f"frame of {length} bytes, its content promises {promised}")
        end = at + FRAME.size + length
        if len(self._buffer) < end:
            return _Need()
        content = self._copy(at + FRAME.size, end)
        part = unpack_preamble(content) if magic == PREAMBLE_MAGIC else unpack_footer(content, self._base + at)
        return part if isinstance(part, Flaw) else _Whole(part, FRAME.size + length)

    def _preamble_bytes(self, at: int) -> int | Flaw:
        text: int = PREAMBLE_HEAD.unpack_from(self._buffer, at + FRAME.size)[3]
        if text > JSON_MAX:
            return Flaw(f"preamble promises {text} bytes of JSON, at most {JSON_MAX} are allowed")
        return PREAMBLE_HEAD.size + text + CRC.size

    def _footer_bytes(self, at: int) -> int | Flaw:
        entries: int
        text: int
        *_, entries, text = FOOTER_HEAD.unpack_from(self._buffer, at + FRAME.size)
        before = (self._base + at) // BLOCK_LEAST
        if entries > min(before, ENTRIES_MAX) or text > JSON_MAX:
            return Flaw(f"footer promises {entries} entries and {text} bytes of JSON after at most {before} blocks")
        return FOOTER_HEAD.size + FOOTER_ENTRY.size * entries + text + TAIL.size

    def _copy(self, begin: int, end: int) -> bytes:
        with memoryview(self._buffer) as view:  # released at once: a bytearray that is looked into cannot be cut
            return bytes(view[begin:end])

    def _block_at(self, at: int, length: int) -> _Whole | _Need | Flaw:
        body_at = at + FRAME.size + BLOCK_HEADER_BYTES
        if len(self._buffer) < body_at:
            return _Need()
        header = unpack_block_header(self._copy(at + FRAME.size, body_at))
        if isinstance(header, Flaw):
            return header
        if length != header.frame_bytes:
            return Flaw(f"block frame says {length} bytes, its header {header.frame_bytes}")
        end = at + header.block_bytes
        if len(self._buffer) < end:
            return _Need()
        body = self._copy(body_at, end)
        if not _ends_in_place(header, body):
            # Either its end is damaged, and the next part follows; or bytes are missing or too many, and the next
            # part begins elsewhere, perhaps inside what would be taken for this block.
            follows = bytes(self._buffer[end : end + CRC.size])
            if len(follows) < CRC.size:
                return _Need()
            if follows != CRC.pack(SKIPPABLE_MAGIC):
                return Flaw(f"block {header.sequence} does not end where its header says")
        return _Whole(StoredBlock(self._base + at, header, body), header.block_bytes)


def read_block(file: BinaryIO, offset: int) -> StoredBlock | None:
    """Read the block that stands whole at an offset; None where another part does, or anything is out of order.

    What a `Decoder` makes of most blocks, with two reads and no copy. `file` is left anywhere.
    """
    file.seek(offset)
    head = file.read(FRAME.size + BLOCK_HEADER_BYTES)
    if len(head) < FRAME.size + BLOCK_HEADER_BYTES or head[FRAME.size : _HEAD_BYTES] != BLOCK_MAGIC:
        return None
    frame_magic, length = FRAME.unpack_from(head)
    header = unpack_block_header(head[FRAME.size :])
    if frame_magic != SKIPPABLE_MAGIC or isinstance(header, Flaw) or length != header.frame_bytes:
        return None
    rest = header.block_bytes - len(head)
    body = file.read(rest)
    if len(body) < rest or not _ends_in_place(header, body):
        return None
    return StoredBlock(offset, header, body)


def _ends_in_place(header: BlockHeader, body: bytes) -> bool:
    """Say whether the last bytes of a block are those its header was written for, without opening it."""
    if header.payloads_stored:
        return body.endswith(CRC.pack(header.payload_check))
    return zlib.crc32(body) == header.crc_columns_notes
