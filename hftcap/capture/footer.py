"""The footer of a segment: the index of its blocks, the totals, and the preamble once more.

footer = skippable { magic 8 | version u16 | flags u16 | entries u32 | length u32 | entries | JSON | tail 16 }
"""

import json
import zlib
from dataclasses import asdict, dataclass
from typing import ClassVar, Self, TypedDict, cast

from msgspec import Struct

from hftcap.capture.format import (
    FOOTER_ENTRY,
    FOOTER_HEAD,
    FOOTER_MAGIC,
    FORMAT_VERSION,
    FRAME,
    JSON_MAX,
    SKIPPABLE_MAGIC,
    TAIL,
    TAIL_MAGIC,
    BlockHeader,
    Flaw,
)
from hftcap.capture.preamble import Keys, Preamble, is_count, is_int, object_from_json, or_null, preamble_from_json

_TOTALS_KEYS: Keys = {
    "records": (True, is_count),
    "payload_bytes": (True, is_count),
    "by_kind": (True, lambda value: isinstance(value, dict) and all(map(is_count, value.values()))),
    "losses": (True, is_count),
    "first_recv_ns": (True, or_null(is_int)),
    "last_recv_ns": (True, or_null(is_int)),
    "preamble": (False, lambda value: isinstance(value, dict)),
}


class IndexEntry(Struct, frozen=True, gc=False):
    """Where a block stands and what it spans; `offset` counts from the start of the file."""

    offset: int
    sequence: int
    min_mono_ns: int
    max_mono_ns: int
    min_recv_ns: int
    max_recv_ns: int
    records: int
    raw_bytes: int
    span: int = 1

    @classmethod
    def of(cls, offset: int, header: BlockHeader) -> Self:
        """Return the entry of the block at `offset`."""
        return cls(
            offset,
            header.sequence,
            header.min_mono_ns,
            header.max_mono_ns,
            header.min_recv_ns,
            header.max_recv_ns,
            header.records,
            header.payloads_raw,
            header.span,
        )

    @property
    def next_sequence(self) -> int:
        """Sequence of the block that follows."""
        return self.sequence + self.span

    def pack(self) -> bytes:
        """Return the entry's 64 bytes."""
        return FOOTER_ENTRY.pack(
            self.offset,
            self.sequence,
            self.min_mono_ns,
            self.max_mono_ns,
            self.min_recv_ns,
            self.max_recv_ns,
            self.records,
            self.raw_bytes,
            self.span,
            0,
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
    """The index and the totals that seal a segment; unknown keys of the totals are ignored.

    `preamble` repeats the segment's own, so that damage at the front of a sealed file costs nothing.
    """

    entries: tuple[IndexEntry, ...]
    totals: Totals
    preamble: Preamble | None = None
    version: ClassVar[int] = FORMAT_VERSION

    def pack(self, offset: int) -> bytes:
        """Return the footer as a whole skippable frame that starts at byte `offset` of the file."""
        repeated = {} if self.preamble is None else {"preamble": asdict(self.preamble)}
        text = json.dumps(self.totals | repeated, separators=(",", ":")).encode()
        if len(text) > JSON_MAX:
            text = json.dumps(self.totals, separators=(",", ":")).encode()  # the copy is a comfort, the index is not
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
    totals = object_from_json("footer", content[text_at:tail_at], _TOTALS_KEYS)
    if isinstance(totals, Flaw):
        return totals
    repeated = totals.pop("preamble", None)
    preamble = None if repeated is None else preamble_from_json("footer preamble", json.dumps(repeated).encode())
    if isinstance(preamble, Flaw):
        preamble = None  # a copy nobody can use costs neither index nor totals
    rows = FOOTER_ENTRY.iter_unpack(content[FOOTER_HEAD.size : text_at])
    entries = tuple(IndexEntry(*fields) for *fields, _reserved in rows)
    # cast: every key of Totals was checked to be there and of its type.
    return Footer(entries, cast(Totals, totals), preamble)
