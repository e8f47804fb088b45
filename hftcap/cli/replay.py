"""`hftcap replay`: a capture through parser and books."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from hftcap.cli.console import progress, say, show, show_json, show_table
from hftcap.cli.options import AsJson, Captures, span_text
from hftcap.clock import SystemClock

_EPILOG = """[bold]Examples[/bold]

  hftcap replay btc --speed max

  hftcap replay btc --speed max --report out

  duckdb -c "SELECT type, count(*), avg(latency_ns) FROM 'out/messages.parquet' GROUP BY type" """


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("replay", epilog=_EPILOG)(replay)


def _speed(text: str) -> str:
    if text != "max":
        raise typer.BadParameter(f"{text!r}: only 'max' is there so far")
    return text


def replay(
    captures: Captures,
    speed: Annotated[str, typer.Option("--speed", help="max: as fast as it goes.", callback=_speed)] = "max",
    report: Annotated[Path | None, typer.Option("--report", metavar="FOLDER", help="Write Parquet tables.")] = None,
    interval: Annotated[
        float, typer.Option(min=0.001, max=604_800, help="Seconds per row of the latency table.")
    ] = 1.0,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace an earlier report.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay a capture through the parser and the order books, and summarise.

    With --report the tables messages, bbo and latency are written as Parquet. Exit code 3 where records are known
    to be lost.
    """
    from hftcap.capture.reader import open_recordings
    from hftcap.pipeline import Run
    from hftcap.stats.collect import Stats, add_batch, finish

    clock = SystemClock()
    recordings = open_recordings(captures)
    run = Run(recordings)
    stats = Stats()
    writer: Any = nullcontext()  # Any: a Report or nothing at all
    if report is not None:
        from hftcap.report.parquet import Report

        ids = [each.preamble.capture_id for each in recordings]
        writer = Report(report, ids, interval_ns=round(interval * 1e9), force=force)
    start_ns = clock.mono_ns()
    with writer, progress("replaying", run.file_bytes) as advance:
        for batch in run.batches(progress=advance):
            add_batch(stats, batch, run)
            if report is not None:
                writer.add(batch.chunk, batch.columns, run.kernel.symbols, run.kernel.streams)
    wall_ns = clock.mono_ns() - start_ns
    finish(stats, run)
    result = _summary(stats, wall_ns)
    if as_json:
        show_json(result)
    else:
        _show(result, wall_ns)
    if report is not None:
        say(f"{', '.join(f'{name} {rows:,} rows' for name, rows in writer.rows.items())} in {report}")
    for line in stats.damaged:
        say(f"hftcap: {line}")
    if not stats.complete:
        raise typer.Exit(3)


def _summary(stats: Any, wall_ns: int) -> dict[str, Any]:  # Any: the JSON of the contract
    from hftcap.kernel import Kernel
    from hftcap.stats.summary import depth_json

    wall_s = wall_ns / 1e9
    books = {
        name: depth_json(symbol.book)
        for name, symbol in sorted(stats.symbols.items())
        if symbol.book is not None and symbol.book.has_depth
    }
    return {
        "messages": stats.records,
        "records": stats.records,
        "by_type": dict(sorted(stats.by_type.items())),
        "oddities": dict(sorted(stats.oddities.items())),
        "losses": stats.losses,
        "gaps": sum(book["gaps"] for book in books.values()),
        "wall_s": round(wall_s, 6),
        "messages_per_s": round(stats.records / wall_s) if wall_s else None,
        "books": books,
        "kernel": Kernel.name,
    }


def _show(result: dict[str, Any], wall_ns: int) -> None:  # Any: the JSON of the contract
    rate = result["messages_per_s"]
    show(f"{result['messages']:,} messages in {span_text(wall_ns)}, {rate:,} a second, {result['kernel']} kernel")
    types = ", ".join(f"{name} {count:,}" for name, count in result["by_type"].items())
    show(f"{types}; losses {result['losses']}")
    if result["oddities"]:
        show("odd: " + ", ".join(f"{name} {count:,}" for name, count in result["oddities"].items()))
    rows = [
        [
            name,
            book["state"],
            f"{book['updates']:,}",
            f"{book['gaps']:,}",
            f"{book['stale']:,}",
            f"{book['crossed']:,}",
            f"{book['bookticker_equal']:,}/{book['bookticker_checked']:,}",
        ]
        for name, book in result["books"].items()
    ]
    if rows:
        names = ["symbol", "book", "updates", "gaps", "stale", "crossed", "bookTicker agrees"]
        show_table("", names, rows, words=2)
