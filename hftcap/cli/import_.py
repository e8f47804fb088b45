"""`hftcap import`: another tool's capture into ours."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from hftcap.binance.endpoints import Market
from hftcap.cli.console import progress, say, show_json
from hftcap.cli.options import STDIN, AsJson, temporary_folder
from hftcap.clock import SystemClock

_EPILOG = """[bold]Examples[/bold]

  hftcap import --from hftbacktest btcusdt_20240808.gz btcusdt_20240809.gz -o btc

  hftcap import --from cryptofeed BINANCE.0 BINANCE.http.0.0 BINANCE.ws.1.0 -o run

  hftcap cat btc | hftcap import --from jsonl - -o copy

  hftcap import --from hftbacktest btcusdt_20240808.gz -o - | hftcap stats -"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("import", epilog=_EPILOG)(import_)


def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="The other tool's files, in order; - is stdin.")
    ],
    source: Annotated[str, typer.Option("--from", metavar="FORMAT", help="hftbacktest, cryptofeed or jsonl.")],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Capture folder to make; - is stdout.")],
    market: Annotated[Market | None, typer.Option(help="Needed only where the data does not tell.")] = None,
    level: Annotated[int, typer.Option(min=1, max=19, help="zstd level.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Import another tool's capture, payload bytes exactly as they are.

    Several hftbacktest files become a segment each of one recording; cryptofeed files of one run are merged by stamp.
    What the source did not record (monotonic time, kernel stamps) stays empty.
    """
    from hftcap.interop.importer import SourceFormat, import_capture

    try:
        source_format = SourceFormat(source)
    except ValueError:
        known = ", ".join(SourceFormat)
        raise typer.BadParameter(f"{source!r} is not one of {known}", param_hint="--from") from None
    if out == STDIN and as_json:
        raise typer.BadParameter("--json and --output - both want standard output: give one of them")
    folder = temporary_folder() / "capture" if out == STDIN else out
    files = _without_stdin(files)
    clock = SystemClock()
    with progress("importing", sum(path.stat().st_size for path in files if path.is_file())) as advance:
        summary = import_capture(
            source_format, files, folder, market=market, level=level, created_ns=clock.wall_ns(), progress=advance
        )
    if as_json:
        show_json(
            {
                "records": summary.records,
                "by_kind": {kind.name.lower(): count for kind, count in summary.by_kind.items()},
                "market": str(summary.market),
                "losses": summary.losses,
                "segments": [str(path) for path in summary.segments],
            }
        )
    if out == STDIN:
        _to_stdout(summary.segments)
    for note in summary.notes:
        say(f"hftcap: {note}")
    where = "standard output" if out == STDIN else str(out)
    say(f"{summary.records:,} records of {summary.market} imported into {where} ({len(summary.segments)} segments)")
    if summary.losses:
        say(f"hftcap: {summary.losses:,} lost at least; where and why is noted in the capture (hftcap cat --notes)")
        raise typer.Exit(3)


def _without_stdin(files: list[Path]) -> list[Path]:
    """Put what comes on standard input into a file, and return that in its place."""
    if STDIN not in files:
        return files
    if files.count(STDIN) > 1:
        raise typer.BadParameter("'-' stands for standard input, which can be read once")
    spooled = temporary_folder() / "stdin"
    with spooled.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return [spooled if path == STDIN else path for path in files]


def _to_stdout(segments: list[Path]) -> None:
    for path in segments:
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()
