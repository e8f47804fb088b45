"""Replay through the reference kernel, against orjson and a dict book with cached best prices."""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from hftcap.binance.endpoints import Market
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import Recording, open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.interop.importer import SourceFormat, import_capture
from hftcap.market.walk import SYMBOL, Walk
from hftcap.pipeline import Run

CORPUS = os.environ.get("HFTCAP_CORPUS")
REAL = ("hftbacktest/spot/btcusdt_20240808.gz", "hftbacktest/usdm/btcusdt_20240808.gz")
ROUNDS = 5


@pytest.fixture(params=REAL if CORPUS else ("walk",))
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Recording:
    out = tmp_path / "capture"
    if CORPUS:
        source = Path(CORPUS) / request.param
        import_capture(SourceFormat.HFTBACKTEST, [source], out, market=None, created_ns=0)
        return open_recording([out])
    head = CaptureHead("0" * 16, Market.SPOT, TimeBase.WALL, True, 0, "bench")
    with CaptureWriter(out, head) as writer:
        for frame in Walk(1).frames(300):
            note = {"note": "rest", "symbol": SYMBOL} if frame.is_snapshot else None
            writer.add(frame.payload, frame.recv_ns, kind=Kind.REST if note else Kind.WS_TEXT, note=note)
    return open_recording([out])


class PeerBook:
    """Floats in two dicts, best prices cached, looked for again when they are removed; no joining, no checks."""

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.bid = 0.0
        self.ask = float("inf")

    def apply(self, bids: list[list[str]], asks: list[list[str]]) -> None:
        for price_text, size_text in bids:
            price, size = float(price_text), float(size_text)
            if size:
                self.bids[price] = size
                self.bid = max(self.bid, price)
            elif self.bids.pop(price, 0.0) and price == self.bid:
                self.bid = max(self.bids, default=0.0)
        for price_text, size_text in asks:
            price, size = float(price_text), float(size_text)
            if size:
                self.asks[price] = size
                self.ask = min(self.ask, price)
            elif self.asks.pop(price, 0.0) and price == self.ask:
                self.ask = min(self.asks, default=float("inf"))


def replay_peer(payloads: list[bytes]) -> PeerBook:
    """Build the book from the snapshot, wherever it stands, and the updates behind it."""
    book = PeerBook()
    snapshot_id = 0
    for payload in payloads:
        if payload.startswith(b'{"lastUpdateId"'):
            snapshot = orjson.loads(payload)
            snapshot_id = snapshot["lastUpdateId"]
            book.apply(snapshot["bids"], snapshot["asks"])
    for payload in payloads:
        message = orjson.loads(payload)
        fields = message.get("data", message)
        event = fields.get("e")
        if event == "depthUpdate":
            if fields["u"] > snapshot_id:
                book.apply(fields["b"], fields["a"])
        elif "lastUpdateId" in fields:
            continue
        elif event == "trade":
            float(fields["p"]), float(fields["q"]), fields["t"], fields["T"], fields["m"]
        else:
            float(fields["b"]), float(fields["B"]), float(fields["a"]), float(fields["A"]), fields["u"]
    return book


def replay_reference(recording: Recording) -> Run:
    run = Run(recording)
    for _ in run.batches():
        pass
    return run


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def test_reference_against_orjson_and_dict(recording: Recording, benchmark) -> None:
    """Interleaved rounds; the ratio of the two best CPU times is what to quote (the reference decompresses, too)."""
    payloads = [payload for chunk in recording.chunks() for payload in chunk.block.payload_list()]
    ratios = []
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(cpu_seconds(lambda: replay_peer(payloads)))
        ours.append(cpu_seconds(lambda: replay_reference(recording)))
        ratios.append(ours[-1] / theirs[-1])
    run = benchmark.pedantic(replay_reference, args=(recording,), rounds=1)
    (book,) = run.kernel.books.values()
    peer = replay_peer(payloads)
    bid, _, ask, _ = book.book.touch()
    assert (bid / 1e8, ask / 1e8) == (peer.bid, peer.ask), "both must end at the same touch"
    benchmark.extra_info["cpu ratio to orjson and dict, best"] = round(min(ours) / min(theirs), 2)
    print(
        f"\n{len(payloads):,} messages: reference {min(ours) / len(payloads) * 1e9:,.0f} ns a message, "
        f"orjson and dict {min(theirs) / len(payloads) * 1e9:,.0f}; ratio best {min(ours) / min(theirs):.2f}, "
        f"median of rounds {statistics.median(ratios):.2f}"
    )
