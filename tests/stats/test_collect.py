"""One pass over a capture counts what is in it: records of every kind, the feed by symbol, and what is lost."""

import json
from pathlib import Path

import pytest

from hftcap.capture.format import NONE_NS, Kind, TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.segment_writer import WallOffset
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.stats import Stats, collect

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "capture"


def writer_of(folder: Path, *, monotonic: bool = False, block_bytes: int = 1 << 18) -> CaptureWriter:
    base = TimeBase.MONOTONIC if monotonic else TimeBase.WALL
    head = CaptureHead("00112233445566aa", "spot", base, False, START_NS, "0.1.0")
    return CaptureWriter(folder, head, block_bytes=block_bytes, fsync=False)


def of(folder: Path) -> Stats:
    return collect(open_recording([folder]))


def enveloped(stream: str, **event: object) -> bytes:
    return json.dumps({"stream": stream, "data": event}).encode()


def trade(number: int, event_ms: int, symbol: str = "BTCUSDT", size: str = "1", *, sold: bool = False) -> bytes:
    times = {"E": event_ms, "T": event_ms}
    return enveloped(f"{symbol.lower()}@trade", e="trade", s=symbol, t=number, p="5", q=size, m=sold, M=True, **times)


def quote(update_id: int, symbol: str = "BTCUSDT") -> bytes:
    return enveloped(f"{symbol.lower()}@bookTicker", u=update_id, s=symbol, b="1", B="1", a="2", A="1")


SNAPSHOT = b'{"lastUpdateId":5,"bids":[["1","1"]],"asks":[["2","1"]]}'
TIMED_REST = b'{"lastUpdateId":5,"E":1700000000000,"T":1700000000000,"bids":[],"asks":[]}'


def test_counts_are_of_stored_records_by_kind_stream_and_type(folder):
    """Every record counts once in each; what has no envelope is "(raw)"; payload bytes are the payloads alone."""
    with writer_of(folder, block_bytes=100) as writer:
        payloads = [trade(1, 1_700_000_000_000), trade(2, 1_700_000_000_000), quote(1), b'{"result":null,"id":1}', b"{"]
        for payload in payloads:
            writer.add(payload, START_NS)
        writer.add(b"\x00", START_NS, kind=Kind.WS_BINARY)
        writer.add(SNAPSHOT, START_NS, kind=Kind.REST, note={"note": "rest", "symbol": "BTCUSDT"})
    stats = of(folder)
    assert stats.records == 7
    assert stats.by_kind == {"ws_text": 5, "ws_binary": 1, "rest": 1}
    assert stats.by_stream == {"btcusdt@trade": 2, "btcusdt@bookTicker": 1, "(raw)": 4}
    assert stats.by_type == {"trade": 2, "bookTicker": 1, "ack": 1, "malformed": 1, "unknown": 1, "rest_depth": 1}
    assert stats.oddities == {"malformed": 1, "unknown": 1}
    assert stats.raw_bytes == sum(map(len, payloads)) + 1 + len(SNAPSHOT)
    assert stats.file_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert stats.complete


def test_first_and_last_are_the_least_and_the_greatest_stamp(folder):
    """Receive times run backwards across connections and blocks; the span is of all of them."""
    with writer_of(folder, block_bytes=1) as writer:
        for offset in (50, 70, 20, 90, 60):
            writer.add(b"{}", START_NS + offset)
    stats = of(folder)
    assert (stats.first_recv_ns, stats.last_recv_ns) == (START_NS + 20, START_NS + 90)


def test_an_empty_capture_is_all_zero(folder):
    """No record, no time: a capture of nothing is counted like any other."""
    with writer_of(folder):
        pass
    stats = of(folder)
    assert (stats.records, stats.first_recv_ns, stats.last_recv_ns, stats.raw_bytes) == (0, None, None, 0)
    assert stats.symbols == {} == stats.latency
    assert {name: peak.peak for name, peak in stats.peaks.items()} == {"1s": 0, "100ms": 0, "10ms": 0}
    assert stats.complete


