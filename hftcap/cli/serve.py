"""`hftcap serve`: a capture as a Binance endpoint on this host, at any speed, with faults on request."""

import asyncio
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hftcap.binance.endpoints import Market
from hftcap.cli.console import say, show
from hftcap.cli.options import CapturesIfAny, instant_ns, span_ns, temporary_folder
from hftcap.clock import SystemClock

if TYPE_CHECKING:
    from hftcap.pacing import Pace
    from hftcap.serve.options import Options

_EPILOG = """[bold]Examples[/bold]

  hftcap serve btc --port 8080                          at the speed it was captured, from the first subscription on

  hftcap serve btc --port 8080 --speed 20               twenty times as fast; max does not wait at all

  hftcap serve btc --port 8443 --tls cert.pem key.pem   https and wss

  hftcap serve btc --port 8080 --faults faults.toml     with events dropped, connections cut, answers refused

  hftcap serve --synthetic 7 --port 8080                a market of a minute made from a seed

  curl 'http://127.0.0.1:8080/api/v3/depth?symbol=BTCUSDT&limit=5'"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("serve", epilog=_EPILOG)(serve)


def serve(
    captures: CapturesIfAny = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="REST and WebSocket both; 0 picks a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on; others than this host's are open to others.")] = (
        "127.0.0.1"
    ),
    tls: Annotated[
        tuple[Path, Path] | None, typer.Option("--tls", metavar="CERT KEY", help="Speak https and wss with these.")
    ] = None,
    speed: Annotated[str, typer.Option("--speed", "-x", metavar="X", help="0.5, 1, 10 … times, or max.")] = "1",
    max_gap: Annotated[
        str | None, typer.Option("--max-gap", metavar="SPAN", help="Shorten longer silences to this.")
    ] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="Begin here, with the books.")] = None,
    market: Annotated[Market | None, typer.Option(help="What the capture must be of.")] = None,
    start_on: Annotated[
        str, typer.Option("--start-on", metavar="EVENT", help="first-subscribe, connect or now.")
    ] = "first-subscribe",
    at_end: Annotated[str, typer.Option("--at-end", metavar="WHAT", help="hold, close or loop.")] = "hold",
    age_limit: Annotated[
        str | None, typer.Option("--age-limit", metavar="SPAN", help="End connections of this age; 24h if not given.")
    ] = None,
    faults: Annotated[Path | None, typer.Option("--faults", metavar="FILE", help="TOML: docs/serve.md.")] = None,
    derive: Annotated[
        str | None, typer.Option("--derive", metavar="aggTrade", help="Make aggTrade from trade, where it is missing.")
    ] = None,
    rebase_time: Annotated[
        bool, typer.Option("--rebase-time", help="Move the venue's times to now; only at speed 1.")
    ] = False,
    synthetic: Annotated[
        int | None, typer.Option("--synthetic", metavar="SEED", min=0, help="Serve a market made from a seed.")
    ] = None,
    duration: Annotated[str, typer.Option(metavar="SPAN", help="How long that market runs.")] = "60s",
) -> None:
    """Serve a capture on Binance's own paths, WebSocket and REST, so that unmodified clients follow it.

    Prints one line of JSON when it accepts connections, then serves until interrupted. The market begins about a second
    after the first subscription to a stream it has. The bytes of every event are those captured; REST depth comes from
    the book at that instant. What the capture cannot know is refused as the venue refuses, and said on stderr.

    Only this host can connect unless --host says otherwise. Exit code 3 where the capture was found damaged.
    """
    from hftcap.errors import BadFaults
    from hftcap.serve.faults import read_faults
    from hftcap.serve.options import AtEnd, Options, StartOn

    if (synthetic is None) == (not captures):
        raise typer.BadParameter("give either captures or --synthetic SEED")
    if derive not in (None, "aggTrade"):
        raise typer.BadParameter(f"{derive!r}: aggTrade is all that can be derived", param_hint="--derive")
    pace = _pace(speed, max_gap)
    if rebase_time and (pace.speed != 1 or pace.max_gap_ns is not None):
        raise typer.BadParameter(
            "--rebase-time takes speed 1 and no --max-gap: elsewhere times do not go as real time does"
        )
    try:
        planned, limits = ((), {}) if faults is None else read_faults(faults)
    except BadFaults as error:
        raise typer.BadParameter(str(error), param_hint="--faults") from None
    if age_limit is not None:
        limits["max_age_ns"] = _span("--age-limit", age_limit)
    paths = list(captures or ()) or [_synthetic(synthetic or 0, _span("--duration", duration), market)]
    options = Options(
        captures=paths,
        host=host,
        port=port,
        tls=tls,
        pace=pace,
        market=market,
        faults=planned,
        limits=limits,
        start_on=StartOn(_choice("--start-on", start_on, list(StartOn))),
        at_end=AtEnd(_choice("--at-end", at_end, list(AtEnd))),
        derive=derive is not None,
        rebase=rebase_time,
        start_ns=_start(paths, start),
    )
    asyncio.run(_serve(options))


async def _serve(options: "Options") -> None:
    from hftcap.serve.market import ServedMarket
    from hftcap.serve.server import Server

    clock = SystemClock()
    try:
        market = ServedMarket(options, clock)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--faults") from None
    server = Server(options, market, clock, say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.done.set)
    await server.start()
    if options.host not in ("127.0.0.1", "::1", "localhost"):
        say(f"hftcap: listening on {options.host}: others can connect")
    _tell(options, market.catalog.unnamed, derived=options.derive)
    name = f"[{options.host}]" if ":" in options.host else options.host
    secure = "s" if options.tls is not None else ""
    where = f"{name}:{server.port}"
    # One line, on a terminal as well.
    show(json.dumps({"ready": True, "rest": f"http{secure}://{where}", "ws": f"ws{secure}://{where}"}))
    await server.run()
    if market.findings:
        raise typer.Exit(3)


def _tell(options: "Options", unnamed: list[str], *, derived: bool) -> None:
    if unnamed:
        say(f"hftcap: events without a stream's name are served as {', '.join(unnamed)}")
    if derived:
        say("hftcap: aggTrade is derived from trade: ids count from 1, aggregates are by taker order, price and time")
    if options.rebase:
        say("hftcap: times are moved to now: events are not byte for byte those captured")


def _pace(speed: str, max_gap: str | None) -> "Pace":
    from hftcap.errors import BadPace
    from hftcap.pacing import Pace, speed_of

    try:
        rate = speed_of(speed)
    except BadPace as error:
        raise typer.BadParameter(str(error), param_hint="--speed") from None
    if max_gap is not None and rate is None:
        raise typer.BadParameter("--max-gap shortens what is waited for: give a --speed with it")
    return Pace(rate, None if max_gap is None else _span("--max-gap", max_gap))


def _span(option: str, text: str) -> int:
    from hftcap.errors import BadSpan

    try:
        span = span_ns(text)
    except BadSpan as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if not span:
        raise typer.BadParameter("expected more than nothing", param_hint=option)
    return span


def _choice(option: str, text: str, choices: list[str]) -> str:
    if text not in choices:
        raise typer.BadParameter(f"{text!r}: expected {', '.join(choices)}", param_hint=option)
    return text


def _start(paths: list[Path], start: str | None) -> int | None:
    if start is None:
        return None
    from hftcap.capture.reader import open_recordings
    from hftcap.pipeline import span

    edges = span(open_recordings(paths)) if start.startswith(("+", "-")) else (None, None)
    return instant_ns(start, *edges)


def _synthetic(seed: int, duration_ns: int, market: Market | None) -> Path:
    """Make a market in a folder that goes when we do."""
    from hftcap import __version__
    from hftcap.market.plan import Plan, flaw_of
    from hftcap.market.synth import synthesize

    of = market or Market.SPOT
    depth = "depth@100ms" if of is Market.SPOT else "depth@0ms"
    plan = Plan(seed=seed, duration_ns=duration_ns, market=of, streams=("trade", "bookTicker", depth))
    flaw = flaw_of(plan)
    if flaw is not None:
        raise typer.BadParameter(flaw, param_hint="--synthetic")
    folder = temporary_folder() / "synthetic"
    return synthesize(plan, folder, __version__, lambda _amount: None).capture
