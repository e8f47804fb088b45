"""What all importers share: a source file as lines, its damage as notes, its stamps, and the market it tells.

A source is plain text, gzip or zstd, told by its first bytes. Damage never stops an import: a line that cannot be
read, and the place where a compressed file breaks off, become loss notes between the records around them.
"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import zstandard

from hftcap.binance.endpoints import Market
from hftcap.binance.streams import parse_stream
from hftcap.capture.block import LOSS, Note
from hftcap.capture.format import PAYLOAD_MAX, Kind
from hftcap.errors import ImportFailed, Unreadable

OnRead = Callable[[int], None]
"""Told how many more bytes of a source file were read."""

LOOK_RECORDS = 10_000
"""How far a first look at a source goes."""
LINE_MAX = 2 * PAYLOAD_MAX + (1 << 16)
"""The longest line: the largest payload with every character escaped. Of a longer one only the front is kept."""
LOSS_NOTES_MAX = 1_000
"""Runs of unreadable lines noted one by one; those after are counted into one last note for the file."""

_PLAIN_STEP_BYTES = 256 << 10
# What one step can inflate to bounds memory: 4 MiB for gzip, 128 MiB for a zstd frame made to do so.
_STEP_BYTES = 4 << 10
_REPORT_BYTES = 1 << 20  # a multiple of both steps
_FOUND_CHARS = 60
_INT64_MAX = 2**63 - 1

_GZIP_MAGIC = re.compile(rb"\x1f\x8b")
_ZSTD_MAGIC = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_MAGIC_BYTES = 4

_SECONDS = re.compile(rb"([0-9]{1,10})(?:\.([0-9]+))?")
_JSON_BEGIN = re.compile(rb"[\[{]")
_NS_PER_UNIT = {19: 1, 16: 1_000, 13: 1_000_000}
_COINM_SYMBOL = re.compile(r"USD_(?:PERP|[0-9]{6})$")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class SourceRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of a source; `connection` is the source's own name of its connection, empty where it has none."""

    payload: bytes
    recv_ns: int
    kind: Kind = Kind.WS_TEXT
    conn: int = 0
    note: Note | None = None
    connection: str = ""


class SourceNote(msgspec.Struct, frozen=True, gc=False):
    """Something the source says besides its records, or what is wrong with it, in its place among them."""

    note: Note
    at_ns: int | None = None
    connection: str = ""


Item = SourceRecord | SourceNote


def rest_note(symbol: str | None, url: str | None, received_ns: int) -> Note:
    """Return the note of a REST body; no source tells its status or when it was asked for."""
    return {
        "note": "rest",
        "symbol": symbol,
        "url": url,
        "status": None,
        "sent_ns": None,
        "received_ns": received_ns,
    }


def epoch_ns(digits: bytes) -> int | None:
    """Read an epoch time by its digits: 19 are nanoseconds, 16 microseconds, 13 milliseconds; None for all else."""
    unit_ns = _NS_PER_UNIT.get(len(digits))
    if unit_ns is None or not digits.isdigit():
        return None
    value_ns = int(digits) * unit_ns
    return value_ns if value_ns <= _INT64_MAX else None


