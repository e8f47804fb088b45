"""The wire layout of a capture segment: every struct, magic and limit of format version 1.

    file     = preamble block* footer                 little-endian; skippable frames use magic 0x184D2A53
    preamble = skippable { magic 8 | version u16 | flags u16 | length u32 | JSON | crc32 }
    block    = skippable { header 128 | columns | notes } + zstd frame { payloads }
    footer   = skippable { magic 8 | version u16 | flags u16 | entries u32 | length u32 | entries | JSON | tail 16 }

    header   0 magic 8            8 version u16         10 flags u16          12 records u32
            16 sequence u64      24 capture id 8        32 wall offset i64
            40 min mono i64      48 max mono i64        56 min recv i64       64 max recv i64
            72 offset error u32  76 columns stored u32  80 columns raw u32    84 notes stored u32
            88 notes raw u32     92 payloads stored u32 96 payloads raw u32  100 crc32 of columns and notes
           104 payload check u32 108 span u32          112 reserved 12       124 crc32 of bytes 0..124

The normative text is docs/format.md. This module packs and unpacks; what it is given and does not accept comes
back as a `Flaw`, a value, because damage is a normal input of a reader.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum, IntFlag, StrEnum

from msgspec import Struct
from msgspec.structs import astuple

FORMAT_VERSION = 1
SKIPPABLE_MAGIC = 0x184D2A53
PREAMBLE_MAGIC = b"\x89HFTCAP\n"
BLOCK_MAGIC = b"\x89HCBLOCK"
FOOTER_MAGIC = b"\x89HCINDEX"
TAIL_MAGIC = b"HCAP"

NONE_NS = -(2**63)
"""A time or lag that was not recorded."""

PAYLOAD_MAX = 16 << 20
BLOCK_RAW_MAX = 64 << 20
RECORDS_MAX = 1 << 20
NOTES_RAW_MAX = 16 << 20
JSON_MAX = 16 << 20
ENTRIES_MAX = 1 << 24
COLUMN_BYTES = 24
"""Bytes per record in the columns before compression: 4 + 8 + 8 + 1 + 2 + 1."""

FRAME = struct.Struct("<II")
PREAMBLE_HEAD = struct.Struct("<8sHHI")
BLOCK_HEAD = struct.Struct("<8sHHIQ8sqqqqqIIIIIIIIII12s")
FOOTER_HEAD = struct.Struct("<8sHHII")
FOOTER_ENTRY = struct.Struct("<QQqqqqIIII")
TAIL = struct.Struct("<QI4s")
CRC = struct.Struct("<I")
BLOCK_HEADER_BYTES = BLOCK_HEAD.size + CRC.size
FOOTER_MAX = FOOTER_HEAD.size + FOOTER_ENTRY.size * ENTRIES_MAX + JSON_MAX + TAIL.size
BLOCK_LEAST = FRAME.size + BLOCK_HEADER_BYTES
"""No block is shorter than this on disk, which bounds the entries of a footer by where it stands."""

assert BLOCK_HEADER_BYTES == 128  # noqa: S101  the layout above, checked where it is declared
assert TAIL.size == 16  # noqa: S101


class Kind(IntEnum):
    """What a payload is."""

    WS_TEXT = 1
    WS_BINARY = 2
    REST = 3


class RecordFlags(IntFlag):
    """What the reader of the socket knew when it stamped a record."""

    LAST_OF_READ = 1
    DRAINED = 2


class TimeBase(StrEnum):
    """Which clock the time column holds."""

    MONOTONIC = "monotonic"
    WALL = "wall"


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with bytes that were to be a part of a capture, in words."""

    what: str


class BlockHeader(Struct, frozen=True, gc=False):
    """The fixed header of a block, in wire order; times in nanoseconds, `NONE_NS` where a clock has no value."""

    records: int
    sequence: int
    capture_id: bytes
    wall_offset_ns: int
    min_mono_ns: int
    max_mono_ns: int
    min_recv_ns: int
    max_recv_ns: int
    wall_error_ns: int
    columns_stored: int
    columns_raw: int
    notes_stored: int
    notes_raw: int
    payloads_stored: int
    payloads_raw: int
    crc_columns_notes: int
    payload_check: int
    span: int = 1

    def pack(self) -> bytes:
        """Return the 128 bytes of the header, its own crc32 included."""
        head = BLOCK_HEAD.pack(BLOCK_MAGIC, FORMAT_VERSION, 0, *astuple(self), bytes(12))
        return head + CRC.pack(zlib.crc32(head))

    @property
    def next_sequence(self) -> int:
        """Sequence of the block that follows."""
        return self.sequence + self.span

    @property
    def frame_bytes(self) -> int:
        """Length that the skippable frame around this header must have."""
        return BLOCK_HEADER_BYTES + self.columns_stored + self.notes_stored

    @property
    def block_bytes(self) -> int:
        """Length of the whole block on disk, both frames and their headers included."""
        return FRAME.size + self.frame_bytes + self.payloads_stored


def stored_most(raw: int) -> int:
    """Return the largest size that `raw` bytes may have in a zstd frame: a little above libzstd's own bound."""
    return raw + (raw >> 8) + 128 if raw else 0


def unpack_block_header(content: bytes) -> BlockHeader | Flaw:
    """Read a block header and check it against the format's limits; `content` holds at least 128 bytes."""
    magic, version, _flags, *fields, _reserved = BLOCK_HEAD.unpack_from(content)
    if magic != BLOCK_MAGIC:
        return Flaw(f"block magic is {magic.hex()}, expected {BLOCK_MAGIC.hex()}")
    (expected,) = CRC.unpack_from(content, BLOCK_HEAD.size)
    actual = zlib.crc32(content[: BLOCK_HEAD.size])
    if actual != expected:
        return Flaw(f"block header crc32 is {actual:08x}, expected {expected:08x}")
    if version != FORMAT_VERSION:
        return Flaw(f"block version is {version}, expected {FORMAT_VERSION}")
    header = BlockHeader(*fields)
    if not header.span:
        return Flaw("block spans no sequence number")
    if header.records > RECORDS_MAX:
        return Flaw(f"block of {header.records} records, at most {RECORDS_MAX} are allowed")
    if header.columns_raw != header.records * COLUMN_BYTES:
        return Flaw(f"columns of {header.columns_raw} bytes for {header.records} records")
    if bool(header.payloads_raw) != bool(header.records):
        return Flaw(f"{header.payloads_raw} payload bytes for {header.records} records")
    for name, stored, raw, most in (
        ("columns", header.columns_stored, header.columns_raw, RECORDS_MAX * COLUMN_BYTES),
        ("notes", header.notes_stored, header.notes_raw, NOTES_RAW_MAX),
        ("payloads", header.payloads_stored, header.payloads_raw, BLOCK_RAW_MAX),
    ):
        if raw > most or stored > stored_most(raw) or bool(stored) != bool(raw):
            return Flaw(f"{name} of {raw} bytes stored in {stored}, at most {most} are allowed")
    return header
