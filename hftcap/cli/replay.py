"""`hftcap replay`: a capture through parser and books, as fast as it goes or at a pace."""

import select
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hftcap.cli.console import progress, say, show, show_json, stop_on_signal
from hftcap.cli.effort import Cpu, Jobs, Stopwatch, WithTimings, jobs_of, pinned, say_timings
from hftcap.cli.golden import golden_files, say_difference
from hftcap.cli.options import STDIN, AsJson, Captures, instant_ns, span_ns
from hftcap.cli.payloads import PayloadFormat, payloads_to
from hftcap.cli.replay_summary import show_summary, to_json
from hftcap.clock import SystemClock
from hftcap.errors import NothingSelected

if TYPE_CHECKING:
    from hftcap.pacing import Pace
    from hftcap.pipeline import Run
    from hftcap.report.parquet import Report
    from hftcap.stats.collect import Stats

_EPILOG = """[bold]Examples[/bold]

  hftcap replay btc                                       through parser and books, as fast as it goes

  hftcap replay btc --report out                          … and into Parquet tables

  hftcap replay btc --speed 10 --max-gap 1s               ten times as fast as it came, silences cut to a second

  hftcap replay btc --start +30s --end -1m --symbol BTCUSDT --stream trade

  hftcap replay btc --write-golden btc.golden             … then, after each change: --golden btc.golden

  hftcap replay btc --speed 1 --output - | my-consumer    payloads, a line each, when they are due

  duckdb -c "SELECT type, count(*), avg(latency_ns) FROM 'out/messages.parquet' GROUP BY type" """


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("replay", epilog=_EPILOG)(replay)


def replay(
    captures: Captures,
    speed: Annotated[
        str, typer.Option("--speed", "-x", metavar="X", help="0.5, 1, 10 … times as fast as it came, or max.")
    ] = "max",
    mps: Annotated[
        str | None, typer.Option("--mps", metavar="N", help="So many messages a second, whatever their times.")
    ] = None,
    max_gap: Annotated[
        str | None, typer.Option("--max-gap", metavar="SPAN", help="Shorten longer silences to this: 500ms, 2s, 1m.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="TIME", help="From here; the books are as they stand there.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", metavar="TIME", help="Up to here, RFC 3339, epoch, +30s, -5m.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin anew at the end, until interrupted.")] = False,
    passes: Annotated[int | None, typer.Option("--passes", min=1, help="Loop so many times.")] = None,
    start_paused: Annotated[bool, typer.Option("--start-paused", help="Be ready, and wait for Enter.")] = False,
    symbol: Annotated[list[str] | None, typer.Option("--symbol", "-s", help="Only this symbol; repeatable.")] = None,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", help="Only this stream: trade, btcusdt@depth@100ms; repeatable.")
    ] = None,
    connection: Annotated[list[int] | None, typer.Option("--connection", help="Only this one; repeatable.")] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="FOLDER", help="Write Parquet tables.")] = None,
    interval: Annotated[
        float | None, typer.Option(min=0.001, max=604_800, help="Seconds per row of the latency table; 1 if not given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace an earlier report or output.")] = False,
    golden: Annotated[
        Path | None, typer.Option("--golden", metavar="FILE", help="Hold every message against this golden file.")
    ] = None,
    write_golden: Annotated[
        Path | None, typer.Option("--write-golden", metavar="FILE", help="Write a golden file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write payloads when due; - is stdout.")
    ] = None,
    output_format: Annotated[
        PayloadFormat | None, typer.Option("--format", help="What a line of --output is; raw if not given.")
    ] = None,
    as_json: AsJson = False,
    jobs: Jobs = None,
    cpu: Cpu = None,
    timings: WithTimings = False,
) -> None:
    """Replay a capture through the parser and the order books, and summarise.

    With a speed, each message is handed on when it is due; how late it was is measured for every one, and the summary
    grades the run. A slow consumer makes messages late, never lost. With --report the tables messages, trades,
    book_updates, bbo, latency and gaps are written as Parquet.

    --golden names the first message that is no longer read as it was, or leads to another book.

    Ctrl-C ends the replay in good order, with its summary. Exit code 3 where records are known to be lost, or a
    message differs from the golden file; 2 where that is missing.
    """
    from hftcap.capture.reader import open_recordings
    from hftcap.kernel import Selection
    from hftcap.pacing import Pacer, grade
    from hftcap.replaying import Part, Replay

    wanted = _passes(loop=loop, passes=passes, once=(report, golden, write_golden))
    _refuse_idle({"--interval": (interval, report), "--format": (output_format, output)})
    _refuse_idle({"--force": (force or None, report or output)})
    pace = _pace(speed, mps, max_gap)
    selection = Selection(symbol or (), stream or (), connection or ())
    part = Part(selection, *_window(captures, start, end))
    if part and (golden or write_golden):
        raise typer.BadParameter("a golden file is of whole captures: leave out what selects a part of them")
    named = _named({"symbol": symbol, "stream": stream, "connection": connection}, start, end)
    pinned(cpu)
    # Threads that open blocks ahead take the lock from one that is to be in time.
    threads = jobs_of(1 if jobs is None and pace.rate is not None else jobs)
    watch = Stopwatch(timings)
    with ExitStack() as stack:
        stopped = stack.enter_context(stop_on_signal())
        pacer = Pacer(
            pace,
            SystemClock(),
            stopped=stopped,
            ready=(lambda: _wait_for_enter(stopped)) if start_paused else None,
            counts=selection.forecast_of if selection else None,
        )
        details = report is not None or golden is not None or write_golden is not None
        played = Replay(
            lambda: open_recordings(captures),
            pacer,
            part,
            passes=wanted,
            levels=details,
            jobs=threads,
            timings=watch.timings,
        )
        tables = stack.enter_context(_report(report, played.run, interval or 1.0, named, force=force, threads=threads))
        regression = stack.enter_context(golden_files(played.run, write_golden, golden))
        sinks = [each.take for each in (tables, regression) if each is not None]
        played.sinks += [watch.timed("writing", sink) for sink in sinks]
        inputs = [segment.path for recording in played.run.recordings for segment in recording.segments]
        write = stack.enter_context(payloads_to(output, output_format or PayloadFormat.RAW, inputs, force=force))
        advance = stack.enter_context(progress("replaying", played.run.file_bytes if wanted == 1 else None))
        for batch in played.batches(advance):
            if write is not None:
                write(batch.chunk, batch.rows.tolist())
        wall_ns = pacer.spent_ns()
        if tables is not None:
            watch.timed("writing", tables.end)(played.held, interrupted=stopped())
        if regression is not None and played.held is not None and not stopped():
            regression.finish(played.held, played.stats)
    stats = played.stats
    if part and not stats.records and not stopped():
        raise NothingSelected(named)
    verdict = grade(pace, pacer.lateness, pacer.planned_ns, pacer.actual_ns)
    result = to_json(stats, wall_ns, verdict) | {"passes": played.passes, "interrupted": stopped()}
    result |= watch.result(threads)
    if regression is not None:
        result |= regression.result
    talk = say if output == STDIN else show
    if as_json:
        show_json(result, to=talk)
    else:
        show_summary(result, wall_ns, talk)
    say_timings(result)
    absent = sorted(selection.symbols - set(played.run.kernel.symbols)) if stats.records else []
    _tell(result, stats, tables, absent, interrupted=details and stopped())


