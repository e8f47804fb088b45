"""The preamble of a segment: what holds for the whole of it, JSON on disk, checked key by key.

preamble = skippable { magic 8 | version u16 | flags u16 | length u32 | JSON | crc32 }
"""

import json
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from hftcap.capture.format import (
    CRC,
    FORMAT_VERSION,
    FRAME,
    JSON_MAX,
    PREAMBLE_HEAD,
    PREAMBLE_MAGIC,
    SKIPPABLE_MAGIC,
    Flaw,
    TimeBase,
)
from hftcap.errors import OverLimit


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
    return preamble_from_json("preamble", content[PREAMBLE_HEAD.size : end])


def is_int(value: object) -> bool:
    """Say whether a JSON value is a whole number."""
    return type(value) is int  # bool, which is an int to isinstance, is another type in JSON


def is_count(value: object) -> bool:
    """Say whether a JSON value is a whole number, 0 or more."""
    return type(value) is int and value >= 0


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_id(value: object) -> bool:
    return isinstance(value, str) and len(value) == 16 and set(value) <= set("0123456789abcdef")


def or_null(check: Callable[[object], bool]) -> Callable[[object], bool]:
    """Return a check that accepts null besides."""
    return lambda value: value is None or check(value)


Keys = dict[str, tuple[bool, Callable[[object], bool]]]
"""JSON keys: whether each must be there, and which values are accepted."""


_PREAMBLE_KEYS: Keys = {
    "capture_id": (True, _is_id),
    "segment": (True, is_count),
    "previous_sequence": (True, or_null(is_count)),
    "market": (True, _is_text),
    "time_base": (True, lambda value: isinstance(value, str) and value in set(TimeBase)),
    "expects_snapshots": (True, lambda value: isinstance(value, bool)),
    "created_ns": (True, is_int),
    "hftcap": (True, _is_text),
    "urls": (False, _is_texts),
    "streams": (False, _is_texts),
    "symbols": (False, _is_texts),
    "host": (False, or_null(_is_text)),
    "boot_id": (False, or_null(_is_text)),
    "source": (False, or_null(lambda value: isinstance(value, dict))),
    "timeline_offset_ns": (False, or_null(is_int)),
}


def preamble_from_json(name: str, text: bytes) -> Preamble | Flaw:
    """Read the JSON of a preamble; `name` says in a flaw where it stands."""
    values = object_from_json(name, text, _PREAMBLE_KEYS)
    if isinstance(values, Flaw):
        return values
    return Preamble(**values | {"time_base": TimeBase(values["time_base"])})


def object_from_json(name: str, text: bytes, keys: Keys) -> dict[str, Any] | Flaw:  # Any: JSON, checked by key
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
