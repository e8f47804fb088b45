"""The small seeded market is one a venue could have sent: a replay of it has a right answer, and finds it."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hftcap.binance.depth_sync import BookState
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.kernel.columns import STATE_CODE
from hftcap.market.walk import DIFF_NS, START_NS, SYMBOL, Frame, Walk
from hftcap.pipeline import Run
from hftcap.stats import collect

SEEDS = range(20)
SECONDS = 4.0


def frames_of(seed: int, seconds: float = SECONDS) -> list[Frame]:
    return list(Walk(seed).frames(seconds))


def events(frames: list[Frame], name: str) -> list[Any]:
    """Return what the frames of one stream carry, decoded."""
    decoded = [json.loads(frame.payload) for frame in frames if not frame.is_snapshot]
    return [event["data"] for event in decoded if event["stream"] == f"{SYMBOL.lower()}@{name}"]


def write(folder: Path, frames: list[Frame]) -> None:
    head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, True, START_NS, "0.1.0", symbols=[SYMBOL])
    with CaptureWriter(folder, head, fsync=False) as writer:
        for frame in frames:
            note = {"note": "rest", "symbol": SYMBOL} if frame.is_snapshot else None
            writer.add(frame.payload, frame.recv_ns, kind=Kind.REST if note else Kind.WS_TEXT, note=note)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_gives_the_same_bytes(seed):
    """Frame for frame, byte for byte; another seed gives another market."""
    frames = frames_of(seed, 1)
    assert frames == frames_of(seed, 1)
    assert [frame.payload for frame in frames] != [frame.payload for frame in frames_of(seed + 1, 1)]


def test_more_time_is_more_of_the_same():
    """A longer market begins with the shorter one."""
    short, long = frames_of(7, 1), frames_of(7, 2)
    inside = [frame for frame in short if frame.recv_ns < START_NS + 10**9]
    assert long[: len(inside)] == inside
    assert len(long) > len(short) > 50


@pytest.mark.parametrize("seed", SEEDS)
def test_a_replay_of_it_finds_the_book_right(seed, tmp_path):
    """Synced, no gap, nothing stale or odd, never crossed; every comparison with the bookTicker is equal."""
    frames = frames_of(seed)
    write(tmp_path / "c", frames)
    stats = collect(open_recording([tmp_path / "c"]))
    assert stats.records == len(frames)
    assert stats.oddities == {}
    assert set(stats.by_type) == {"trade", "bookTicker", "depthUpdate", "rest_depth"}
    symbol = stats.symbols[SYMBOL]
    book = symbol.book
    assert book is not None
    assert (book.sync.state, book.sync.gaps, book.sync.stale, book.crossed) == (BookState.SYNCED, 0, 0, 0)
    assert book.snapshots == 1
    assert book.check.equal == book.check.checked > 30
    prints = symbol.prints["trade"]
    assert (prints.missing, prints.duplicates, prints.off_market) == (0, 0, 0)
    assert prints.n > 50


@pytest.mark.parametrize("seed", SEEDS)
def test_the_book_is_never_crossed_or_empty_after_any_record(seed, tmp_path):
    """Once the snapshot joined there is a bid below an ask after every single record."""
    write(tmp_path / "c", frames_of(seed))
    run = Run(open_recording([tmp_path / "c"]))
    joined = 0
    for batch in run.batches():
        synced = batch.columns.state == STATE_CODE["synced"]
        joined += int(synced.sum())
        assert (batch.columns.bid_px_e8[synced] > 0).all()
        assert (batch.columns.bid_px_e8 < batch.columns.ask_px_e8)[synced].all()
    assert joined > 100


@pytest.mark.parametrize("seed", SEEDS)
def test_ids_and_times_are_a_venues(seed):
    """Diffs chain by U = u + 1 every 100 ms, trade ids rise by one, quotes' ids rise, receive times never fall."""
    frames = frames_of(seed)
    received = [frame.recv_ns for frame in frames]
    assert received == sorted(received)
    assert received[0] > START_NS
    diffs = events(frames, "depth@100ms")
    assert all(first["u"] + 1 == second["U"] for first, second in pairwise(diffs))
    assert all(diff["U"] <= diff["u"] for diff in diffs)
    at = [frame.recv_ns for frame in frames if b"depthUpdate" in frame.payload]
    assert at == [START_NS + DIFF_NS * (number + 1) for number in range(len(at))]
    trades = [trade["t"] for trade in events(frames, "trade")]
    assert trades == list(range(trades[0], trades[0] + len(trades)))
    quotes = [quote["u"] for quote in events(frames, "bookTicker")]
    assert all(first < second for first, second in pairwise(quotes))


@pytest.mark.parametrize("seed", SEEDS)
def test_frames_are_in_the_venues_form(seed):
    """Envelopes with the stream first, decimals of eight places above zero, one REST body, E before the receipt."""
    frames = frames_of(seed)
    (snapshot,) = [frame for frame in frames if frame.is_snapshot]
    assert set(json.loads(snapshot.payload)) == {"lastUpdateId", "bids", "asks"}
    for frame in frames:
        if frame.is_snapshot:
            continue
        assert frame.payload.startswith(b'{"stream":"btcusdt@')
        event = json.loads(frame.payload)["data"]
        assert event["s"] == SYMBOL
        assert event.get("E", 0) * 1_000_000 < frame.recv_ns
        for key in "pqBbAa":
            if isinstance(event.get(key), str):
                assert float(event[key]) > 0
                assert len(event[key].partition(".")[2]) == 8
