"""What `import hftcap` offers: light to import, typed, and the same facts as the command line's."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

import hftcap as library
from hftcap.binance.depth_sync import BookState, Verdict
from hftcap.binance.lines import Arrival
from hftcap.binance.messages import BookTicker, DepthDiff, Oddity, RestDepth, Trade
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.market.walk import START_NS, SYMBOL, Walk
from hftcap.pipeline import Run

HEAD = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, True, START_NS, "0.1.0")


def write(folder: Path, seconds: float = 3, *, lines: int = 1) -> Path:
    """Write a small market, each frame once a line, with a binary and an unreadable frame behind it."""
    with CaptureWriter(folder, HEAD, block_bytes=5_000, fsync=False) as writer:
        for frame in Walk(5).frames(seconds):
            if frame.is_snapshot:
                note = {"note": "rest", "symbol": SYMBOL}
                writer.add(frame.payload, frame.recv_ns, kind=Kind.REST, note=note)
                continue
            for line in range(lines):
                writer.add(frame.payload, frame.recv_ns, conn=line)
        writer.add(b"\0\1", frame.recv_ns, kind=Kind.WS_BINARY)
        writer.add(b"{", frame.recv_ns)
    return folder


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("api") / "capture")


def test_the_public_names_are_there_and_loaded_when_asked_for():
    """Every name of `__all__` can be had, `dir` lists it, and the import itself loads none of the heavy packages."""
    assert set(library.__all__) >= {"Book", "open_capture", "parse", "read_columns", "replay"}
    for name in library.__all__:
        assert getattr(library, name).__doc__
        assert name in dir(library)
    with pytest.raises(AttributeError, match="nothing"):
        _ = library.nothing
    heavy = ("numpy", "pyarrow", "zstandard", "msgspec")
    probe = f"import sys, hftcap; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_a_capture_is_an_iterable_of_its_records(capture):
    """Bytes, times, kind and connection as stored; it can be read again, and says what is wrong with it."""
    opened = library.open_capture(str(capture))
    records = list(opened)
    blocks = [chunk.block for chunk in open_recording([capture]).chunks()]
    assert [record.payload for record in records] == [payload for block in blocks for payload in block.payload_list()]
    assert [record.recv_ns for record in records] == [int(stamp) for block in blocks for stamp in block.recv_ns]
    assert {record.mono_ns for record in records} == {record.rx_lag_ns for record in records} == {None}
    assert [record.timeline_ns for record in records] == sorted(record.timeline_ns for record in records)
    assert Counter(record.kind for record in records)[Kind.WS_BINARY] == 1
    assert list(opened) == records
    assert opened.findings == []


def test_what_a_recorder_stamped_is_in_the_record(tmp_path):
    """With monotonic stamps `mono_ns` and `rx_lag_ns` are there, and `recv_ns` follows from them."""
    head = CaptureHead("00112233445566ab", "spot", TimeBase.MONOTONIC, False, START_NS, "0.1.0")
    with CaptureWriter(tmp_path / "c", head, fsync=False) as writer:
        writer.add(b"a", 1_000, rx_lag_ns=30)
        writer.add(b"b", 2_000)
    first, second = library.open_capture(tmp_path / "c")
    assert (first.mono_ns, first.rx_lag_ns, second.mono_ns, second.rx_lag_ns) == (1_000, 30, 2_000, None)
    assert second.recv_ns - first.recv_ns == 1_030


def test_a_replay_gives_every_record_its_message_and_its_book(capture):
    """Typed messages in record order; after each event the book is the one a run has there."""
    run = Run(open_recording([capture]))
    touches = [
        tuple(int(getattr(batch.columns, name)[row]) for name in ("bid_px_e8", "ask_px_e8"))
        for batch in run.batches()
        for row in range(batch.records)
    ]
    kinds = Counter()
    compared = 0
    events = library.replay(capture)
    for event, (bid, ask), record in zip(events, touches, library.open_capture(capture), strict=True):
        kinds[type(event.message)] += 1
        assert (event.record, event.recv_ns, event.timeline_ns) == (record, record.recv_ns, record.timeline_ns)
        assert event.arrival is Arrival.FIRST
        if event.book is not None and event.book.state is BookState.SYNCED:
            compared += 1
            assert (event.book.best_bid[0], event.book.best_ask[0]) == (bid, ask)
            assert event.book.bids(1) == [event.book.best_bid]
            assert event.book.mid * 2 * 10**8 == bid + ask
    assert compared > 50
    assert {Trade, BookTicker, DepthDiff, RestDepth, Oddity} <= set(kinds)


def test_a_replay_may_be_of_a_part(capture):
    """From an instant, to an instant, of a symbol or a stream; the book is right from the first event on."""
    whole = list(library.replay(capture))
    middle = whole[len(whole) // 2].timeline_ns
    part = list(library.replay([capture], start_ns=middle))
    expected = [event.record for event in whole if event.timeline_ns >= middle]
    assert [event.record for event in part] == expected
    before = list(library.replay(capture, until_ns=middle - 1))
    assert len(before) + len(part) == len(whole)
    first = next(event for event in library.replay(capture, start_ns=middle) if event.book)
    assert first.book.sha256() == next(
        event.book.sha256() for event in library.replay(capture) if event.record == first.record
    )
    assert {type(event.message) for event in library.replay(capture, streams=["trade"])} == {Trade}
    assert list(library.replay(capture, symbols=["ETHUSDT"])) == []


def test_what_a_second_line_brings_is_told(tmp_path):
    """The copies are events, too, and say that they are copies; the book takes each once."""
    one, two = write(tmp_path / "one"), write(tmp_path / "two", lines=2)
    arrivals = Counter((event.message.type, event.arrival) for event in library.replay(two))
    for kind in ("trade", "bookTicker", "depthUpdate"):
        assert arrivals[kind, Arrival.FIRST] == arrivals[kind, Arrival.COPY] > 0
    books = [list(library.replay(folder))[-3].book.sha256() for folder in (one, two)]
    assert books[0] == books[1]


def test_events_come_when_they_are_due(tmp_path):
    """At a speed the clock decides; a fake one shows that no event comes before its time."""

    class Ticking:
        """A clock that only sleeping moves."""

        now = 1_000

        def wall_ns(self) -> int:
            return self.now

        def mono_ns(self) -> int:
            self.now += 50
            return self.now

        def sleep(self, span_ns: int) -> bool:
            self.now += span_ns
            return True

    clock = Ticking()
    folder = write(tmp_path / "c", 1)
    events = [(event.timeline_ns, clock.now) for event in library.replay(folder, speed=2, clock=clock)]
    begin_line, begin_clock = events[0]
    ticks_ns = 1_000  # what asking for the time itself takes, here
    assert all(now - begin_clock >= (line - begin_line) // 2 - ticks_ns for line, now in events)
    assert events[-1][1] - begin_clock < (events[-1][0] - begin_line) // 2 + 5_000_000


def test_a_book_of_ones_own_joins_and_follows():
    """The venue's rules: updates wait for the snapshot, a missing one is a gap, prices are integers."""
    book = library.Book("spot")
    first = library.parse(b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":6,"b":[["7","1"]],"a":[["9","2"]]}')
    snapshot = library.parse(b'{"lastUpdateId":5,"bids":[["6","3"]],"asks":[]}', rest=True, symbol="BTCUSDT")
    assert (book.apply(first), book.state, len(book)) == (Verdict.FOLLOWS, BookState.BUFFERING, 0)
    assert (book.best_bid, book.best_ask, book.mid) == (None, None, None)
    assert (book.apply(snapshot), book.state, book.update_id) == (Verdict.JOINS, BookState.SYNCED, 6)
    assert book.bids() == [(7 * book.SCALE, book.SCALE), (6 * book.SCALE, 3 * book.SCALE)]
    assert book.asks() == [(9 * book.SCALE, 2 * book.SCALE)]
    assert (str(book.mid), "synced" in repr(book)) == ("8", True)
    assert book.apply(library.parse(b'{"e":"trade"}')) is None
    gap = library.parse(b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":9,"u":9,"b":[],"a":[]}')
    assert (book.apply(gap), book.state, book.gaps) == (Verdict.GAP, BookState.GAP, 1)


def test_a_table_has_a_row_a_record_with_the_touch_after_it(capture):
    """The columns of `messages` but two, and of a book the touch and state; or without books the first alone."""
    table = library.read_columns(capture)
    records = list(library.open_capture(capture))
    assert table["ts_recv"].cast(pa.int64()).to_pylist() == [record.recv_ns for record in records]
    assert not {"ts_recv_adj", "ts_recv_err"} & set(table.column_names)
    touches = zip(table["bid_px_00_e8"].to_pylist(), table["ask_sz_00"].to_pylist(), strict=True)
    for event, (bid, ask_size) in zip(library.replay(capture), touches, strict=True):
        if event.book is not None and event.book.best_bid is not None:
            assert (bid, ask_size) == (event.book.best_bid[0], event.book.best_ask[1] / 1e8)
    plain = library.read_columns([capture], books=False)
    assert plain.column_names == table.column_names[: len(plain.column_names)]
    assert table.column_names[-1] == "state"


def test_errors_are_the_projects_own(tmp_path):
    """A path that is not there, or no capture, is one sentence."""
    with pytest.raises(library.HftcapError, match="nowhere"):
        library.open_capture(tmp_path / "nowhere")
    with pytest.raises(library.HftcapError, match="speed"):
        library.replay(write(tmp_path / "c", 0.2), speed=0)


def test_damage_is_warned_of(capture, tmp_path):
    """Each way of reading a capture to its end says that it is cut; what is there is given all the same."""
    (source,) = list(capture.glob("*.zst"))[:1]
    (tmp_path / source.name).write_bytes(source.read_bytes()[:-200])
    for read in (lambda path: list(library.open_capture(path)), lambda path: list(library.replay(path))):
        with pytest.warns(library.DamagedCapture, match=source.name):
            assert read(tmp_path)
    with pytest.warns(library.DamagedCapture):
        assert library.read_columns(tmp_path).num_rows


def test_a_name_alone_is_a_selection(capture):
    """Not its letters."""
    assert list(library.replay(capture, streams="trade")) == list(library.replay(capture, streams=["trade"])) != []


@pytest.mark.parametrize("speed", [0, -1, None, True, "fast", float("nan")])
def test_a_speed_that_is_none_is_refused_at_once(speed, capture):
    """One of the project's errors, before the first event."""
    with pytest.raises(library.HftcapError, match="speed"):
        library.replay(capture, speed=speed)


def test_nothing_to_read_is_refused():
    """An empty list is a mistake."""
    for read in (library.replay, library.read_columns):
        with pytest.raises(library.HftcapError):
            read([])
