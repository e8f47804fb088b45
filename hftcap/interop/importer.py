"""Import another tool's files as one capture: the only entry, whatever the format.

    look at each source → settle the market → write: a segment per file (cryptofeed: one for the run)

An import that fails leaves nothing behind: its sources are still there, and half a capture would pass for one.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from hftcap import __version__
from hftcap.binance.endpoints import Market
from hftcap.capture.block import LOSS, Note
from hftcap.capture.folder import is_segment
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.errors import ImportFailed, Unreadable
from hftcap.interop import cryptofeed, hftbacktest, jsonl
from hftcap.interop.source import LOOK_RECORDS, Item, OnRead, SourceRecord, look

_READ_BYTES = 1 << 20


class SourceFormat(StrEnum):
    """Whose files are imported."""

    HFTBACKTEST = "hftbacktest"
    CRYPTOFEED = "cryptofeed"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What came of an import.

    `by_kind` has every kind. `losses` counts what could not be read, at least; `notes` says it in sentences, and
    what else is odd about the sources.
    """

    records: int
    by_kind: dict[Kind, int]
    losses: int
    market: Market
    segments: list[Path]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class _Part:
    """What becomes one segment; `read` opens its source anew."""

    source: dict[str, Any]  # Any: JSON
    read: Callable[[], Iterable[Item]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a first look at the sources found."""

    parts: list[_Part]
    markets: frozenset[Market]
    urls: list[str] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Tally:
    """What has been written so far."""

    by_kind: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    notes: list[str] = field(default_factory=list)
    latest_ns: int = 0


def import_capture(
    format: SourceFormat,  # noqa: A002
    files: Sequence[Path],
    out: Path,
    *,
    market: Market | None,
    level: int = 1,
    created_ns: int,
    progress: OnRead | None = None,
) -> ImportSummary:
    """Write a capture of the records in `files`, at least one, into the folder `out`.

    The same files give the same capture id, and with the same `created_ns` the same bytes. hftbacktest and jsonl
    files are streamed, each read twice or more; a cryptofeed run is held in memory. `progress` is called with
    each advance in source bytes, compressed as they are; what stands behind a file's damage is not read.

    Raises:
        ImportFailed: a file without any readable line; a market that the sources do not tell, or tell otherwise.
        Unreadable: a source cannot be opened or read.
        AlreadyExists: `out` holds a capture.
        WriteFailed: the capture cannot be written.
    """
    plan = _make_plan(format, files, progress)
    settled = _settle_market(files[0], plan.markets, market)
    head = CaptureHead(
        capture_id=_capture_id(format, files),
        market=settled,
        time_base=TimeBase.WALL,
        expects_snapshots=False,
        created_ns=created_ns,
        hftcap=__version__,
        urls=plan.urls,
        streams=plan.streams,
        symbols=plan.symbols,
    )
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    writer = CaptureWriter(out, head, level=level)
    tally = _Tally()
    done = False
    try:
        with writer:
            for part in plan.parts:
                writer.begin_segment(part.source)
                _write(writer, part, tally)
        done = True
    finally:
        if not done:
            _remove(out, made)
    return ImportSummary(writer.records, tally.by_kind, writer.losses, settled, writer.sealed, tally.notes)


def _capture_id(format: SourceFormat, files: Sequence[Path]) -> str:  # noqa: A002
    digest = hashlib.blake2b(format.encode())
    for path in files:
        try:
            with path.open("rb") as file:
                while data := file.read(_READ_BYTES):
                    digest.update(data)
        except OSError as error:
            raise Unreadable(path, error.strerror or str(error)) from error
    return digest.hexdigest()[:16]


def _make_plan(format: SourceFormat, files: Sequence[Path], on_read: OnRead | None) -> _Plan:  # noqa: A002
    match format:
        case SourceFormat.HFTBACKTEST:
            looks = [look(hftbacktest.read_file(path)) for path in files]
            symbols = [seen.only_symbol for seen in looks]
            readers = [
                partial(hftbacktest.read_file, path, symbol, on_read)
                for path, symbol in zip(files, symbols, strict=True)
            ]
        case SourceFormat.JSONL:
            looks = [look(jsonl.read_file(path)) for path in files]
            symbols = []
            readers = [partial(jsonl.read_file, path, on_read) for path in files]
        case SourceFormat.CRYPTOFEED:
            return _plan_run(files, cryptofeed.read_run(files, on_read))
        case _:
            assert_never(format)
    parts = [_Part({"format": str(format), "file": path.name}, read) for path, read in zip(files, readers, strict=True)]
    known = [symbol for symbol in symbols if symbol is not None]
    return _Plan(
        parts,
        frozenset().union(*(seen.markets for seen in looks)),
        symbols=list(dict.fromkeys(known)) if len(known) == len(files) else [],
    )


def _plan_run(files: Sequence[Path], run: cryptofeed.Run) -> _Plan:
    names = [path.name for path in files]
    source = {
        "format": str(SourceFormat.CRYPTOFEED),
        "version": run.version,
        "file": names[0] if len(names) == 1 else names,
    }
    markets = run.markets or look(run.items).markets
    return _Plan([_Part(source, lambda: run.items)], markets, run.urls, run.streams, run.symbols)


def _settle_market(path: Path, told: frozenset[Market], asked: Market | None) -> Market:
    """Choose between what the sources tell and what the user says; neither overrules the other."""
    names = " and ".join(sorted(told))
    if asked is None:
        if len(told) == 1:
            return next(iter(told))
        found = f"messages of {names}" if told else f"nothing in the first {LOOK_RECORDS:,} messages that tells it"
        raise ImportFailed(path, "market", found, "one market, or --market spot, usdm or coinm to choose it")
    if told and asked not in told:
        raise ImportFailed(path, "market", f"messages of {names}", f"{asked}, as --market says")
    return asked


def _write(writer: CaptureWriter, part: _Part, tally: _Tally) -> None:
    first = True
    for item in part.read():
        if not isinstance(item, SourceRecord):
            writer.note(item.note)
            if item.note["note"] == LOSS:
                tally.notes.append(_loss_sentence(item.note))
            continue
        if first and item.recv_ns < tally.latest_ns:
            tally.notes.append(f"{part.source['file']}: begins before the files in front of it end")
        first = False
        tally.latest_ns = max(tally.latest_ns, item.recv_ns)
        tally.by_kind[item.kind] += 1
        writer.add(item.payload, item.recv_ns, kind=item.kind, conn=item.conn, note=item.note)


def _loss_sentence(note: Note) -> str:
    if "line" not in note:
        return f"{note['file']}: {note['cause']}; at least {note['count']} record lost"
    lines = "1 line" if note["count"] == 1 else f"{note['count']:,} lines"
    return f"{note['file']}: {lines} unreadable from line {note['line']:,} on ({note['why']}): {note['found']!r}"


def _remove(out: Path, made: list[Path]) -> None:
    """Remove the segments in `out`, all of this import's making, and the folders it made, as far as that goes."""
    with suppress(OSError):  # the error that brought us here is the one to tell
        for entry in out.iterdir():
            if is_segment(entry):
                entry.unlink()
        for folder in made:
            folder.rmdir()
