"""`hftcap synth`: a seeded synthetic market as a capture, with the truth beside it."""

from pathlib import Path
from typing import Annotated

import typer

from hftcap.binance.endpoints import Market
from hftcap.cli.console import progress, say, show_json
from hftcap.cli.options import AsJson, instant_ns, span_ns
from hftcap.errors import BadSpan

_EPILOG = """[bold]Examples[/bold]

  hftcap synth --seed 7 --duration 60s -o market

  hftcap synth --seed 7 --duration 10m --rate 20000 --market usdm --streams trade,bookTicker,depth@0ms -o busy

  hftcap synth --seed 7 --duration 1m --lines 2 --handover-at +20s --gap-at +40s --clock-offset=-1.5s -o hard

  hftcap stats market; hftcap book market -s BTCUSDT --at end; tail -1 market/truth.jsonl"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("synth", epilog=_EPILOG)(synth)


def synth(
    seed: Annotated[int, typer.Option(min=0, help="Same seed and options, same bytes.")],
    duration: Annotated[str, typer.Option(metavar="SPAN", help="How long the market runs: 500ms, 60s, 10m.")],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Capture folder to make.")],
    rate: Annotated[int, typer.Option(min=1, help="Messages a second, summed over all streams of a line.")] = 1_000,
    symbols: Annotated[str, typer.Option(metavar="A,B", help="Symbols, the busiest first.")] = "BTCUSDT,ETHUSDT",
    market: Annotated[Market, typer.Option(help="spot or usdm.")] = Market.SPOT,
    streams: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help="Names behind the @: trade, aggTrade, bookTicker, depth, depth@100ms, depth@0ms (usdm), depth20, "
            "kline_1m, miniTicker and their like.",
        ),
    ] = "trade,bookTicker,depth@100ms",
    delay: Annotated[str, typer.Option(metavar="SPAN", help="Least network delay one way.")] = "1ms",
    jitter: Annotated[str, typer.Option(metavar="SPAN", help="Mean of what comes on top of it.")] = "200us",
    clock_offset: Annotated[
        str, typer.Option(metavar="SPAN", help="Host's clock minus the venue's at the start; may be negative.")
    ] = "0ms",
    drift: Annotated[
        int, typer.Option(metavar="PPB", min=-1_000_000, max=1_000_000, help="ns a second the host's clock gains.")
    ] = 0,
    lines: Annotated[int, typer.Option(min=1, max=64, help="Redundant connections, each with its own delays.")] = 1,
    handover_at: Annotated[
        list[str] | None, typer.Option(metavar="TIME", help="Replace the connections then; repeatable.")
    ] = None,
    gap_at: Annotated[
        list[str] | None, typer.Option(metavar="TIME", help="Lose the connections then; repeatable.")
    ] = None,
    gaps: Annotated[int, typer.Option(min=0, max=10_000, help="Lose them so often, at times from the seed.")] = 0,
    gap_length: Annotated[str, typer.Option(metavar="SPAN", help="How long a gap lasts.")] = "1s",
    as_json: AsJson = False,
) -> None:
    """Make a market from a seed and write it as an ordinary capture, with the truth beside it in truth.jsonl.

    Order books with price-time priority and orders in bursts; ids, dialect, snapshots and times as the venue has them.
    The truth has every state of every book by update id, and every trade. Times are the venue's.
    """
    from hftcap import __version__
    from hftcap.market.plan import START_NS, Link, Plan, flaw_of, spread_gaps
    from hftcap.market.synth import synthesize

    span, gap_ns = _span("--duration", duration), _span("--gap-length", gap_length)

    def instants(texts: list[str] | None) -> tuple[int, ...]:
        return tuple(instant_ns(text, START_NS, START_NS + span) for text in texts or ())

    link = Link(
        delay_ns=_span("--delay", delay),
        jitter_ns=_span("--jitter", jitter),
        offset_ns=_signed_span("--clock-offset", clock_offset),
        drift_ppb=drift,
        lines=lines,
    )
    plan = Plan(
        seed=seed,
        duration_ns=span,
        rate=rate,
        market=market,
        symbols=_list("--symbols", symbols),
        streams=_list("--streams", streams),
        link=link,
        handovers=instants(handover_at),
        gaps=instants(gap_at) + spread_gaps(gaps, span, gap_ns, seed),
        gap_ns=gap_ns,
    )
    flaw = flaw_of(plan)
    if flaw is not None:
        raise typer.BadParameter(flaw)
    with progress("making", None) as advance:
        summary = synthesize(plan, out, __version__, advance)
    values = {
        "records": summary.records,
        "messages": summary.messages,
        "lost": summary.lost,
        "trades": summary.trades,
        "capture": str(summary.capture),
        "truth": str(summary.truth),
    }
    if as_json:
        show_json(values)
    gone = f", {summary.lost:,} of them in gaps" if summary.lost else ""
    say(f"{summary.messages:,} messages{gone}; {summary.records:,} records in {out}, the truth in {summary.truth}")


def _list(option: str, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise typer.BadParameter(f"{text!r}: expected names with commas between", param_hint=option)
    return names


def _span(option: str, text: str) -> int:
    try:
        return span_ns(text)
    except BadSpan as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _signed_span(option: str, text: str) -> int:
    return -_span(option, text[1:]) if text.startswith("-") else _span(option, text.removeprefix("+"))
