"""The latency table: every timed message in one interval, quantiles by counting, null where there are too few."""

import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.kernel.gathered import Gathered
from hftcap.pipeline import Batch, Run
from hftcap.report.latency import LatencyTable
from hftcap.report.schema import LATENCY
from hftcap.report.tables import Source

START_MS = 1_700_000_000_000
START_NS = START_MS * 1_000_000
MS = 1_000_000
QUANTILES = {"p50": ("0.5", 1), "p90": ("0.9", 10), "p99": ("0.99", 100), "p999": ("0.999", 1_000)}
QUANTILES |= {"p9999": ("0.9999", 10_000)}


@dataclass(frozen=True)
class Event:
    """One message: when it was received, E, and T where it has one."""

    recv_ns: int
    event_ms: int | None = START_MS
    trade_ms: int | None = None
    stream: str = "btcusdt@trade"
    kind: Kind = Kind.WS_TEXT

    @property
    def payload(self) -> bytes:
        if self.kind is Kind.REST:
            body = {"lastUpdateId": 1, "E": self.event_ms, "T": self.trade_ms, "bids": [], "asks": []}
            return json.dumps(body).encode()
        symbol = self.stream.partition("@")[0]
        event: dict[str, object] = {"s": symbol.upper()}
        if self.event_ms is None:
            event |= {"u": 1, "b": "1", "B": "1", "a": "2", "A": "1"}
        elif self.trade_ms is None:
            event |= {"e": "depthUpdate", "E": self.event_ms, "U": 1, "u": 1, "b": [], "a": []}
        else:
            event |= {"e": "trade", "E": self.event_ms, "T": self.trade_ms, "t": 1, "p": "1", "q": "1", "m": True}
        return json.dumps({"stream": self.stream, "data": event}).encode()


def rows_of(events: list[Event], interval_ns: int, *, block_bytes: int = 1 << 18) -> list[dict]:
    """Write the events, run them through the table, and return its rows with times as integers."""
    with tempfile.TemporaryDirectory() as name:
        head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, False, START_NS, "0.1.0")
        with CaptureWriter(Path(name), head, block_bytes=block_bytes, fsync=False) as writer:
            for event in events:
                writer.add(event.payload, event.recv_ns, kind=event.kind)
        run = Run(open_recording([Path(name)]))
        table = LatencyTable(interval_ns)
        taken = []
        for batch in run.batches():
            table.add(Source(Gathered([batch]), run.kernel))
            taken.append(table.take())
        table.finish()
        found = pa.concat_tables([*taken, table.take()])
    assert found.schema == LATENCY
    for column in ("ts_recv", "ts_start"):
        found = found.set_column(found.schema.get_field_index(column), column, found[column].cast(pa.int64()))
    return found.to_pylist()


def samples(events: list[Event], interval_ns: int) -> Iterator[tuple[str, str, int, Event, int]]:
    """Yield measure, stream, start of the interval, event and value of every sample, one by one."""
    timeline = 0
    for event in events:
        timeline = max(timeline, event.recv_ns)
        if event.kind is Kind.REST or event.event_ms is None:
            continue
        start = timeline // interval_ns * interval_ns
        yield "feed", event.stream, start, event, event.recv_ns - event.event_ms * MS
        if event.trade_ms is not None:
            yield "publish", event.stream, start, event, (event.event_ms - event.trade_ms) * MS


def nearest_rank(values: list[int], quantile: str, enough: int) -> int | None:
    ordered = sorted(values)
    return ordered[max(math.ceil(Fraction(quantile) * len(ordered)), 1) - 1] if len(ordered) >= enough else None


def check(events: list[Event], interval_ns: int, rows: list[dict]) -> None:
    """Hold every row against the samples of its measure, stream and interval."""
    groups: dict[tuple[str, str, int], list[tuple[Event, int]]] = {}
    jitters: dict[tuple[str, str], tuple[int, float]] = {}
    ends: dict[tuple[str, str, int], float] = {}
    for measure, stream, start, event, value in samples(events, interval_ns):
        groups.setdefault((measure, stream, start), []).append((event, value))
        # RFC 3550, section 6.4.1: D is the change of the transit time, J moves to |D| by a sixteenth.
        last, jitter = jitters.get((measure, stream), (value, 0.0))
        jitter += (abs(value - last) - jitter) / 16
        jitters[measure, stream] = value, jitter
        ends[measure, stream, start] = jitter
    found = {(row["measure"], row["stream"], row["ts_start"]): row for row in rows}
    assert len(found) == len(rows)
    assert set(found) == set(groups)
    for key, group in groups.items():
        row, values = found[key], [value for _, value in group]
        assert (row["count"], row["min"], row["max"]) == (len(values), min(values), max(values))
        assert row["interval_ns"] == interval_ns
        for name, (quantile, enough) in QUANTILES.items():
            assert row[name] == nearest_rank(values, quantile, enough), name
        assert abs(row["mean"] - Fraction(sum(values), len(values))) <= Fraction(1, 2)
        assert abs(row["jitter"] - ends[key]) <= 0.5 + abs(ends[key]) / 10**9
        assert row["ts_recv"] in {event.recv_ns for event, value in group if value == row["max"]}


