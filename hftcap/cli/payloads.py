"""The records of a chunk as bytes for people and pipes: payloads alone, or NDJSON with times and kind."""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from hftcap.cli.options import STDIN
from hftcap.errors import OutputExists, WriteFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hftcap.capture.reader import Chunk

    Write = Callable[[Chunk, list[int]], None]


class PayloadFormat(StrEnum):
    """How a record is written."""

    RAW = "raw"
    JSON = "json"


@contextmanager
def payloads_to(
    output: Path | None, form: PayloadFormat, inputs: list[Path], *, force: bool
) -> "Iterator[Write | None]":
    """Yield what writes some records of a chunk, None where nothing is to be written.

    A regular file gets its name when it is whole; `inputs` are files that it may not take the place of.

    Raises:
        OutputExists: the file is there, and `force` is not set, or it is one of the inputs.
        WriteFailed: it cannot be made or written.
    """
    if output is None:
        yield None
        return
    regular = output != STDIN and (output.is_file() or not output.exists())
    if regular and output.exists() and (not force or any(output.samefile(path) for path in inputs)):
        raise OutputExists(output)
    target = output.with_name(f".{output.name}.writing") if regular else output
    lines = raw if form is PayloadFormat.RAW else ndjson
    try:
        with nullcontext(sys.stdout.buffer) if output == STDIN else target.open("wb") as file:

            def write(chunk: "Chunk", rows: list[int]) -> None:
                file.write(lines(chunk, rows))
                file.flush()  # a line that is due is to be seen now

            yield write
        if regular:
            target.replace(output)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteFailed(output, error.strerror or str(error)) from error
    finally:
        if regular:
            target.unlink(missing_ok=True)


def raw(chunk: "Chunk", rows: "Sequence[int] | None" = None) -> bytes | memoryview:
    """Return each payload followed by a newline, of all records of the chunk or of some."""
    block = chunk.block
    if rows is None and chunk.records == block.records:
        return block.payloads
    wanted = range(chunk.first, chunk.stop) if rows is None else rows
    return b"".join(block.payload(record) + b"\n" for record in wanted)


def ndjson(chunk: "Chunk", rows: "Sequence[int] | None" = None, *, with_notes: bool = False) -> bytes:
    """Return a line for each record of the chunk, or for some, and with `with_notes` the notes where they belong."""
    from hftcap.capture.format import NONE_NS, Kind, TimeBase

    block = chunk.block
    columns = block.columns
    imported = block.time_base is TimeBase.WALL
    about: dict[int | None, list[dict[str, object]]] = {}
    for note in block.notes if with_notes else ():
        about.setdefault(note.get("record"), []).append(note)
    requests = block.requests()
    lines = [_line(note) for note in about.pop(None, []) if not chunk.first]
    recv_ns = block.received(chunk.first, chunk.stop).tolist()
    for record in range(chunk.first, chunk.stop) if rows is None else rows:
        lines += [_line(note) for note in about.get(record, [])]
        payload, kind, lag = block.payload(record), int(columns.kind[record]), int(columns.rx_lag_ns[record])
        entry: dict[str, object] = {
            "recv_ns": recv_ns[record - chunk.first],
            "mono_ns": None if imported else int(columns.time_ns[record]),
            "rx_lag_ns": None if lag == NONE_NS else lag,
            "timeline_ns": int(chunk.timeline_ns[record]),
            "kind": Kind(kind).name.lower(),
            "conn": int(columns.conn[record]),
            "flags": int(columns.flags[record]),
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
        lines.append(_line(entry))
    return "".join(lines).encode()


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"
