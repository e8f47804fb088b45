"""`hftcap demo`: the whole loop offline, in under a minute."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from hftcap.cli.console import say
from hftcap.cli.options import span_ns

_EPILOG = """[bold]Examples[/bold]

  hftcap demo

  hftcap demo --seed 7 --seconds 300 --out demo-300"""


_RATE = 300
"""Messages a second: few enough that all of it is done in seconds."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo", epilog=_EPILOG)(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the capture and the report.")] = Path("demo-out"),
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same market.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Seconds of market time.")] = 60.0,
) -> None:
    """Make a small seeded capture, verify it, replay it through the order book, and write the Parquet tables.

    Every step is one ordinary command, printed before it runs, so that it can be repeated by hand.
    """
    from hftcap import __version__
    from hftcap.market.plan import Plan
    from hftcap.market.synth import synthesize

    capture = out / "capture"
    duration = f"{seconds:g}s"
    words = ["synth", "--seed", str(seed), "--duration", duration, "--rate", str(_RATE), "-o", str(capture)]
    say(f"==> hftcap {shlex.join(words)}")
    made = synthesize(Plan(seed, span_ns(duration), _RATE), capture, __version__)
    say(f"{made.messages:,} messages, {made.trades:,} trades")
    report = out / "report"
    for words in (
        ["verify", str(capture)],
        ["replay", str(capture), "--speed", "max", "--report", str(report)],
        ["stats", str(capture)],
        ["book", str(capture), "--symbol", "BTCUSDT", "--at", "end", "--levels", "5"],
    ):
        say(f"\n==> hftcap {shlex.join(words)}")
        code = subprocess.run([sys.executable, "-m", "hftcap", *words], check=False).returncode  # noqa: S603
        if code:
            raise typer.Exit(code)
    say(f"\n==> Done. The capture is in {capture}, the tables are in {report}")
