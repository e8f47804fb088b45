"""Paced replay on the real clock: drift, punctuality at the end, and a consumer that is too slow.

    python bench/bench_pacing.py [--corpus FOLDER]

Each speed is played twice: to a consumer that does nothing, which shows the pacing alone, and through the kernel, which
shows what a user gets. Drift is the median lateness of the last 500 records less that of the first 500. Exits 1 where
the pacing alone drifts by more than 0.2 ms, ends more than 20 ms after plan, or loses a record, in each of three tries.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import Chunk, open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.clock import SystemClock
from hftcap.interop.importer import SourceFormat, import_capture
from hftcap.market.walk import SYMBOL, Walk
from hftcap.pacing import Pace, Pacer, speed_of
from hftcap.pipeline import Run

SOURCE = "hftbacktest/spot/btcusdt_20240809.gz"
REAL_SECONDS = 10
"""Each speed is played for about so long."""
TRIES = 3
DRIFT_NS, END_NS = 200_000, 20_000_000
EDGE = 500
SLOW_NS = 200_000


def make(corpus: str | None, folder: Path) -> None:
    if corpus:
        import_capture(SourceFormat.HFTBACKTEST, [Path(corpus) / SOURCE], folder, market=None, created_ns=0)
        return
    head = CaptureHead("0" * 16, "spot", TimeBase.WALL, True, 0, "bench")
    with CaptureWriter(folder, head) as writer:
        for frame in Walk(1).frames(300):
            note = {"note": "rest", "symbol": SYMBOL} if frame.is_snapshot else None
            writer.add(frame.payload, frame.recv_ns, kind=Kind.REST if note else Kind.WS_TEXT, note=note)


def play(folder: Path, speed: str, consume: Callable[[Run, Chunk], object]) -> tuple[Pacer, list[int], int]:
    """Play the first seconds of a capture; return the pacer, each record's lateness, and how many there were."""
    run = Run(open_recording([folder]))
    span = run.recording.span()
    assert span is not None
    until = span[0] + int(REAL_SECONDS * float(speed) * 1e9)
    expected = sum(int((chunk.timeline_ns <= until).sum()) for chunk in open_recording([folder]).chunks())
    clock = SystemClock()
    pacer = Pacer(Pace(speed_of(speed)), clock)
    late: list[int] = []
    for piece in pacer.pieces(run.chunks(until)):
        now = clock.mono_ns() - pacer.schedule.begin_ns
        late += [now - int((at - span[0]) / float(speed)) for at in piece.timeline_ns[piece.rows].tolist()]
        consume(run, piece)
    return pacer, late, expected


def told(name: str, pacer: Pacer, late: list[int]) -> tuple[float, int]:
    """Print a line; return drift and how long after plan the end was, ns."""
    first, last = float(np.median(late[:EDGE])), float(np.median(late[-EDGE:]))
    after = pacer.actual_ns - pacer.planned_ns
    spread = np.percentile(late, [50, 99]) / 1e6
    print(
        f"{name:28} {len(late):7,} {first / 1e6:9.3f} {last / 1e6:9.3f} {spread[0]:9.3f} {spread[1]:9.3f} "
        f"{max(late) / 1e6:9.3f} {after / 1e6:9.3f}"
    )
    return abs(last - first), after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default=os.environ.get("HFTCAP_CORPUS"))
    options = parser.parse_args()
    failed = False
    print(f"{'lateness, ms':28} {'n':>7} {'first 500':>9} {'last 500':>9} {'p50':>9} {'p99':>9} {'max':>9} {'end':>9}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "capture"
        make(options.corpus, folder)
        for speed in ("0.5", "1", "10", "100"):
            kept = False
            for _ in range(TRIES):
                pacer, late, expected = play(folder, speed, lambda _run, _piece: None)
                drift, after = told(f"{speed}x, pacing alone", pacer, late)
                kept = drift <= DRIFT_NS and after <= END_NS and len(late) == expected
                if kept:
                    break
            failed |= not kept
            pacer, late, expected = play(
                folder, speed, lambda run, piece: run.kernel.run(piece.block, piece.stop, first=piece.first)
            )
            told(f"{speed}x, through the kernel", pacer, late)
            failed |= len(late) != expected
        pacer, late, expected = play(folder, "10", lambda _run, piece: time.sleep(piece.records * SLOW_NS / 1e9))
        told("10x, 0.2 ms a record", pacer, late)
        failed |= len(late) != expected
    if failed:
        sys.exit("a promise is broken")


if __name__ == "__main__":
    main()
