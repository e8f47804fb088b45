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
           104 payload check u32                       108 reserved 16       124 crc32 of bytes 0..124

The normative text is docs/format.md. This module packs and unpacks; what it is given and does not accept comes
back as a `Flaw`, a value, because damage is a normal input of a reader.
"""

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, field
from enum import IntEnum, IntFlag, StrEnum
from typing import Any, ClassVar, TypedDict, cast

from hftcap.errors import OverLimit

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
BLOCK_HEAD = struct.Struct("<8sHHIQ8sqqqqqIIIIIIIII16s")
FOOTER_HEAD = struct.Struct("<8sHHII")
FOOTER_ENTRY = struct.Struct("<QQqqqqII")
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


@dataclass(frozen=True, slots=True)
class Preamble:
    """What holds for a whole segment; JSON on disk, unknown keys ignored.

    `capture_id` is 16 hex digits, the same in all segments of a recording. `previous_sequence` is the sequence of
    the last block written before this segment, None where there was none. `timeline_offset_ns` is the wall offset of
    the recording's first block, so that a segment read alone has the timeline it has among the others; None: take
    that of the first block at hand. `created_ns` is epoch nanoseconds by this host's clock.
    """

    capture_id: str
    segment: int
    previous_sequence: int | None
    market: str
    time_base: TimeBase
    expects_snapshots: bool
    created_ns: int
    hftcap: str
    urls: list[str] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    host: str | None = None
    boot_id: str | None = None
    source: dict[str, Any] | None = None  # Any: what another tool said of itself, kept as it was
    timeline_offset_ns: int | None = None

    def pack(self) -> bytes:
        """Return the preamble as a whole skippable frame.

        Raises:
            OverLimit: the JSON exceeds 16 MiB.
        """
        # ASCII, because text from outside may hold lone surrogates, which have no UTF-8.
        text = json.dumps(asdict(self), separators=(",", ":")).encode()
        if len(text) > JSON_MAX:
            raise OverLimit("preamble JSON in bytes", len(text), JSON_MAX)
        content = PREAMBLE_HEAD.pack(PREAMBLE_MAGIC, FORMAT_VERSION, 0, len(text)) + text
        content += CRC.pack(zlib.crc32(content))
        return FRAME.pack(SKIPPABLE_MAGIC, len(content)) + content


@dataclass(frozen=True, slots=True)
class Newer:
    """A preamble of a later format version: intact, and not for this release."""

    version: int


def unpack_preamble(content: bytes) -> Preamble | Newer | Flaw:
    """Read the content of the first skippable frame of a segment."""
    if len(content) < PREAMBLE_HEAD.size + CRC.size:
        return Flaw(f"preamble of {len(content)} bytes is too short")
    magic, version, _flags, length = PREAMBLE_HEAD.unpack_from(content)
    if magic != PREAMBLE_MAGIC:
        return Flaw(f"preamble magic is {magic.hex()}, expected {PREAMBLE_MAGIC.hex()}")
    end = PREAMBLE_HEAD.size + length
    if end + CRC.size != len(content):
        return Flaw(f"preamble says {length} bytes of JSON, its frame has room for {len(content) - end + length - 4}")
    (expected,) = CRC.unpack_from(content, end)
    actual = zlib.crc32(content[:end])
    if actual != expected:
        return Flaw(f"preamble crc32 is {actual:08x}, expected {expected:08x}")
    if version > FORMAT_VERSION:
        return Newer(version)
    if not version:
        return Flaw("preamble version is 0")
    values = _object_from_json("preamble", content[PREAMBLE_HEAD.size : end], _PREAMBLE_KEYS)
    if isinstance(values, Flaw):
        return values
    return Preamble(**values | {"time_base": TimeBase(values["time_base"])})


def _is_int(value: object) -> bool:
    return type(value) is int  # bool, which is an int to isinstance, is another type in JSON


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_id(value: object) -> bool:
    return isinstance(value, str) and len(value) == 16 and set(value) <= set("0123456789abcdef")


def _or_null(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


_Keys = dict[str, tuple[bool, Callable[[object], bool]]]
"""JSON keys: whether each must be there, and which values are accepted."""

_PREAMBLE_KEYS: _Keys = {
    "capture_id": (True, _is_id),
    "segment": (True, _is_count),
    "previous_sequence": (True, _or_null(_is_count)),
    "market": (True, _is_text),
    "time_base": (True, lambda value: isinstance(value, str) and value in set(TimeBase)),
    "expects_snapshots": (True, lambda value: isinstance(value, bool)),
    "created_ns": (True, _is_int),
    "hftcap": (True, _is_text),
    "urls": (False, _is_texts),
    "streams": (False, _is_texts),
    "symbols": (False, _is_texts),
    "host": (False, _or_null(_is_text)),
    "boot_id": (False, _or_null(_is_text)),
    "source": (False, _or_null(lambda value: isinstance(value, dict))),
    "timeline_offset_ns": (False, _or_null(_is_int)),
}
_TOTALS_KEYS: _Keys = {
    "records": (True, _is_count),
    "payload_bytes": (True, _is_count),
    "by_kind": (True, lambda value: isinstance(value, dict) and all(map(_is_count, value.values()))),
    "losses": (True, _is_count),
    "first_recv_ns": (True, _or_null(_is_int)),
    "last_recv_ns": (True, _or_null(_is_int)),
}


def _object_from_json(name: str, text: bytes, keys: _Keys) -> dict[str, Any] | Flaw:  # Any: JSON, checked by key
    """Read a JSON object; return the keys that are known, each of its type."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Flaw(f"{name} JSON cannot be read: {error}")
    if not isinstance(values, dict):
        return Flaw(f"{name} JSON is not an object")
    for key, (required, accepts) in keys.items():
        if key not in values:
            if required:
                return Flaw(f"{name} JSON has no {key}")
        elif not accepts(values[key]):
            return Flaw(f"{name} JSON: {key} cannot be {values[key]!r:.60}")
    return {key: values[key] for key in keys if key in values}


