"""`hftcap demo`: the whole loop offline, in under a minute."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from hftcap.cli.console import say

_EPILOG = """[bold]Examples[/bold]

  hftcap demo

  hftcap demo --seed 7 --seconds 300 --out demo-300"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo", epilog=_EPILOG)(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the capture and the report.")] = Path("demo-out"),
    seed: Annotated[int, typer.Option(help="Same seed, same market.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Seconds of market time.")] = 60.0,
) -> None:
    """Make a small seeded capture, verify it, replay it through the order book, and write the Parquet tables.

    Every step is one ordinary command, printed before it runs, so that it can be repeated by hand.
    """
    capture = out / "capture"
    say(f"==> Making {seconds:g} s of a seeded market (seed {seed}) in {capture}")
    _make(capture, seed, seconds)
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


def _make(folder: Path, seed: int, seconds: float) -> None:
    import hashlib

    from hftcap import __version__
    from hftcap.capture.format import Kind, TimeBase
    from hftcap.capture.writer import CaptureHead, CaptureWriter
    from hftcap.market.walk import START_NS, SYMBOL, Walk

    head = CaptureHead(
        # Spread over all digits, because the names of files have the first eight only.
        capture_id=hashlib.blake2b(str(seed).encode(), digest_size=8).hexdigest(),
        market="spot",
        time_base=TimeBase.WALL,
        expects_snapshots=True,
        created_ns=START_NS,
        hftcap=__version__,
        symbols=[SYMBOL],
    )
    with CaptureWriter(folder, head) as writer:
        for frame in Walk(seed).frames(seconds):
            if frame.is_snapshot:
                note = {"note": "rest", "symbol": SYMBOL, "received_ns": frame.recv_ns}
                writer.add(frame.payload, frame.recv_ns, kind=Kind.REST, conn=1, note=note)
            else:
                writer.add(frame.payload, frame.recv_ns)
