"""What writing a record costs, and what reading it back does."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from hftcap.binance.endpoints import Market
from hftcap.capture.ahead import opening
from hftcap.capture.format import TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from tests.kernel.mutating import Feeder

RECORDS = 20_000
BEGIN_NS = 1_723_161_255_000_000_000
STEP_NS = 1_000_000


@pytest.fixture(scope="module")
def payloads() -> list[bytes]:
    feeder = Feeder("BTCUSDT", Market.USDM, random.Random(1))
    return [feeder.any() for _ in range(RECORDS)]


def write(folder: Path, payloads: list[bytes], level: int = 1) -> Path:
    head = CaptureHead("0" * 16, Market.USDM, TimeBase.WALL, False, 0, "bench")
    with CaptureWriter(folder, head, level=level, fsync=False) as writer:
        for number, payload in enumerate(payloads):
            writer.add(payload, BEGIN_NS + number * STEP_NS)
    return folder


def stored(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Yield time and payload of each record."""
    for chunk in open_recording([folder]).chunks():
        yield from zip(chunk.timeline_ns.tolist(), chunk.block.payload_list(), strict=True)


@pytest.mark.parametrize("level", [1, 3])
def test_writer(payloads: list[bytes], level: int, tmp_path: Path, benchmark) -> None:
    """What is read back is what was handed over, in order; nothing is forced to the disk, which is the disk's time."""
    numbers = itertools.count()

    def fresh() -> tuple[tuple[Path, list[bytes], int], dict[str, object]]:
        return (tmp_path / str(next(numbers)), payloads, level), {}

    folder = benchmark.pedantic(write, setup=fresh, rounds=10)
    assert list(stored(folder)) == [(BEGIN_NS + n * STEP_NS, payload) for n, payload in enumerate(payloads)]
    size = sum(path.stat().st_size for path in folder.iterdir())
    benchmark.extra_info |= {"messages a round": RECORDS, "bytes a message": round(size / RECORDS, 1)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_reader(payloads: list[bytes], jobs: int, tmp_path: Path, benchmark) -> None:
    """All payloads' bytes come by, in blocks, whether opened by one thread or ahead by another."""
    recording = open_recording([write(tmp_path / "capture", payloads)])
    recording.opening = opening(jobs)

    def read() -> tuple[int, int]:
        records = size = 0
        for chunk in recording.chunks():
            records += chunk.records
            size += len(chunk.block.payloads)
        return records, size

    assert read() == (RECORDS, sum(len(payload) + 1 for payload in payloads))
    assert [payload for _, payload in stored(tmp_path / "capture")] == payloads
    benchmark(read)
    benchmark.extra_info["messages a round"] = RECORDS