@dataclass(frozen=True, slots=True)
class BlockHeader:
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

    def pack(self) -> bytes:
        """Return the 128 bytes of the header, its own crc32 included."""
        head = BLOCK_HEAD.pack(BLOCK_MAGIC, FORMAT_VERSION, 0, *astuple(self), bytes(16))
        return head + CRC.pack(zlib.crc32(head))

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


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """Where a block stands and what it spans; `offset` counts from the start of the file."""

    offset: int
    sequence: int
    min_mono_ns: int
    max_mono_ns: int
    min_recv_ns: int
    max_recv_ns: int
    records: int
    raw_bytes: int

    def pack(self) -> bytes:
        """Return the entry's 56 bytes."""
        return FOOTER_ENTRY.pack(
            self.offset,
            self.sequence,
            self.min_mono_ns,
            self.max_mono_ns,
            self.min_recv_ns,
            self.max_recv_ns,
            self.records,
            self.raw_bytes,
        )


class Totals(TypedDict):
    """What a footer's JSON says of its segment; times are the least and the greatest `recv_ns`, None without records.

    `losses` sums the counts of the notes of kind loss.
    """

    records: int
    payload_bytes: int
    by_kind: dict[str, int]
    losses: int
    first_recv_ns: int | None
    last_recv_ns: int | None


@dataclass(frozen=True, slots=True)
class Footer:
    """The index and the totals that seal a segment; unknown keys of the totals are ignored."""

    entries: tuple[IndexEntry, ...]
    totals: Totals
    version: ClassVar[int] = FORMAT_VERSION

    def pack(self, offset: int) -> bytes:
        """Return the footer as a whole skippable frame that starts at byte `offset` of the file."""
        text = json.dumps(self.totals, separators=(",", ":")).encode()
        content = FOOTER_HEAD.pack(FOOTER_MAGIC, FORMAT_VERSION, 0, len(self.entries), len(text))
        content += b"".join(entry.pack() for entry in self.entries) + text
        content += TAIL.pack(offset, zlib.crc32(content), TAIL_MAGIC)
        return FRAME.pack(SKIPPABLE_MAGIC, len(content)) + content


def unpack_footer(content: bytes, offset: int) -> Footer | Flaw:
    """Read the content of a footer frame found at byte `offset` of the file."""
    if len(content) < FOOTER_HEAD.size + TAIL.size:
        return Flaw(f"footer of {len(content)} bytes is too short")
    magic, version, _flags, entries, length = FOOTER_HEAD.unpack_from(content)
    if magic != FOOTER_MAGIC:
        return Flaw(f"footer magic is {magic.hex()}, expected {FOOTER_MAGIC.hex()}")
    text_at = FOOTER_HEAD.size + entries * FOOTER_ENTRY.size
    tail_at = text_at + length
    if tail_at + TAIL.size != len(content):
        return Flaw(f"footer says {entries} entries and {length} bytes of JSON, its frame has {len(content)} bytes")
    own_offset, expected, tail_magic = TAIL.unpack_from(content, tail_at)
    actual = zlib.crc32(content[:tail_at])
    if actual != expected:
        return Flaw(f"footer crc32 is {actual:08x}, expected {expected:08x}")
    if tail_magic != TAIL_MAGIC:
        return Flaw(f"footer ends with {tail_magic.hex()}, expected {TAIL_MAGIC.hex()}")
    if own_offset != offset:
        return Flaw(f"footer was written for byte {own_offset}")
    if version != FORMAT_VERSION:
        return Flaw(f"footer version is {version}, expected {FORMAT_VERSION}")
    totals = _object_from_json("footer", content[text_at:tail_at], _TOTALS_KEYS)
    if isinstance(totals, Flaw):
        return totals
    rows = FOOTER_ENTRY.iter_unpack(content[FOOTER_HEAD.size : text_at])
    # cast: every key of Totals was checked to be there and of its type.
    return Footer(tuple(IndexEntry(*row) for row in rows), cast(Totals, totals))