def test_peaks_are_of_websocket_messages_across_blocks(folder):
    """A REST body is no message of the feed; a window may lie in several blocks."""
    with writer_of(folder, block_bytes=40) as writer:
        for step in range(8):
            writer.add(quote(step), START_NS + step * 10 * MS, kind=Kind.WS_TEXT)
            writer.add(SNAPSHOT, START_NS + step * 10 * MS, kind=Kind.REST)
            writer.add(b"\x01", START_NS + step * 10 * MS, kind=Kind.WS_BINARY)
    stats = of(folder)
    assert {name: peak.peak for name, peak in stats.peaks.items()} == {"1s": 16, "100ms": 16, "10ms": 2}


def test_latency_is_receive_minus_event_time_by_event_type(folder):
    """Each type with an E has its own distribution, negative values included; REST bodies and bookTickers have none."""
    lags = [-3 * MS, 0, 5 * MS]
    with writer_of(folder) as writer:
        for number, lag in enumerate(lags):
            writer.add(trade(number, 1_700_000_000_000), START_NS + lag)
        writer.add(quote(1), START_NS)
        writer.add(TIMED_REST, START_NS, kind=Kind.REST, note={"note": "rest", "symbol": "BTCUSDT"})
    stats = of(folder)
    assert set(stats.latency) == {"trade"}
    found = stats.latency["trade"]
    assert (found.n, found.min, found.max, found.negative) == (3, -3 * MS, 5 * MS, 1)
    assert found.quantiles([0.5]) == [0]


def test_kernel_lag_is_counted_where_there_was_a_kernel_stamp(folder):
    """A record without kernel stamp adds nothing; one with it also moves the receive time."""
    with writer_of(folder, monotonic=True) as writer:
        writer.wall = WallOffset(START_NS, 10)
        for lag in (NONE_NS, 300, 200, NONE_NS):
            writer.add(b"{}", 1_000, rx_lag_ns=lag)
    stats = of(folder)
    assert (stats.rx_lag.n, stats.rx_lag.min, stats.rx_lag.max) == (2, 200, 300)
    assert (stats.first_recv_ns, stats.last_recv_ns) == (START_NS + 700, START_NS + 1_000)


@pytest.mark.parametrize(("offsets", "steps"), [((), 0), ((5,), 0), ((5, 5, 5), 0), ((5, 6, 6, 5), 2)])
def test_steps_of_the_wall_clock_are_counted(folder, offsets, steps):
    """Each change of the offset between wall and monotonic clock is a step."""
    with writer_of(folder, monotonic=True, block_bytes=1) as writer:
        for mono, offset in enumerate(offsets):
            writer.wall = WallOffset(START_NS + offset, 1)
            writer.add(b"{}", mono)
    assert of(folder).clock_steps == steps


def test_losses_are_the_sum_of_their_notes(folder):
    """A note counts wherever it stands, also in a block without any record; then the capture is not complete."""
    with writer_of(folder) as writer:
        writer.add(b"{}", START_NS)
        writer.note({"note": "loss", "count": 3, "cause": "queue full"})
        writer.begin_segment()
        writer.note({"note": "loss", "count": 4, "cause": "queue full"})
    stats = of(folder)
    assert (stats.losses, stats.records, stats.complete) == (7, 1, False)


def test_a_segment_that_was_not_sealed_is_truncated(folder):
    """A `.part` may still be written; what it has is counted, and the count is not called complete."""
    with pytest.raises(KeyboardInterrupt), writer_of(folder) as writer:
        writer.add(quote(1), START_NS)
        raise KeyboardInterrupt
    stats = of(folder)
    assert (stats.records, stats.truncated, stats.complete) == (1, True, False)


