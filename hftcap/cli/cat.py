"""`hftcap cat`: the records of a capture, a line each."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hftcap.cli import payloads
from hftcap.cli.console import say
from hftcap.cli.options import Captures
from hftcap.clock import SystemClock

if TYPE_CHECKING:
    from hftcap.capture.reader import Chunk, Recording

_EPILOG = """[bold]Examples[/bold]

  hftcap cat btc | head -3

  hftcap cat btc --raw | zstd -19 > payloads.zst

  hftcap cat btc/20240809T000000Z-0580ee13-000000.hcap.zst:12:345     block 12, record 345 of one segment

  hftcap cat live --follow | jq .payload"""

_POLL_NS = 100_000_000
_ADDRESS = re.compile(r"(.+):(\d+):(\d+)", re.ASCII)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("cat", epilog=_EPILOG)(cat)


def cat(
    captures: Captures,
    raw: Annotated[bool, typer.Option("--raw", help="Payload bytes alone, each followed by a newline.")] = False,
    notes: Annotated[bool, typer.Option("--notes", help="Print the capture's own notes as well.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for what is still being written.")] = False,
) -> None:
    """Print records as NDJSON in record order: times, kind, connection and payload; binary payloads as base64.

    A capture may be given as SEGMENT:BLOCK:RECORD, which prints that one record. With --raw the output of one
    capture is byte for byte what `zstd -dc` prints. Exit code 3 where the capture is cut or damaged.
    """
    findings: list[str] = []
    out = sys.stdout.buffer
    for chunk in _chunks(captures, follow, findings):
        out.write(payloads.raw(chunk) if raw else payloads.ndjson(chunk, with_notes=notes))
        if follow:
            out.flush()
    out.flush()
    for finding in findings:
        say(f"hftcap: {finding}")
    if findings:
        raise typer.Exit(3)


def _chunks(captures: list[Path], follow: bool, findings: list[str]) -> Iterator["Chunk"]:
    """Yield what is to be printed; once all is read, `findings` has what is wrong with the storage."""
    from hftcap.capture.follow import follow as follow_folder
    from hftcap.capture.merge import merged
    from hftcap.capture.reader import open_recordings

    if follow:
        if len(captures) != 1 or not captures[0].is_dir():
            raise typer.BadParameter("--follow takes one capture folder")
        clock = SystemClock()
        yield from follow_folder(captures[0], lambda: clock.sleep(_POLL_NS))
        return
    address = _ADDRESS.fullmatch(str(captures[0]))
    if address and not captures[0].exists():
        if len(captures) != 1:
            raise typer.BadParameter("SEGMENT:BLOCK:RECORD stands alone")
        yield _one(Path(address[1]), int(address[2]), int(address[3]))
        return
    recordings = open_recordings(captures)
    yield from merged(recordings)
    findings += _said(recordings)


def _said(recordings: "list[Recording]") -> list[str]:
    found = [finding for recording in recordings for finding in recording.findings]
    return [f"{finding.path.name} at byte {finding.offset}: {finding.what}" for finding in found]


def _one(path: Path, position: int, record: int) -> "Chunk":
    from dataclasses import replace

    from hftcap.capture.reader import open_recording
    from hftcap.errors import NoSuchRecord

    recording = open_recording([path])
    place = recording.place(0, position)
    chunk = None if place is None else next(recording.chunks(place), None)
    if chunk is None or chunk.position != position:
        raise NoSuchRecord(path, f"block {position}", f"{len(recording.segments[0].index())} blocks, from 0")
    if record >= chunk.records:
        raise NoSuchRecord(path, f"record {record} of block {position}", f"{chunk.records} records there, from 0")
    return replace(chunk, first=record, stop=record + 1)
