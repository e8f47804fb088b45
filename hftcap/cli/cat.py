"""`hftcap cat`: the records of a capture, a line each."""

import base64
import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hftcap.cli.console import say
from hftcap.cli.options import Captures

if TYPE_CHECKING:
    from hftcap.capture.reader import Chunk, Recording

_EPILOG = """[bold]Examples[/bold]

  hftcap cat btc | head -3

  hftcap cat btc --raw | zstd -19 > payloads.zst

  hftcap cat btc --notes | grep '"note"'"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("cat", epilog=_EPILOG)(cat)


def cat(
    captures: Captures,
    raw: Annotated[bool, typer.Option("--raw", help="Payload bytes alone, each followed by a newline.")] = False,
    notes: Annotated[bool, typer.Option("--notes", help="Print the capture's own notes as well.")] = False,
) -> None:
    """Print records as NDJSON in record order: times, kind, connection and payload; binary payloads as base64.

    With --raw the output is byte for byte what `zstd -dc` prints. Exit code 3 where the capture is cut or damaged.
    """
    from hftcap.capture.reader import open_recording

    recording = open_recording(captures)
    out = sys.stdout.buffer
    for chunk in recording.chunks():
        if raw:
            out.write(chunk.block.payloads)
        else:
            out.write("".join(_lines(chunk, with_notes=notes)).encode())
    out.flush()
    _say_findings(recording)


def _say_findings(recording: "Recording") -> None:
    for finding in recording.findings:
        say(f"hftcap: {finding.path.name} at byte {finding.offset}: {finding.what}")
    if recording.findings:
        raise typer.Exit(3)


def _lines(chunk: "Chunk", *, with_notes: bool) -> list[str]:
    from hftcap.capture.format import NONE_NS, Kind, TimeBase

    block = chunk.block
    columns = block.columns
    imported = block.time_base is TimeBase.WALL
    about: dict[int | None, list[dict[str, object]]] = {}
    for note in block.notes if with_notes else ():
        about.setdefault(note.get("record"), []).append(note)
    requests = {note["record"]: note for note in block.notes if note.get("note") == "rest"}
    lines = [json.dumps(note, ensure_ascii=False) + "\n" for note in about.pop(None, [])]
    fields = (block.recv_ns, columns.time_ns, columns.rx_lag_ns, chunk.timeline_ns, columns.kind, columns.conn)
    flags = columns.flags.tolist()
    for record, (recv, mono, lag, timeline, kind, conn) in enumerate(zip(*(f.tolist() for f in fields), strict=True)):
        lines += [json.dumps(note, ensure_ascii=False) + "\n" for note in about.get(record, [])]
        payload = block.payload(record)
        entry: dict[str, object] = {
            "recv_ns": recv,
            "mono_ns": None if imported else mono,
            "rx_lag_ns": None if lag == NONE_NS else lag,
            "timeline_ns": timeline,
            "kind": Kind(kind).name.lower(),
            "conn": conn,
            "flags": flags[record],
        }
        request = requests.get(record)
        if request is not None:
            entry |= {"symbol": request.get("symbol"), "url": request.get("url")}
        try:
            if kind == Kind.WS_BINARY:
                raise ValueError  # a binary frame may happen to be text; its kind decides
            entry["payload"] = payload.decode()
        except ValueError:
            entry["payload_base64"] = base64.b64encode(payload).decode()
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    return lines