def seconds_ns(text: bytes) -> int | None:
    """Read epoch seconds in plain decimal text as exact nanoseconds.

    None where that cannot be done: a sign, an exponent, more than nine decimals that count, or beyond int64.
    """
    match = _SECONDS.fullmatch(text)
    if match is None:
        return None
    fraction = (match.group(2) or b"").rstrip(b"0")
    if len(fraction) > 9:
        return None
    value_ns = int(match.group(1)) * 1_000_000_000 + int(fraction.ljust(9, b"0"))
    return value_ns if value_ns <= _INT64_MAX else None


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class SourceFile:
    """One file of another tool, to be read as lines.

    Once `lines` ran to its end, `damage` says why a compressed file breaks off, None where it is whole;
    `unterminated` is set while the last line is out, if no newline ends it.

    Raises:
        Unreadable: the file is missing, no regular file, or the operating system refuses it.
    """

    def __init__(self, path: Path, on_read: OnRead | None = None) -> None:
        self.path = path
        self.damage: str | None = None
        self.unterminated = False
        self._on_read = on_read
        self._broken_at: int | None = None
        try:
            if not path.is_file():
                # Every source is read more than once, which a pipe does not allow.
                raise Unreadable(path, "not a regular file" if path.exists() else "no such file")
            with path.open("rb") as file:
                head = file.read(_MAGIC_BYTES)
        except OSError as error:
            raise Unreadable(path, error.strerror or str(error)) from error
        self._magic = next((magic for magic in (_GZIP_MAGIC, _ZSTD_MAGIC) if magic.match(head)), None)

    def lines(self) -> Iterator[tuple[int, bytes, str | None]]:
        """Yield number, bytes before the newline, and what is wrong: None, or that the line was too long to keep."""
        number = 1
        held: list[bytes] = []
        held_bytes = 0
        try:
            for piece in self._pieces():
                first, *others = piece.split(b"\n")
                if held_bytes <= LINE_MAX:
                    held.append(first)
                held_bytes += len(first)
                if not others:
                    continue
                yield number, b"".join(held), _too_long(held_bytes)
                for line in others[:-1]:
                    number += 1
                    yield number, line, None
                number += 1
                held = [others[-1]]
                held_bytes = len(others[-1])
        except OSError as error:
            raise Unreadable(self.path, error.strerror or str(error)) from error
        if held_bytes:
            self.unterminated = True
            yield number, b"".join(held), _too_long(held_bytes)

    def _pieces(self) -> Iterator[bytes]:
        if self._magic is None:
            yield from self._steps(None)
            return
        emitted = 0
        for piece in self._inflated(self._magic, None):
            emitted += len(piece)
            yield piece
        if self._broken_at is None:
            return
        # The step that failed took with it what it had inflated before the fault; a second pass gets that, byte by
        # byte from there.
        for piece in self._inflated(self._magic, self._broken_at):
            if len(piece) > emitted:
                yield piece[emitted:]
            emitted = max(0, emitted - len(piece))

    def _steps(self, fine_from: int | None) -> Iterator[bytes]:
        """Yield the file's bytes as they are, one by one from `fine_from` on."""
        on_read = self._on_read if fine_from is None else None
        offset = 0
        size = _PLAIN_STEP_BYTES if self._magic is None else _STEP_BYTES
        with self.path.open("rb", buffering=_PLAIN_STEP_BYTES) as file:
            while step := file.read(1 if fine_from is not None and offset >= fine_from else size):
                offset += len(step)
                if on_read is not None and offset % _REPORT_BYTES == 0:
                    on_read(_REPORT_BYTES)
                yield step
        if on_read is not None:
            on_read(offset % _REPORT_BYTES)

    def _inflated(self, magic: re.Pattern[bytes], fine_from: int | None) -> Iterator[bytes]:
        """Yield what the file inflates to, member after member; set `damage` where it stops before the end."""
        name = "gzip" if magic is _GZIP_MAGIC else "zstd"
        decompressor: _Decompressor | None = None
        pending = b""
        offset = 0
        for step in self._steps(fine_from):
            begin, offset = offset, offset + len(step)
            pending += step
            while pending:
                if decompressor is None:
                    # Zeros after a member are padding, which gzip ignores too.
                    pending = pending.lstrip(b"\0") if magic is _GZIP_MAGIC else pending
                    if len(pending) < _MAGIC_BYTES:
                        break
                    if magic.match(pending) is None:
                        self.damage = f"the {name} data ends at byte {offset - len(pending):,}, other bytes follow"
                        return
                    decompressor = _start(magic)
                try:
                    piece = decompressor.decompress(pending)
                except (zlib.error, zstandard.ZstdError) as error:
                    self.damage = f"the {name} data is damaged at or before byte {offset:,}: {error}"
                    self._broken_at = begin
                    return
                yield piece
                pending = decompressor.unused_data if decompressor.eof else b""
                decompressor = None if decompressor.eof else decompressor
        if decompressor is not None:
            self.damage = f"the {name} data is cut at byte {offset:,}"
        elif pending:
            self.damage = f"the {name} data ends at byte {offset - len(pending):,}, other bytes follow"


def _start(magic: re.Pattern[bytes]) -> _Decompressor:
    if magic is _GZIP_MAGIC:
        return zlib.decompressobj(wbits=31)
    return zstandard.ZstdDecompressor().decompressobj()


def _too_long(line_bytes: int) -> str | None:
    return f"longer than {LINE_MAX:,} bytes" if line_bytes > LINE_MAX else None


class _LossRun:
    """Unreadable lines that stand together, until they are noted."""

    def __init__(self, file: str) -> None:
        self.count = 0
        self.noted = 0
        self._file = file
        self._first: Note = {}

    def add(self, number: int, line: bytes, why: str) -> None:
        if not self.count:
            self._first = {"file": self._file, "line": number, "why": why, "found": excerpt(line)}
        self.count += 1

    def take(self) -> SourceNote:
        note = {"note": LOSS, "count": self.count, "cause": "unreadable source line"} | self._first
        self.count = 0
        self.noted += 1
        return SourceNote(note)


