"""The disposable sidecar of a sealed segment, `SEGMENT.books`: what the kernel knew before some of its blocks.

    sidecar    = magic 8 | length u32 | head | checkpoint* | index | tail
    head       = msgpack: which segment this is of, and which parser made it
    checkpoint = zstd frame { msgpack of a KernelState }
    index      = msgpack: (block position, offset, length, crc32) of each checkpoint
    tail       = index offset u64 | crc32 of head and index u32 | magic 4

It holds nothing that a replay from the segment's start would not give, so a sidecar that is stale, torn or damaged is
treated as absent, and made anew where one is wanted. It is stale when the segment's bytes changed (its footer's
checksum did) or when the code that parses and joins did.
"""

import hashlib
import os
import struct
import zlib
from bisect import bisect_right
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

import hftcap.binance.control
import hftcap.binance.depth_sync
import hftcap.binance.fields
import hftcap.binance.frames
import hftcap.binance.ids
import hftcap.binance.lines
import hftcap.binance.messages
import hftcap.binance.parser
import hftcap.binance.streams
import hftcap.book.check
import hftcap.book.levels
import hftcap.fixed
import hftcap.kernel.feed
import hftcap.kernel.reference
import hftcap.kernel.state
import hftcap.kernel.symbol_book
from hftcap.capture.folder import SUFFIX
from hftcap.kernel import Kernel
from hftcap.kernel.state import KernelState

SPACING_BYTES = 2 << 20
"""Payload bytes between checkpoints: what must be replayed at most after a seek, 30 ms of work by the reference."""

_MAGIC = b"\x89HCBOOKS"
_TAIL_MAGIC = b"HCBK"
_TAIL = struct.Struct("<QI4s")
_HEAD_LENGTH = struct.Struct("<I")
_MODULES = (
    hftcap.binance.control,
    hftcap.binance.depth_sync,
    hftcap.binance.fields,
    hftcap.binance.frames,
    hftcap.binance.ids,
    hftcap.binance.lines,
    hftcap.binance.messages,
    hftcap.binance.parser,
    hftcap.binance.streams,
    hftcap.book.check,
    hftcap.book.levels,
    hftcap.fixed,
    hftcap.kernel.feed,
    hftcap.kernel.reference,
    hftcap.kernel.state,
    hftcap.kernel.symbol_book,
)
_encode = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(KernelState).decode


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Which segment a sidecar is of: its recording, number and footer checksum, and the parser that made it."""

    capture_id: str
    segment: int
    footer_crc: int
    parser: str


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    position: int
    offset: int
    length: int
    crc: int


@cache
def parser_digest() -> str:
    """Return a digest of the code whose results a checkpoint holds."""
    digest = hashlib.blake2b(digest_size=16)
    for source in (*(module.__file__ for module in _MODULES), *Kernel.sources()):
        assert source is not None  # noqa: S101  modules of this package are files
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()


def sidecar_path(segment: Path) -> Path:
    """Return where the sidecar of a segment file stands."""
    return segment.with_name(segment.name.removesuffix(SUFFIX) + ".books")


class Sidecar:
    """The checkpoints of one segment, opened for reading."""

    def __init__(self, path: Path, entries: list[_Entry]) -> None:
        self._path = path
        self._entries = entries
        self._positions = [entry.position for entry in entries]

    def before(self, position: int) -> tuple[int, KernelState] | None:
        """Return the last checkpoint at or before a block: its block position and state; None where there is none."""
        at = bisect_right(self._positions, position) - 1
        if at < 0:
            return None
        entry = self._entries[at]
        with self._path.open("rb") as file:
            file.seek(entry.offset)
            stored = file.read(entry.length)
        if zlib.crc32(stored) != entry.crc:
            return None
        try:
            return entry.position, _decode_state(zstandard.ZstdDecompressor().decompress(stored))
        except (zstandard.ZstdError, msgspec.MsgspecError):
            return None


def open_sidecar(segment: Path, head: Head) -> Sidecar | None:
    """Return the sidecar of a segment, None where it is absent, stale, torn or damaged."""
    path = sidecar_path(segment)
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return None
            (length,) = _HEAD_LENGTH.unpack(file.read(_HEAD_LENGTH.size))
            found_head = file.read(min(length, 1 << 16))
            size = file.seek(0, 2)
            file.seek(max(size - _TAIL.size, 0))
            offset, expected, magic = _TAIL.unpack(file.read(_TAIL.size))
            if magic != _TAIL_MAGIC or offset > size - _TAIL.size:
                return None
            file.seek(offset)
            index = file.read(size - _TAIL.size - offset)
        if zlib.crc32(index, zlib.crc32(found_head)) != expected:
            return None
        if msgspec.msgpack.decode(found_head, type=Head) != head:
            return None
        return Sidecar(path, msgspec.msgpack.decode(index, type=list[_Entry]))
    except (OSError, struct.error, msgspec.MsgspecError):
        return None


class SidecarWriter:
    """Write a sidecar while its segment is replayed from its first block. It gets its name when it is finished.

    A sidecar is a convenience: where the folder cannot be written, `finish` says so by returning False. One writer's
    memory is one state's, whatever the segment's size.
    """

    def __init__(self, segment: Path, head: Head) -> None:
        self._path = sidecar_path(segment)
        # Two readers may write the same sidecar at once: each in a file of its own, and either result will do.
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.writing")
        self._head = _encode(head)
        self._entries: list[_Entry] = []
        self._size = 0
        self._due = 0
        self._compressor = zstandard.ZstdCompressor(level=3)
        self._file: BinaryIO | None = None
        try:
            self._file = self._temporary.open("wb")
        except OSError:
            return
        self._write(_MAGIC + _HEAD_LENGTH.pack(len(self._head)) + self._head)

    def reach(self, position: int, raw_bytes: int, kernel: Kernel) -> None:
        """Say that the kernel stands before block `position`, which holds `raw_bytes`; keep its state if one is due."""
        if self._file is not None and self._due <= 0:
            stored = self._compressor.compress(_encode(kernel.dump()))
            self._entries.append(_Entry(position, self._size, len(stored), zlib.crc32(stored)))
            self._write(stored)
            self._due = SPACING_BYTES
        self._due -= raw_bytes

    def finish(self) -> bool:
        """Complete the file and name it; return whether it could be written."""
        index = _encode(self._entries)
        self._write(index + _TAIL.pack(self._size, zlib.crc32(index, zlib.crc32(self._head)), _TAIL_MAGIC))
        if self._file is None:
            return False
        try:
            self._file.close()
            self._temporary.replace(self._path)
        except OSError:
            self.discard()
            return False
        return True

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            with suppress(OSError):  # what is written to a sidecar is needed by nobody
                self._file.close()
            self._file = None
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            self._file.write(data)
        except OSError:
            self.discard()
        else:
            self._size += len(data)