streams = st.sampled_from(["btcusdt@trade", "ethusdt@trade", "ethusdt@depth"])
steps = st.one_of(st.integers(-3 * MS, 9 * MS), st.just(0))


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            steps,
            st.one_of(st.none(), st.integers(-20, 20), st.integers(-START_MS, START_MS)),
            st.one_of(st.none(), st.integers(-50, 50)),
            streams,
            st.sampled_from([Kind.WS_TEXT, Kind.WS_TEXT, Kind.REST]),
        ),
        max_size=40,
    ),
    st.sampled_from([1, 10, 1_000]),
    st.sampled_from([1, 700, 1 << 18]),
)
def test_rows_are_what_counting_message_by_message_gives(drawn, interval_ms, block_bytes):
    """Stamps that run backwards, clocks that are decades wrong, blocks cut anywhere: each row is its samples'."""
    received = accumulate((step for step, *_ in drawn), initial=START_NS)
    events = []
    for recv, (_, lag, publish, stream, kind) in zip(received, drawn, strict=False):
        event = None if lag is None else START_MS - lag
        trade = None if event is None or publish is None else max(event - publish, 0)
        events.append(Event(recv, event, trade, stream, kind))
    check(events, interval_ms * MS, rows_of(events, interval_ms * MS, block_bytes=block_bytes))


@pytest.mark.parametrize("count", [1, 9, 10, 99, 100, 101, 999, 1_000, 9_999, 10_000])
def test_a_quantile_that_the_sample_is_too_small_for_is_null(count):
    """p90 takes 10 messages, p99 100, p99.9 1,000, p99.99 10,000; with them it is the nearest rank."""
    events = [Event(START_NS + 7_919 * number % 100_003 * 10) for number in range(count)]
    (row,) = rows_of(events, 1_000 * MS)
    check(events, 1_000 * MS, [row])
    for name, (_, enough) in QUANTILES.items():
        assert (row[name] is None) == (count < enough), name


def test_an_interval_holds_its_start_and_not_its_end():
    """A message on the edge belongs to the interval that begins there; intervals start at multiples since the epoch."""
    events = [Event(START_NS + offset) for offset in (0, 10 * MS - 1, 10 * MS, 10 * MS + 1, 20 * MS)]
    rows = rows_of(events, 10 * MS)
    assert [(row["ts_start"] - START_NS, row["count"]) for row in rows] == [(0, 2), (10 * MS, 2), (20 * MS, 1)]


def test_an_interval_without_messages_has_no_row():
    """Silence is no row of zeros."""
    rows = rows_of([Event(START_NS), Event(START_NS + 95 * MS)], 10 * MS)
    assert [row["ts_start"] - START_NS for row in rows] == [0, 90 * MS]


def test_the_jitter_runs_on_across_intervals_and_blocks():
    """It is a running estimate of the stream, not of the interval."""
    lags = [0, 160, 0, 160, 0]
    events = [Event(START_NS + number * 10 * MS + lag, START_MS + number * 10) for number, lag in enumerate(lags)]
    rows = rows_of(events, 10 * MS, block_bytes=1)
    # 0, then 160/16 = 10, then 10 + 150/16 = 19.375, 28.164…, 36.404…
    assert [row["jitter"] for row in rows] == [0, 10, 19, 28, 36]


def test_a_row_names_the_message_with_its_maximum(tmp_path):
    """file, block and record lead to the worst message of the interval."""
    head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, False, START_NS, "0.1.0")
    events = [Event(START_NS + lag) for lag in (5, 900, 30, 40)]
    with CaptureWriter(tmp_path / "c", head, block_bytes=250, fsync=False) as writer:
        for event in events:
            writer.add(event.payload, event.recv_ns)
    run = Run(open_recording([tmp_path / "c"]))
    table = LatencyTable(1_000 * MS)
    blocks = {}
    for batch in run.batches():
        chunk = batch.chunk
        blocks[chunk.path.name, chunk.position] = chunk.block
        table.add(Source(Gathered([batch]), run.kernel))
    table.finish()
    assert len(blocks) > 1
    (row,) = table.take().to_pylist()
    block = blocks[row["file"], row["block"]]
    assert block.recv_ns[row["record"]] == START_NS + 900
    assert (row["max"], row["symbol"], row["stream"]) == (900, "BTCUSDT", "btcusdt@trade")


def test_a_batch_that_begins_inside_a_block_keeps_the_numbers_of_its_records(tmp_path):
    """Where a block is taken in pieces, the row is the same as for the block at once."""
    head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, False, START_NS, "0.1.0")
    with CaptureWriter(tmp_path / "c", head, fsync=False) as writer:
        for number, lag in enumerate((5, 30, 20, 900, 40)):
            event = Event(START_NS + number * MS + lag, START_MS + number)
            writer.add(event.payload, event.recv_ns)
    rows = []
    for pieces in ([(0, 5)], [(0, 2), (2, 5)], [(0, 3), (3, 4), (4, 5)]):
        run = Run(open_recording([tmp_path / "c"]))
        (chunk,) = run.recording.chunks()
        table = LatencyTable(1_000 * MS)
        for begin, end in pieces:
            piece = replace(chunk, first=begin, stop=end)
            batch = Batch(piece, run.kernel.run(chunk.block, end, first=begin))
            table.add(Source(Gathered([batch]), run.kernel))
        table.finish()
        rows += table.take().to_pylist()
    assert rows[0] == rows[1] == rows[2]
    assert (rows[0]["record"], rows[0]["max"], rows[0]["count"]) == (3, 900, 5)


def test_what_has_no_event_time_or_no_stream_is_not_measured():
    """A spot bookTicker has no E, a REST body is no message of the feed; neither makes a row."""
    events = [Event(START_NS, None), Event(START_NS, START_MS, START_MS, kind=Kind.REST)]
    assert rows_of(events, 10 * MS) == []
    assert rows_of([], 10 * MS) == []