def test_a_segment_that_is_being_written_is_as_it_should_be(folder):
    """It has no footer yet, and nothing of it is lost."""
    with writer_of(folder, block_bytes=1) as writer:
        writer.add(quote(1), START_NS)
        writer.add(quote(2), START_NS)
        stats = of(folder)
    assert (stats.truncated, stats.being_written, stats.unsound, stats.complete) == (True, True, [], True)


def test_a_damaged_block_is_named_and_the_rest_is_counted(folder):
    """The finding has file and byte; the records of other blocks are all there."""
    with writer_of(folder, block_bytes=1) as writer:
        for number in range(3):
            writer.add(quote(number), START_NS)
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    content[content.index(b"\x89HCBLOCK") + 130] ^= 1
    path.write_bytes(content)
    stats = of(folder)
    assert (stats.records, stats.complete, stats.truncated) == (2, False, False)
    assert len(stats.damaged) == 1
    assert path.name in stats.damaged[0]


def test_symbols_are_counted_apart_and_only_from_the_feed(folder):
    """Messages by type, prints by numbering, and the book; a REST body is no message of a symbol."""
    with writer_of(folder, block_bytes=200) as writer:
        for number, size, sold in ((10, "0.5", True), (11, "0.25", False), (14, "1.00000001", True)):
            writer.add(trade(number, 1_700_000_000_000, "ETHUSDT", size, sold=sold), START_NS)
        writer.add(quote(7), START_NS)
        aggregate = {"a": 9, "f": 1, "l": 2, "m": True, "p": "1", "q": "2", "E": 1_700_000_000_000}
        writer.add(enveloped("ethusdt@aggTrade", e="aggTrade", s="ETHUSDT", T=1_700_000_000_000, **aggregate), START_NS)
        writer.add(SNAPSHOT, START_NS, kind=Kind.REST, note={"note": "rest", "symbol": "SOLUSDT"})
    stats = of(folder)
    assert set(stats.symbols) == {"ETHUSDT", "BTCUSDT", "SOLUSDT"}
    ether = stats.symbols["ETHUSDT"]
    assert ether.messages == {"trade": 3, "aggTrade": 1}
    found = ether.prints["trade"]
    assert (found.n, found.first_id, found.last_id, found.missing, found.buyer_is_maker) == (3, 10, 14, 2, 2)
    assert found.size_e8 == 175_000_001
    assert ether.prints["aggTrade"].size_e8 == 200_000_000
    assert ether.book is None
    assert stats.symbols["BTCUSDT"].messages == {"bookTicker": 1}
    assert stats.symbols["SOLUSDT"].messages == {}
    assert stats.symbols["SOLUSDT"].book is not None
    assert stats.symbols["SOLUSDT"].book.snapshots == 1


def test_comparisons_with_the_book_ticker_are_settled_at_the_end(folder):
    """The last update waits for a later quote; none comes, and it is compared all the same."""
    levels = {"b": [["1", "1"]], "a": [["2", "1"]]}
    with writer_of(folder) as writer:
        writer.add(SNAPSHOT, START_NS, kind=Kind.REST, note={"note": "rest", "symbol": "BTCUSDT"})
        writer.add(quote(6), START_NS)
        update = enveloped("btcusdt@depth", e="depthUpdate", E=1_700_000_000_000, s="BTCUSDT", U=6, u=8, **levels)
        writer.add(update, START_NS)
    book = of(folder).symbols["BTCUSDT"].book
    assert book is not None
    assert (book.check.checked, book.check.equal) == (1, 1)


def test_progress_is_told_in_stored_bytes(folder):
    """The sum of what is reported is no more than the files, and all of their blocks."""
    with writer_of(folder, block_bytes=1) as writer:
        for number in range(4):
            writer.add(quote(number), START_NS)
    told: list[int] = []
    stats = collect(open_recording([folder]), progress=told.append)
    assert len(told) == 4
    assert 0 < sum(told) < stats.file_bytes
