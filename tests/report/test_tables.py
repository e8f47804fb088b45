"""What a batch says in each table: a row leads back to its payload, numbers are exact, books are as rebuilt by hand."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hftcap.capture.format import NONE_NS, Kind, TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.segment_writer import WallOffset
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.fixed import INT64_MAX
from hftcap.kernel.gathered import Gathered
from hftcap.market.walk import START_NS, SYMBOL, Walk
from hftcap.pipeline import Batch, Run
from hftcap.report.arrays import floats, integers, times
from hftcap.report.schema import BBO, MESSAGES
from hftcap.report.tables import Source, bbo, book_updates, messages, trades

NULL = -(2**63)
ODD = [b"", b"{", b'{"result":null,"id":1}', b'{"stream":"x@y","data":{"e":"newThing","s":"XYZ"}}', b'{"a":1.5}']


class Sent(NamedTuple):
    """One record as it was written."""

    payload: bytes
    recv_ns: int
    kind: Kind = Kind.WS_TEXT
    conn: int = 0


def market(seed: int = 3, seconds: float = 2.0) -> list[Sent]:
    """Return a small market with a REST snapshot, and frames between that are odd."""
    sent = []
    for number, frame in enumerate(Walk(seed).frames(seconds)):
        sent.append(Sent(frame.payload, frame.recv_ns, Kind.REST if frame.is_snapshot else Kind.WS_TEXT, number % 3))
        if number % 40 == 0:
            sent.append(Sent(ODD[number // 40 % len(ODD)], frame.recv_ns, conn=1))
        if number % 90 == 0:
            sent.append(Sent(frame.payload, frame.recv_ns, Kind.WS_BINARY))
    return sent


def write(folder: Path, sent: list[Sent], *, expects: bool = True, block_bytes: int = 4_000) -> Path:
    """Write records as an import, in two segments of several blocks."""
    head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, expects, START_NS, "0.1.0")
    with CaptureWriter(folder, head, block_bytes=block_bytes, fsync=False) as writer:
        for number, record in enumerate(sent):
            if number == len(sent) // 2:
                writer.begin_segment()
            note = {"note": "rest", "symbol": SYMBOL} if record.kind is Kind.REST else None
            writer.add(record.payload, record.recv_ns, kind=record.kind, conn=record.conn, note=note)
    return folder


def tables_of(folder: Path) -> tuple[list[dict], list[dict]]:
    """Return all rows of `messages` and `bbo`, times as integers."""
    run = Run(open_recording([folder]), levels=True)
    rows: tuple[list[dict], list[dict]] = [], []
    for batch in run.batches():
        source = Source(Gathered([batch]), run.kernel)
        for table, found in zip((messages(source), bbo(source, run.locate)), rows, strict=True):
            found += as_rows(table)
    return rows


def as_rows(table: pa.Table) -> list[dict]:
    for position, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(position, field.name, table[field.name].cast(pa.int64()))
    return table.to_pylist()


def e8(text: str) -> int:
    return int(Decimal(text) * 10**8)


@pytest.fixture(scope="module")
def sent() -> list[Sent]:
    return market()


@pytest.fixture(scope="module")
def folder(sent, tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("tables") / "capture", sent)


def test_every_record_has_one_row_that_leads_back_to_its_payload(sent, folder):
    """Text, binary, REST and unreadable ones; file, block and record are where the payload is."""
    rows, _ = tables_of(folder)
    chunks = {(chunk.path.name, chunk.position): chunk.block for chunk in open_recording([folder]).chunks()}
    assert len(chunks) > 4
    assert len({file for file, _ in chunks}) == 2
    assert [chunks[row["file"], row["block"]].payload(row["record"]) for row in rows] == [
        record.payload for record in sent
    ]


def test_a_row_says_what_is_stored_of_its_record(sent, folder):
    """Receive time, connection and length of each record, and what only a recording of ours has is null."""
    rows, _ = tables_of(folder)
    assert [(row["ts_recv"], row["connection"], row["bytes"]) for row in rows] == [
        (record.recv_ns, record.conn, len(record.payload)) for record in sent
    ]
    for name in ("ts_mono", "rx_lag_ns", "ts_recv_adj", "ts_recv_err"):
        assert {row[name] for row in rows} == {None}


def test_times_and_latency_of_a_row_are_its_messages(sent, folder):
    """ts_event is E, ts_trade T, latency receive minus E; where a message has no time all three are null."""
    rows, _ = tables_of(folder)
    timed = 0
    for row, record in zip(rows, sent, strict=True):
        event = {}
        if record.kind is Kind.WS_TEXT and record.payload.startswith(b'{"stream":"btcusdt'):
            event = json.loads(record.payload)["data"]
        assert row["ts_event"] == (event["E"] * 1_000_000 if "E" in event else None)
        assert row["ts_trade"] == (event["T"] * 1_000_000 if "T" in event else None)
        assert row["latency_ns"] == (record.recv_ns - event["E"] * 1_000_000 if "E" in event else None)
        timed += "E" in event
    assert timed > 50


def test_names_are_null_where_nothing_tells_them(sent, folder):
    """Symbol and stream of what has none are null; the oddity is null as a rule and named where there is one."""
    rows, _ = tables_of(folder)
    for row, record in zip(rows, sent, strict=True):
        if record.kind is Kind.WS_BINARY:
            assert (row["type"], row["oddity"], row["symbol"], row["stream"]) == ("unknown", "unknown", None, None)
        elif record.kind is Kind.REST:
            assert (row["type"], row["oddity"], row["symbol"], row["stream"]) == ("rest_depth", None, SYMBOL, None)
        elif record.payload in (b"", b"{"):
            assert (row["type"], row["oddity"], row["symbol"]) == ("malformed", "malformed", None)
        elif record.payload == ODD[2]:
            assert (row["type"], row["oddity"], row["symbol"], row["stream"]) == ("ack", None, None, None)
        elif record.payload == ODD[3]:
            assert (row["type"], row["oddity"], row["symbol"], row["stream"]) == ("unknown", "unknown", "XYZ", "x@y")
        elif record.payload != ODD[4]:
            assert (row["oddity"], row["symbol"]) == (None, SYMBOL)
            assert row["stream"] == json.loads(record.payload)["stream"]


def test_a_recording_of_ours_has_monotonic_time_and_kernel_lag(tmp_path):
    """ts_mono and rx_lag_ns are as recorded, the lag null without a kernel stamp; ts_recv follows from all three."""
    head = CaptureHead("00112233445566aa", "spot", TimeBase.MONOTONIC, True, START_NS, "0.1.0")
    with CaptureWriter(tmp_path / "c", head, fsync=False) as writer:
        writer.wall = WallOffset(START_NS, 5)
        for mono, lag in ((10, 3), (20, NONE_NS), (30, -1)):
            writer.add(b"{}", mono, rx_lag_ns=lag)
    rows, _ = tables_of(tmp_path / "c")
    assert [row["ts_mono"] for row in rows] == [10, 20, 30]
    assert [row["rx_lag_ns"] for row in rows] == [3, None, -1]
    assert [row["ts_recv"] for row in rows] == [START_NS + 7, START_NS + 20, START_NS + 31]


def test_tables_have_the_columns_of_the_contract():
    """Names and types that scripts and notebooks rely on."""
    place = {"ts_recv", "symbol", "stream", "file", "block", "record"}
    told = {"type", "ts_mono", "rx_lag_ns", "ts_event", "ts_trade", "latency_ns", "ts_recv_adj", "ts_recv_err"}
    assert set(MESSAGES.names) == place | told | {"connection", "bytes", "oddity"}
    touch = {f"{side}_{what}_00" for side in ("bid", "ask") for what in ("px", "sz")}
    assert set(BBO.names) == place | {"source", "ts_event", "update_id", "state"} | touch | {f"{n}_e8" for n in touch}
    for schema in (MESSAGES, BBO):
        for field in schema:
            if field.name.startswith("ts_") and field.name not in ("ts_mono", "ts_recv_err"):
                assert field.type == pa.timestamp("ns"), field.name
            if field.name.endswith(("_e8", "_ns")) or field.name in ("ts_mono", "ts_recv_err", "update_id"):
                assert field.type == pa.int64(), field.name
            if field.name in touch:
                assert field.type == pa.float64(), field.name
            assert field.metadata[b"meaning"], field.name


TOUCH = ("bid_px_00", "bid_sz_00", "ask_px_00", "ask_sz_00")


def test_book_ticker_rows_are_the_quotes(sent, folder):
    """One row for every bookTicker, with its prices, sizes and update id exactly as quoted."""
    _, rows = tables_of(folder)
    quotes = [
        json.loads(record.payload)["data"]
        for record in sent
        if record.kind is Kind.WS_TEXT and b"@bookTicker" in record.payload
    ]
    found = [row for row in rows if row["source"] == "bookTicker"]
    assert len(quotes) > 50
    assert [(row["update_id"], *(row[f"{name}_e8"] for name in TOUCH)) for row in found] == [
        (quote["u"], *(e8(quote[key]) for key in "bBaA")) for quote in quotes
    ]
    assert {row["ts_event"] for row in found} == {None}


@pytest.mark.parametrize(("expects", "before"), [(True, "buffering"), (False, "partial")])
def test_a_quote_says_how_far_the_book_beside_it_is_to_be_believed(expects, before, sent, tmp_path):
    """Not at all before there is depth; up to the snapshot as a book without one; then synced."""
    _, rows = tables_of(write(tmp_path / "c", sent, expects=expects))
    state = None
    expected = []
    for record in sent:
        if record.kind is Kind.REST:
            state = "synced"
        elif record.kind is Kind.WS_TEXT and b"depthUpdate" in record.payload:
            state = state or before
        elif record.kind is Kind.WS_TEXT and b"@bookTicker" in record.payload:
            expected.append(state)
    assert [row["state"] for row in rows if row["source"] == "bookTicker"] == expected
    assert {before, "synced"} <= set(expected)


@pytest.mark.parametrize("expects", [True, False], ids=["recorded", "imported"])
def test_book_rows_are_the_book_after_each_update(expects, sent, tmp_path):
    """Rebuilt from the payloads in two dicts: before the snapshot from nothing or not at all, after it from it."""
    _, rows = tables_of(write(tmp_path / "c", sent, expects=expects))
    book: dict[str, dict[int, int]] = {"b": {}, "a": {}}
    waiting: list[dict] = []
    joined = False
    expected = []

    def apply(update: dict) -> None:
        for side in ("b", "a"):
            for price, size in update[side]:
                book[side][e8(price)] = e8(size)
                if not e8(size):
                    del book[side][e8(price)]

    for record in sent:
        if record.kind is Kind.REST:
            body = json.loads(record.payload)
            assert not joined
            joined, final = True, body["lastUpdateId"]
            book = {"b": {}, "a": {}}
            apply({"b": body["bids"], "a": body["asks"]})
            for update in waiting:
                if update["u"] > final:
                    apply(update)
                    final = update["u"]
        elif record.kind is Kind.WS_TEXT and b"depthUpdate" in record.payload:
            update = json.loads(record.payload)["data"]
            final = update["u"]
            if not joined:
                waiting.append(update)
                if expects:
                    continue
            elif final <= expected[-1][0]:
                continue
            apply(update)
        else:
            continue
        bid, ask = max(book["b"], default=None), min(book["a"], default=None)
        expected.append((final, bid, book["b"].get(bid), ask, book["a"].get(ask), "synced" if joined else "partial"))
    found = [row for row in rows if row["source"] == "book"]
    assert len(expected) > 10
    assert [(row["update_id"], *(row[f"{name}_e8"] for name in TOUCH), row["state"]) for row in found] == expected


def test_floats_of_a_row_are_the_nearest_to_its_integers(folder):
    """Each float64 is the integer over 1e8, rounded once; null where the integer is."""
    _, rows = tables_of(folder)
    for row in rows:
        for name in TOUCH:
            exact = row[f"{name}_e8"]
            assert row[name] == (None if exact is None else exact / 10**8)


@given(st.lists(st.one_of(st.just(NULL), st.integers(0, INT64_MAX), st.integers(2**53, 2**60)), max_size=20))
@example([INT64_MAX, 2**53, 2**53 + 1, 0, NULL])
@example([9_007_199_254_740_995, 12_345_678_912_345_679])
def test_a_float_is_the_nearest_there_is(values):
    """Also beyond 53 bits, where dividing a float would round twice."""
    found = floats(np.array(values, dtype=np.int64)).to_pylist()
    assert found == [None if value == NULL else float(Fraction(value, 10**8)) for value in values]


@given(st.lists(st.integers(NULL, INT64_MAX), max_size=20))
def test_integers_and_times_are_exact_and_null_is_null(values):
    """No value goes through a float on its way into a table."""
    expected = [None if value == NULL else value for value in values]
    array = np.array(values, dtype=np.int64)
    assert integers(array).to_pylist() == expected
    assert times(array).type == pa.timestamp("ns")
    assert times(array).cast(pa.int64()).to_pylist() == expected


def test_part_of_a_block_keeps_the_numbers_of_its_records(folder):
    """Where a batch begins inside a block, `record` still counts from the block's first, and the values are its own."""
    whole_rows, whole_bbo = tables_of(folder)
    run = Run(open_recording([folder]), levels=True)
    first = next(iter(run.recording.chunks()))
    count = first.block.records
    assert count > 8
    rows: list[dict] = []
    quotes: list[dict] = []
    for begin, end in ((0, 3), (3, 4), (4, count)):
        chunk = replace(first, first=begin, stop=end)
        source = Source(Gathered([Batch(chunk, run.kernel.run(chunk.block, end, first=begin))]), run.kernel)
        rows += as_rows(messages(source))
        quotes += as_rows(bbo(source, run.locate))
    assert rows == whole_rows[:count]
    assert quotes == [row for row in whole_bbo if (row["file"], row["block"]) == (first.path.name, 0)]


