"""`hftcap stats`: what is in a capture, and how good it is."""

import typer

from hftcap.cli.console import progress, say, show, show_json, show_table
from hftcap.cli.effort import Cpu, Jobs, Stopwatch, WithTimings, jobs_of, pinned, say_timings
from hftcap.cli.options import AsJson, Captures, clock_text, span_text

_EPILOG = """[bold]Examples[/bold]

  hftcap stats btc

  hftcap stats btc --json | jq '.symbols.BTCUSDT.depth'"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("stats", epilog=_EPILOG)(stats)


def stats(
    captures: Captures,
    as_json: AsJson = False,
    jobs: Jobs = None,
    cpu: Cpu = None,
    timings: WithTimings = False,
) -> None:
    """Count records, gaps, trades and latencies, and rebuild every book on the way.

    Exit code 3 where records are known to be lost: a loss was noted, a segment is cut, a block is damaged.
    """
    from hftcap.capture.reader import open_recordings
    from hftcap.stats import collect, to_json

    pinned(cpu)
    threads, watch = jobs_of(jobs), Stopwatch(timings)
    recordings = open_recordings(captures)
    with progress("reading", sum(each.file_bytes for each in recordings)) as advance:
        found = collect(recordings, progress=advance, jobs=threads, timings=watch.timings)
    result = to_json(found) | watch.result(threads)
    if as_json:
        show_json(result)
    else:
        _show(result)
    say_timings(result)
    for line in found.unsound:
        say(f"hftcap: {line}")
    if not found.complete:
        raise typer.Exit(3)


def _show(result: dict) -> None:  # type: ignore[type-arg]  # the JSON of the contract
    first, last = result["first_recv_ns"], result["last_recv_ns"]
    span = None if first is None else last - first
    show(f"{result['records']:,} records, {clock_text(first)} to {clock_text(last)} ({span_text(span)})")
    show(f"{result['raw_bytes']:,} payload bytes in {result['file_bytes']:,} on disk; losses {result['losses']}")
    peak = ", ".join(f"{count:,} in {window}" for window, count in result["peak"].items())
    show(f"busiest: {peak}\n")
    types = [[name, f"{count:,}"] for name, count in result["by_type"].items() if count]
    show_table("By type", ["type", "records"], types)
    show("")
    show_table("By stream", ["stream", "records"], [[name, f"{n:,}"] for name, n in result["by_stream"].items()])
    if result["oddities"]:
        show("")
        show_table("Oddities", ["oddity", "records"], [[name, f"{n:,}"] for name, n in result["oddities"].items()])
    if result["latency_ns"]:
        show("")
        names = ["min", "p50", "p90", "p99", "p99.9", "max"]
        rows = [
            [event, f"{row['n']:,}", *(span_text(row[name]) for name in names), f"{row['negative']:,}"]
            for event, row in result["latency_ns"].items()
        ]
        title = "Latency, receive minus event time E (as measured: the host's clock error is in it)"
        show_table(title, ["event", "n", *names, "negative"], rows)
    _show_symbols(result["symbols"])


def _show_symbols(symbols: dict) -> None:  # type: ignore[type-arg]  # the JSON of the contract
    trades = [
        [
            name,
            kind,
            f"{row['n']:,}",
            str(row["first_id"]),
            str(row["last_id"]),
            f"{row['missing_ids']:,}",
            row["sum_qty"],
        ]
        for name, symbol in symbols.items()
        for kind in ("trade", "aggTrade")
        if (row := symbol.get(kind)) and row["n"]
    ]
    if trades:
        show("")
        show_table("Trades", ["symbol", "kind", "n", "first id", "last id", "missing", "quantity"], trades, words=2)
    books = [
        [
            name,
            row["state"],
            f"{row['updates']:,}",
            f"{row['gaps']:,}",
            f"{row['stale']:,}",
            f"{row['levels']:,}",
            f"{row['snapshots']:,}",
            f"{row['crossed']:,}",
            f"{row['bookticker_equal']:,}/{row['bookticker_checked']:,}",
        ]
        for name, symbol in symbols.items()
        if (row := symbol["depth"])["state"]
    ]
    if books:
        show("")
        names = ["symbol", "book", "updates", "gaps", "stale", "levels", "snapshots", "crossed", "bookTicker agrees"]
        show_table("Books", names, books, words=2)