def _tell(
    result: dict[str, Any], stats: "Stats", tables: "Report | None", absent: list[str], *, interrupted: bool
) -> None:
    """Say on stderr what was written and what is wrong; exit 3 where something is lost or does not hold."""
    if tables is not None:
        say(tables.said)
    for name in absent:
        say(f"hftcap: there is no record of symbol {name}")
    for line in stats.unsound:
        say(f"hftcap: {line}")
    differs = not result.get("golden", {"ok": True})["ok"]
    if differs:
        say_difference(result["golden"])
    if interrupted or differs or not stats.complete:
        raise typer.Exit(3)


def _passes(*, loop: bool, passes: int | None, once: tuple[Path | None, ...]) -> int | None:
    """Return how many passes there are to be, None for no end; `once` are files that take one."""
    if loop and passes is not None:
        raise typer.BadParameter("--loop has no end, --passes has one: give one of them")
    wanted = None if loop else passes or 1
    if wanted != 1 and any(path is not None for path in once):
        raise typer.BadParameter("--report and golden files take one pass: leave out --loop and --passes")
    return wanted


def _refuse_idle(options: dict[str, tuple[object, object]]) -> None:
    """Refuse an option that says how to write what is not asked for."""
    for option, (given, needed) in options.items():
        if given is not None and needed is None:
            raise typer.BadParameter(f"{option} says how to write what is not asked for: see --report and --output")


def _pace(speed: str, mps: str | None, max_gap: str | None) -> "Pace":
    from hftcap.errors import BadPace, BadSpan
    from hftcap.pacing import Pace, mps_of, speed_of

    if mps is not None and (speed != "max" or max_gap is not None):
        raise typer.BadParameter("--mps takes the place of --speed and --max-gap: give one of them")
    if max_gap is not None and speed == "max":
        raise typer.BadParameter("--max-gap shortens what is waited for: give a --speed with it")
    option = "--speed"
    try:
        rate = speed_of(speed)
        option = "--max-gap"
        gap_ns = None if max_gap is None else span_ns(max_gap)
        option = "--mps"
        return Pace(rate, gap_ns, None if mps is None else mps_of(mps))
    except (BadPace, BadSpan) as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _window(captures: list[Path], start: str | None, end: str | None) -> tuple[int | None, int | None]:
    from hftcap.capture.reader import open_recordings
    from hftcap.pipeline import span

    relative = any(text is not None and text.startswith(("+", "-")) for text in (start, end))
    edges = span(open_recordings(captures)) if relative else (None, None)
    first, last = (None if text is None else instant_ns(text, *edges) for text in (start, end))
    if first is not None and last is not None and last < first:
        raise typer.BadParameter(f"--end {end} lies before --start {start}")
    return first, last


def _wait_for_enter(stopped: Callable[[], bool]) -> None:
    """Wait for a line on stdin, or its end; a signal ends the wait as well."""
    say("paused: press Enter to begin")
    try:
        while not select.select([sys.stdin], [], [], 0.1)[0]:
            if stopped():
                return
        sys.stdin.readline()
    except (ValueError, OSError, AttributeError):
        return  # no stdin, or one that nothing can be waited for on: there is nobody to press Enter


def _report(
    folder: Path | None, run: "Run", interval_s: float, part: str, *, force: bool, threads: int
) -> "AbstractContextManager[Report | None]":
    if folder is None:
        return nullcontext()
    from hftcap.report.parquet import Report

    ids = [each.preamble.capture_id for each in run.recordings]
    interval_ns = round(interval_s * 1e9)
    return Report(
        folder, ids, run.kernel, run.locate, interval_ns=interval_ns, part=part, force=force, threads=threads > 1
    )


def _named(chosen: dict[str, Any], start: str | None, end: str | None) -> str:
    """Write a selection as on the command line."""
    parts = [f"--{name} {value}" for name, values in chosen.items() for value in values or ()]
    parts += [f"--{name} {text}" for name, text in (("start", start), ("end", end)) if text is not None]
    return " ".join(parts)