def test_a_batch_without_records_has_no_rows(tmp_path):
    """A block of notes alone gives empty tables of the right schema."""
    head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, True, START_NS, "0.1.0")
    with CaptureWriter(tmp_path / "c", head, fsync=False) as writer:
        writer.note({"note": "connect", "conn": 0})
    assert tables_of(tmp_path / "c") == ([], [])


# Trades and levels; the real captures hold them against their truth, in tests/corpus/test_report.py


def test_a_trade_is_the_payloads_own(sent, folder):
    """Id, price, size and times as sent, the taker's side, and no row for anything else."""
    run = Run(open_recording([folder]))
    rows = [row for batch in run.batches() for row in as_rows(trades(Source(Gathered([batch]), run.kernel)))]
    prints = [
        json.loads(record.payload)["data"]
        for record in sent
        if record.kind is Kind.WS_TEXT and b'"e":"trade"' in record.payload
    ]
    assert [
        (row["trade_id"], row["price_e8"], row["size_e8"], row["side"], row["ts_trade"], row["kind"]) for row in rows
    ] == [(p["t"], e8(p["p"]), e8(p["q"]), "A" if p["m"] else "B", p["T"] * 10**6, "trade") for p in prints]
    assert {row["symbol"] for row in rows} == {SYMBOL}


