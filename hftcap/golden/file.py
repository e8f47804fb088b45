"""The golden file: NDJSON, a line for the capture, one for each block, one for the end.

    {"golden": 1, "market": "spot", "captures": ["…"]}
    {"capture": "…", "sequence": 0, "records": 838, "messages": "<base64>", "levels": "<digest>"}      …
    {"records": n, "by_type": {…}, "gaps": n, "levels": "<digest>", "books": {"BTCUSDT": "<sha256>", …}}

`messages` has four bytes a message, little-endian (see `digest`), `levels` a digest of the changes of the books, in the
last line those of updates that waited to the end. A line a block, so that a difference between two golden files shows
where it is.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from hftcap.capture.reader import Chunk
from hftcap.errors import GoldenUnusable, WriteFailed
from hftcap.golden.digest import level_bytes, message_digests
from hftcap.kernel import Kernel, Result

VERSION = 1


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line."""

    golden: int
    market: str
    captures: list[str]


class BlockLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was made of one block; `messages` is base64 in the file."""

    capture: str
    sequence: int
    records: int
    messages: bytes
    levels: str

    @property
    def digests(self) -> NDArray[np.uint32]:
        """The digest of each message."""
        return np.frombuffer(self.messages[: len(self.messages) // 4 * 4], dtype="<u4")


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line."""

    records: int
    by_type: dict[str, int]
    gaps: int
    levels: str
    books: dict[str, str]


Line = Head | BlockLine | End
_AnyLine = TypeVar("_AnyLine", Head, BlockLine, End)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that is not as it was, said in one sentence; `record` is None where it is no message."""

    said: str
    capture: str | None = None
    sequence: int | None = None
    record: int | None = None


class Digester:
    """Turn the batches of a replay into the lines of a golden file.

    Batches may be pieces of blocks, and of several captures in turn; a block's line comes when it is complete.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._open: dict[tuple[str, int], tuple[list[NDArray[np.uint32]], Any]] = {}  # Any: a hashlib object

    def block(self, chunk: Chunk, result: Result) -> BlockLine | None:
        """Take a batch; return its block's line once that is complete."""
        header = chunk.block.header
        key = header.capture_id.hex(), header.sequence
        messages, levels = self._open.setdefault(key, ([], blake2b(digest_size=16)))
        messages.append(message_digests(result.columns, self._kernel))
        levels.update(level_bytes(result.levels, self._kernel))
        if chunk.stop < chunk.block.records:
            return None
        del self._open[key]
        digests = np.concatenate(messages)
        return BlockLine(*key, len(digests), digests.astype("<u4").tobytes(), levels.hexdigest())

    def end(self, held: Result, records: int, by_type: dict[str, int], gaps: int) -> End:
        """Return the last line: what a caller counted, what was held to the end, and every book."""
        books = {name: book.book.sha256() for name, book in sorted(self._kernel.books.items()) if book.has_depth}
        levels = blake2b(level_bytes(held.levels, self._kernel), digest_size=16).hexdigest()
        return End(records, dict(sorted(by_type.items())), gaps, levels, books)


class GoldenWriter:
    """Write a golden file; it gets its name when it is whole.

    Raises:
        WriteFailed: the operating system refused.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.writing")
        try:
            self._file = self._temporary.open("wb")
        except OSError as error:
            raise WriteFailed(path, error.strerror or str(error)) from error

    def take(self, line: Line) -> None:
        """Write a line."""
        try:
            self._file.write(msgspec.json.encode(line) + b"\n")
        except OSError as error:
            raise WriteFailed(self._path, error.strerror or str(error)) from error

    def finish(self) -> None:
        """Give the file its name."""
        try:
            self._file.close()
            self._temporary.replace(self._path)
        except OSError as error:
            raise WriteFailed(self._path, error.strerror or str(error)) from error

    def discard(self) -> None:
        """Leave nothing behind; what has its name already stays."""
        with suppress(OSError):  # the error that brought us here is the one to tell
            self._file.close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)


class GoldenCheck:
    """Hold the lines of a replay against those of a golden file.

    `first` is the first difference, `differing` counts messages that differ.

    Raises:
        GoldenUnusable: the file cannot be read, or is no golden file of this version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = self._read()
        self._number = 0
        self.first: Difference | None = None
        self.differing = 0
        self._head = self._as(Head, next(self._lines, b""))
        if self._head.golden != VERSION:
            raise GoldenUnusable(path, f"it is of version {self._head.golden}, expected {VERSION}")

    def _read(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                yield from file
        except OSError as error:
            raise GoldenUnusable(self._path, error.strerror or str(error)) from error

    def _as(self, kind: type[_AnyLine], line: bytes) -> _AnyLine:
        self._number += 1
        try:
            return msgspec.json.decode(line, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise GoldenUnusable(self._path, f"line {self._number}: {error}") from error

    def _next(self) -> BlockLine | End | None:
        line = next(self._lines, None)
        if line is None:
            return None
        return self._as(BlockLine, line) if line.startswith(b'{"capture"') else self._as(End, line)

    def head(self, line: Head) -> None:
        """Take the first line of this replay."""
        if line != self._head:
            self._differs(Difference(f"this is a replay of {_of(line)}, the golden file is of {_of(self._head)}"))

    def block(self, line: BlockLine) -> NDArray[np.intp]:
        """Take a block's line; return which of its messages differ."""
        expected = self._next()
        where = f"block {line.sequence} of {line.capture}"
        if not isinstance(expected, BlockLine):
            self._differs(Difference(f"{where} is not in the golden file", line.capture, line.sequence))
            self.differing += line.records
            return np.arange(line.records)
        if (expected.capture, expected.sequence) != (line.capture, line.sequence):
            there = f"block {expected.sequence} of {expected.capture}"
            said = f"{where} comes where the golden file has {there}"
            self._differs(Difference(said, line.capture, line.sequence))
        ours, theirs = line.digests, expected.digests
        both = min(len(ours), len(theirs))
        rows = np.concatenate((np.flatnonzero(ours[:both] != theirs[:both]), np.arange(both, len(ours))))
        self.differing += len(rows) + max(len(theirs) - len(ours), 0)
        if len(rows) or len(theirs) != len(ours):
            record = int(rows[0]) if len(rows) else len(ours)
            said = f"message {record} of {where} is not as it was"
            self._differs(Difference(said, line.capture, line.sequence, record))
        elif line.levels != expected.levels:
            said = f"the levels that {where} changed are not as they were"
            self._differs(Difference(said, line.capture, line.sequence))
        return rows

    def end(self, line: End) -> None:
        """Take the last line."""
        expected = self._next()
        left = 0
        while isinstance(expected, BlockLine):
            left += expected.records
            expected = self._next()
        if left:
            self.differing += left
            self._differs(Difference(f"{left} messages of the golden file are missing at the end"))
        if expected is None:
            self._differs(Difference("the golden file has no last line: it is cut"))
            return
        for key in End.__struct_fields__:
            found, was = getattr(line, key), getattr(expected, key)
            if found != was:
                self._differs(Difference(f"{key} at the end is {found!r}, the golden file has {was!r}"))

    def _differs(self, difference: Difference) -> None:
        if self.first is None:
            self.first = difference


def _of(head: Head) -> str:
    return f"{head.market} {', '.join(head.captures)}"
