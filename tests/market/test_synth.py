"""A synthetic market is what a venue could have sent, the truth beside it is true, and a replay finds it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hftcap.binance.endpoints import Market
from hftcap.capture.reader import open_recording
from hftcap.market.plan import DEFAULT_STREAMS, START_NS, Link, Plan
from hftcap.market.synth import synthesize
from tests.market.held import chains, events_of, hold, truth_lines

SECOND = 1_000_000_000
EVERY = ("trade", "aggTrade", "bookTicker", "depth@100ms", "depth", "depth20", "kline_1m", "miniTicker")
SPOT = Plan(seed=1, duration_ns=3 * SECOND, rate=300)
FUTURES = replace(SPOT, market=Market.USDM)
each_market = pytest.mark.parametrize("plan", [SPOT, FUTURES], ids=lambda plan: str(plan.market))


def made(folder: Path, plan: Plan) -> Path:
    synthesize(plan, folder, "0.1.0")
    return folder


def notes_of(folder: Path) -> list[dict[str, Any]]:
    return [note for chunk in open_recording([folder]).chunks() for note in chunk.block.notes]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@each_market
def test_the_same_plan_gives_the_same_bytes(plan, tmp_path):
    """Capture and truth; another seed gives another market."""
    first = bytes_of(made(tmp_path / "a", plan))
    assert first == bytes_of(made(tmp_path / "b", plan))
    assert len(first) == 2
    other = bytes_of(made(tmp_path / "c", replace(plan, seed=2)))
    assert not set(first.values()) & set(other.values())


@pytest.mark.parametrize("seed", range(3))
@each_market
def test_a_replay_finds_the_truth(plan, seed, tmp_path):
    """The book at every update with all levels, every trade and back, every bookTicker; ids follow each other."""
    folder = made(tmp_path / "c", replace(plan, seed=seed))
    counts = hold(folder)
    assert counts["states"] > 40
    assert counts["trade"] > 200 and counts["bookTicker"] > 200
    assert counts["rest_depth"] == 2
    assert counts["lost trades"] == 0
    assert counts["digests"] >= counts["states"]
    assert chains(folder) > 40


@each_market
def test_all_streams_together_agree(plan, tmp_path):
    """Diffs of two speeds, partial depth, aggregates, candles and statistics: none contradicts the truth."""
    folder = made(tmp_path / "c", replace(plan, streams=EVERY, duration_ns=7 * SECOND))
    counts = hold(folder)
    assert min(counts[name] for name in ("states", "partialDepth", "kline", "24hrMiniTicker", "aggTrade")) >= 5, counts
    assert chains(folder) > 60
    by_id = {(line["symbol"], line["id"]): line for line in truth_lines(folder) if line["type"] == "trade"}
    last: dict[str, tuple[int, int]] = {}
    for event in events_of(folder):
        message = event.message
        if message.type != "aggTrade":
            continue
        ids = range(message.first_trade_id, message.last_trade_id + 1)
        parts = [by_id[message.symbol, trade_id] for trade_id in ids]
        assert {part["buyer_is_maker"] for part in parts} == {message.side == "A"}
        assert len({part["price"] for part in parts}) == 1
        assert sum(round(float(part["size"]) * 1e8) for part in parts) == message.size_e8
        if message.symbol in last:
            assert (message.trade_id, message.first_trade_id) == tuple(number + 1 for number in last[message.symbol])
        last[message.symbol] = message.trade_id, message.last_trade_id


@each_market
def test_a_candle_is_closed_when_its_time_is_over(plan, tmp_path):
    """Once, with all fills of its minute and none of the next, which begins a candle of its own."""
    plan = replace(plan, streams=("kline_1m",), symbols=("BTCUSDT",), rate=10, duration_ns=63 * SECOND)
    folder = made(tmp_path / "c", plan)
    assert hold(folder)["kline"] > 30
    candles = [event.message for event in events_of(folder) if event.message.type == "kline"]
    minute_ns = 60 * SECOND
    assert [(each.open_ns, each.event_ns) for each in candles if each.closed] == [(START_NS, START_NS + minute_ns)]
    assert {each.open_ns for each in candles} == {START_NS, START_NS + minute_ns}


def test_futures_without_a_pause(tmp_path):
    """`depth@0ms` has a diff for every change: the book is held at each."""
    plan = replace(FUTURES, streams=("trade", "bookTicker", "depth@0ms"))
    folder = made(tmp_path / "c", plan)
    counts = hold(folder)
    assert counts["states"] > 300
    assert counts["rest_depth"] == 2


@pytest.mark.parametrize("seed", range(4))
def test_a_snapshot_is_asked_for_behind_a_diff(seed, tmp_path):
    """On every connection, also where diffs come at once and seldom: with none before it, the buffer would be empty."""
    plan = replace(FUTURES, seed=seed, rate=8, duration_ns=20 * SECOND, streams=("trade", "depth@0ms"))
    folder = made(tmp_path / "c", replace(plan, gaps=(START_NS + 10 * SECOND,)))
    notes = (note for note in notes_of(folder) if note["note"] == "rest" and note["symbol"])
    asked = [(note["symbol"], note["sent_ns"]) for note in notes]
    first: dict[tuple[str, int], int] = {}
    for event in events_of(folder):
        if event.message.type == "depthUpdate":
            first.setdefault((event.message.symbol, event.record.conn), event.message.event_ns)
    assert len(asked) >= 3
    for symbol, sent_ns in asked:
        before = max(conn for name, conn in first if name == symbol and first[name, conn] < sent_ns)
        assert before == (2 if sent_ns < START_NS + 10 * SECOND else 3), (symbol, sent_ns)


@each_market
def test_lines_bring_the_same_at_times_of_their_own(plan, tmp_path):
    """Three lines: each payload three times over, in the same order on each; the merged feed holds."""
    one = made(tmp_path / "one", plan)
    three = made(tmp_path / "three", replace(plan, link=Link(lines=3)))
    by_line: dict[int, list[bytes]] = {}
    stamps: dict[int, list[int]] = {}
    for chunk in open_recording([three]).chunks():
        for record, payload in enumerate(chunk.block.payload_list()):
            if chunk.block.columns.kind[record] == 1:
                number = int(chunk.block.columns.conn[record])
                by_line.setdefault(number, []).append(payload)
                stamps.setdefault(number, []).append(int(chunk.block.recv_ns[record]))
    assert len(by_line) == 3
    first, *others = by_line.values()
    assert all(payloads == first for payloads in others)
    assert len({tuple(times) for times in stamps.values()}) == 3
    assert hold(three)["states"] >= hold(one)["states"]


@each_market
def test_a_handover_loses_nothing(plan, tmp_path):
    """The new connection brings data before the old one closes: no gap, no trade lost, the books hold."""
    folder = made(tmp_path / "c", replace(plan, handovers=(START_NS + SECOND, START_NS + 2 * SECOND)))
    counts = hold(folder)
    assert counts["lost trades"] == 0
    assert {event.record.conn for event in events_of(folder) if event.message.type == "trade"} == {2, 3, 4}
    notes = notes_of(folder)
    said = [(note["note"], note["conn"]) for note in notes if note["note"] in ("connect", "close")]
    assert said == [("connect", 2), ("connect", 3), ("close", 2), ("connect", 4), ("close", 3)]
    assert all(event.book.gaps == 0 for event in events_of(folder) if event.book)


@each_market
def test_a_gap_loses_what_was_sent_meanwhile_and_no_more(plan, tmp_path):
    """Trades of the gap are missing, the books break there and are right again with the next snapshot."""
    plan = replace(plan, duration_ns=5 * SECOND, gaps=(START_NS + SECOND,), gap_ns=SECOND // 2, link=Link(lines=2))
    folder = made(tmp_path / "c", plan)
    counts = hold(folder)
    assert counts["lost trades"] > 20
    assert counts["rest_depth"] == 6
    books = {event.message.symbol: event.book for event in events_of(folder) if event.book}
    assert {(book.gaps, str(book.state)) for book in books.values()} == {(1, "synced")}
    (end,) = (line for line in truth_lines(folder) if line["type"] == "end")
    assert end["lost"] > counts["lost trades"]


@pytest.mark.parametrize("streams", [DEFAULT_STREAMS, EVERY, ("trade",)])
@each_market
def test_the_rate_is_messages_a_second(plan, streams, tmp_path):
    """Summed over all streams and symbols, within three hundredths."""
    plan = replace(plan, rate=1_500, streams=streams, duration_ns=8 * SECOND)
    summary = synthesize(plan, tmp_path / "c", "0.1.0")
    assert summary.messages == pytest.approx(8 * 1_500, rel=0.03)


def test_stamps_are_venue_time_delay_offset_and_drift(tmp_path):
    """Received the least delay behind the trade on the host's clock at the earliest, a jitter later in the mean."""
    link = Link(delay_ns=3_000_000, jitter_ns=400_000, offset_ns=-50_000_000, drift_ppb=40_000)
    folder = made(tmp_path / "c", replace(SPOT, link=link, duration_ns=5 * SECOND))
    true = {(line["symbol"], line["id"]): line for line in truth_lines(folder) if line["type"] == "trade"}
    delays = []
    for event in events_of(folder):
        if event.message.type == "trade":
            at_ns = true[event.message.symbol, event.message.trade_id]["time_ns"]
            shown = at_ns + link.offset_ns + (at_ns - START_NS) * link.drift_ppb // SECOND
            delays.append(event.recv_ns - shown)
    assert min(delays) == pytest.approx(link.delay_ns, abs=2_000)
    # Fills of one order are pushed at once, and the last waits for the slowest: more than one jitter in the middle.
    assert link.delay_ns + 200_000 < sorted(delays)[len(delays) // 2] < link.delay_ns + 3 * 400_000
    head = truth_lines(folder)[0]
    assert head["link"] == {
        "delay_ns": 3_000_000,
        "jitter_ns": 400_000,
        "offset_ns": -50_000_000,
        "drift_ppb": 40_000,
        "lines": 1,
    }


def test_requests_go_out_before_their_answers_and_bound_the_offset(tmp_path):
    """The venue's time in an answer lies between sending and receipt, once offset and drift are taken off."""
    link = Link(offset_ns=7 * SECOND, drift_ppb=-20_000)
    folder = made(tmp_path / "c", replace(SPOT, link=link, duration_ns=21 * SECOND, rate=50))
    seen = 0
    for chunk in open_recording([folder]).chunks():
        for note in chunk.block.notes:
            if note["note"] != "rest":
                continue
            assert note["sent_ns"] + 2 * link.delay_ns <= note["received_ns"] + 1_000
            assert note["received_ns"] == int(chunk.block.recv_ns[note["record"]])
            if "/time" in note["url"]:
                seen += 1
                served = json.loads(chunk.block.payload(note["record"]))["serverTime"] * 1_000_000
                offset = link.offset_ns + (served - START_NS) * link.drift_ppb // SECOND
                assert note["sent_ns"] <= served + 1_000_000 + offset
                assert served + offset <= note["received_ns"]
    assert seen == 3


def test_urls_are_such_as_can_be_asked_for(tmp_path):
    """A symbol in any script is escaped in the streams' URL and in that of its snapshot, and is read back from both."""
    folder = made(tmp_path / "c", replace(SPOT, symbols=("币安&B",), duration_ns=SECOND))
    urls = [note["url"] for note in notes_of(folder) if "url" in note]
    asked = [parse_qs(urlsplit(url).query) for url in urls]
    assert all(url.isascii() for url in urls)
    assert [query["symbol"] for query in asked if "symbol" in query] == [["币安&B"]]
    assert [query["streams"][0].split("@")[0] for query in asked if "streams" in query] == ["币安&b"]


def test_a_request_waits_for_none_that_is_sent_later(tmp_path):
    """Snapshots that are wanted around the venue's time leave its round trip as it is: twice the delay, no jitter."""
    symbols = tuple(f"S{number}USDT" for number in range(20))
    plan = replace(SPOT, symbols=symbols, rate=400, duration_ns=10_100_000_000, link=Link(jitter_ns=0))
    folder = made(tmp_path / "c", replace(plan, gaps=(START_NS + 9 * SECOND,), gap_ns=900_000_000))
    notes = [note for note in notes_of(folder) if note["note"] == "rest"]
    assert len(notes) > 20
    assert {note["received_ns"] - note["sent_ns"] for note in notes} == {2 * Link().delay_ns}


def test_a_stream_that_is_not_there_is_refused(tmp_path):
    """Before anything is written."""
    with pytest.raises(ValueError, match="btcusdt@depth@0ms is no stream of spot"):
        synthesize(replace(SPOT, streams=("depth@0ms",)), tmp_path / "c", "0.1.0")
    assert not (tmp_path / "c").exists()