def test_what_another_line_brings_has_no_second_row(tmp_path):
    """Each event once in `trades`, `bbo` and `book_updates`; both records in `messages`."""
    single = [record for record in market(seconds=1.0) if record.kind is Kind.WS_TEXT and record.payload not in ODD]
    double = [record._replace(conn=line) for record in single for line in (4, 5)]
    counts = []
    for name, records in (("one", single), ("two", double)):
        run = Run(open_recording([write(tmp_path / name, records, expects=False)]), levels=True)
        batches = [(Source(Gathered([batch]), run.kernel), batch.result.levels) for batch in run.batches()]
        counts.append(
            [sum(make(source).num_rows for source, _ in batches) for make in (messages, trades)]
            + [sum(bbo(source, run.locate).num_rows for source, _ in batches)]
            + [sum(book_updates(levels, run.kernel, run.locate).num_rows for _, levels in batches)]
        )
    one, two = counts
    assert two == [2 * one[0], *one[1:]]
    assert all(one)


def test_level_rows_lead_back_to_the_message_they_are_of(tmp_path):
    """Also those that waited in an earlier block: each level stands in the payload its row names."""
    folder = write(tmp_path / "c", market(), block_bytes=2_000)
    blocks = {(chunk.path.name, chunk.position): chunk.block for chunk in open_recording([folder]).chunks()}
    run = Run(open_recording([folder]), levels=True)
    rows = [
        row for batch in run.batches() for row in as_rows(book_updates(batch.result.levels, run.kernel, run.locate))
    ]
    assert len({(row["file"], row["block"]) for row in rows}) > 4
    for row in rows:
        payload = json.loads(blocks[row["file"], row["block"]].payload(row["record"]))
        data = payload.get("data", payload)
        sides = (data["b"], data["a"]) if "b" in data else (data["bids"], data["asks"])
        levels = {(e8(price), e8(size)) for price, size in sides[row["side"] == "A"]}
        if row["action"] != "C" or "b" in data:
            assert (row["price_e8"], row["size_e8"]) in levels
        assert row["final_update_id"] == data.get("u", data.get("lastUpdateId"))
