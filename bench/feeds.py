"""The captures that benchmarks run on: real ones, where `HFTCAP_CORPUS` names their folder, or a seeded market's."""

import os
from dataclasses import dataclass
from pathlib import Path

from hftcap.binance.endpoints import Market
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import Recording, open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.interop.importer import SourceFormat, import_capture
from hftcap.kernel.reference import ReferenceKernel
from hftcap.market.walk import SYMBOL, Walk

CORPUS = os.environ.get("HFTCAP_CORPUS")
REAL = ("hftbacktest/spot/btcusdt_20240809.gz", "hftbacktest/usdm/btcusdt_20240808.gz")
MADE_UP = "a seeded market"
NAMES = REAL if CORPUS else (MADE_UP,)
_SEED = 1
_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Feed:
    """One capture, and its payloads without the frame around them. `source` is the file it is of, if any."""

    name: str
    recording: Recording
    market: Market
    payloads: list[bytes]
    source: Path | None

    def new(self, kernel: type[ReferenceKernel]) -> ReferenceKernel:
        """Return a kernel that has seen nothing yet."""
        return kernel(self.market, expects_snapshots=self.recording.preamble.expects_snapshots)


def feed_of(name: str, folder: Path) -> Feed:
    """Make the capture of that name in a folder and open it."""
    source = None
    if name == MADE_UP:
        _walk(folder)
    else:
        source = Path(CORPUS or "") / name
        import_capture(SourceFormat.HFTBACKTEST, [source], folder, market=None, created_ns=0)
    recording = open_recording([folder])
    payloads = [payload for chunk in recording.chunks() for payload in chunk.block.payload_list()]
    return Feed(name, recording, Market(recording.preamble.market), payloads, source)


def _walk(folder: Path) -> None:
    head = CaptureHead("0" * 16, Market.SPOT, TimeBase.WALL, True, 0, "bench")
    with CaptureWriter(folder, head) as writer:
        for frame in Walk(_SEED).frames(_SECONDS):
            note = {"note": "rest", "symbol": SYMBOL} if frame.is_snapshot else None
            writer.add(frame.payload, frame.recv_ns, kind=Kind.REST if note else Kind.WS_TEXT, note=note)