def read_items(
    source: SourceFile, parse: Callable[[bytes], Item | str], *, expected: str, may_be_blank: bool = False
) -> Iterator[Item]:
    """Parse every line of `source`; yield what came of it, and a loss note for what could not be read.

    `parse` returns what is wrong with a line, in words, where it cannot read it. Blank lines are passed over. Lines
    that cannot be read and follow each other share a note. A last line without newline counts where it ends in a
    whole JSON value; otherwise the source was cut there.

    Raises:
        ImportFailed: no line could be read; `expected` says what lines should have been.
        Unreadable: the operating system refused a read.
    """
    losses = _LossRun(source.path.name)
    refused: tuple[int, bytes] | None = None
    good = 0
    for number, line, flaw in source.lines():
        if not line.strip():
            continue
        item = flaw or parse(line)
        if isinstance(item, SourceRecord) and len(item.payload) > PAYLOAD_MAX:
            item = f"payload longer than {PAYLOAD_MAX:,} bytes"
        if source.unterminated and (isinstance(item, str) or not _ends_whole(line)):
            source.damage = source.damage or f"line {number} is cut"
            refused = refused or (number, line)
            break
        if isinstance(item, str):
            losses.add(number, line, item)
            refused = refused or (number, line)
            continue
        if losses.count and losses.noted < LOSS_NOTES_MAX:
            yield losses.take()
        good += 1
        yield item
    if not good and (refused or source.damage or not may_be_blank):
        if refused:
            raise ImportFailed(source.path, f"line {refused[0]}", repr(excerpt(refused[1])), expected)
        raise ImportFailed(source.path, "whole file", source.damage or "no line at all", expected)
    if losses.count:
        yield losses.take()
    if source.damage:
        # How many records the missing part held cannot be known: one is the least.
        cause = f"source ends early: {source.damage}"
        yield SourceNote({"note": LOSS, "count": 1, "at_least": True, "cause": cause, "file": source.path.name})


def excerpt(line: bytes) -> str:
    """Return the first 60 characters of a line, for people."""
    return line[: 4 * _FOUND_CHARS].decode(errors="replace")[:_FOUND_CHARS]


def _ends_whole(line: bytes) -> bool:
    value = _JSON_BEGIN.search(line)
    try:
        msgspec.json.decode(line[value.start() :] if value else b"", type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Look:
    """What the front of a source tells: the markets its events can only come from, and the symbols it streams.

    `symbols` has None where a stream is of no single symbol.
    """

    markets: frozenset[Market]
    symbols: frozenset[str | None]

    @property
    def only_symbol(self) -> str | None:
        """The one symbol all streams seen are of; None where there are several, or none."""
        return next(iter(self.symbols)) if len(self.symbols) == 1 else None


def look(items: Iterable[Item]) -> Look:
    """Look at the first 10,000 records of a source."""
    markets: set[Market | None] = set()
    symbols: set[str | None] = set()
    seen = 0
    for item in items:
        if isinstance(item, SourceRecord):
            stream, fields = _event(item.payload)
            if stream is not None:
                symbols.add(symbol_of_stream(stream))
            # Streams of all symbols have carried both futures markets since they were merged.
            if stream is None or not stream.startswith("!"):
                markets.add(market_of_event(fields))
            seen += 1
            if seen == LOOK_RECORDS:
                break
    return Look(frozenset(market for market in markets if market is not None), frozenset(symbols))


def symbol_of_stream(stream: str) -> str | None:
    """Return the symbol in a stream name, upper case, also where the rest of the name is not known here."""
    name = parse_stream(stream) or parse_stream(f"{stream.partition('@')[0]}@trade")
    return name.payload_symbol if name is not None and "@" in stream else None


def _event(payload: bytes) -> tuple[str | None, dict[str, msgspec.Raw]]:
    stream = None
    try:
        fields = _fields(payload)
        if "stream" in fields and "data" in fields:
            stream = msgspec.json.decode(fields["stream"], type=str)
            fields = _fields(fields["data"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return stream, {}
    return stream, fields


def market_of_event(fields: dict[str, msgspec.Raw]) -> Market | None:
    """Tell the market from the keys of one event; None where two markets would send the same.

    `ps`, the pair, was COIN-M's alone until the futures markets were merged; since then `st` tells them apart.

    Source: protocol notes, section 4 (futures extra fields; the COIN-M and USD-M merge of 2026-06).
    """
    kind = bytes(fields.get("st", b""))
    if kind in (b"1", b"2"):
        return Market.USDM if kind == b"1" else Market.COINM
    symbol = bytes(fields.get("s", b"")).strip(b'"').decode(errors="replace")
    if _COINM_SYMBOL.search(symbol) or bytes(fields.get("ps", b"")).endswith(b'USD"'):
        return Market.COINM
    match bytes(fields.get("e", b"")):
        case b'"depthUpdate"':
            return Market.USDM if "pu" in fields else Market.SPOT
        case b'"bookTicker"':
            return Market.USDM
        case b'"trade"' | b'"aggTrade"' if "M" in fields or "X" in fields:
            return Market.SPOT if "M" in fields else Market.USDM
        case b"" if {"u", "s", "b", "B", "a", "A"} <= fields.keys():
            return Market.SPOT
    return None
