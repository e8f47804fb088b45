"""`stats --json` is a contract: these names, these types, these meanings."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.market.walk import START_NS, SYMBOL, Walk
from hftcap.stats import Stats, collect, to_json


def count(value: object) -> bool:
    return type(value) is int and value >= 0


def integer(value: object) -> bool:
    return type(value) is int


def or_null(test: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or test(value)


def decimal(value: object) -> bool:
    """Say whether a value is decimal text without trailing zeros."""
    return isinstance(value, str) and re.fullmatch(r"0|[1-9]\d*|(0|[1-9]\d*)\.\d*[1-9]", value) is not None


def boolean(value: object) -> bool:
    return type(value) is bool


def counts(value: object) -> bool:
    return isinstance(value, dict) and all(count(each) for each in value.values())


# Null where the contract has "n": ids of which there is none, and quantiles of nothing.
DISTRIBUTION = {"n": count, "negative": count} | dict.fromkeys(
    ("min", "p50", "p90", "p99", "p99.9", "max"), or_null(integer)
)
CLOCK = {
    "kind": lambda value: value in ("bounded", "one-sided", "none"),
    "steps": count,
} | dict.fromkeys(("offset_ns", "error_ns", "drift_ppb", "drift_error_ppb"), or_null(integer))
TRADE = {"sum_qty": decimal, "first_id": or_null(count), "last_id": or_null(count)} | dict.fromkeys(
    ("n", "missing_ids", "buyer_is_maker"), count
)
DEPTH = {"synced": boolean, "first_update_id": or_null(count), "final_update_id": or_null(count)} | dict.fromkeys(
    (
        "updates",
        "gaps",
        "stale",
        "levels",
        "removals",
        "snapshots",
        "crossed",
        "bookticker_checked",
        "bookticker_equal",
    ),
    count,
)
TOP = {
    "records": count,
    "by_kind": counts,
    "by_stream": counts,
    "by_type": counts,
    "first_recv_ns": or_null(integer),
    "last_recv_ns": or_null(integer),
    "raw_bytes": count,
    "file_bytes": count,
    "peak": counts,
    "latency_ns": lambda value: isinstance(value, dict),
    "clock": lambda value: isinstance(value, dict),
    "rx_lag_ns": or_null(lambda value: isinstance(value, dict)),
    "losses": count,
    "truncated": boolean,
    "symbols": lambda value: isinstance(value, dict),
}
BY_TYPE = {
    "bookTicker",
    "depthUpdate",
    "trade",
    "aggTrade",
    "kline",
    "partialDepth",
    "rest_depth",
    "rest_other",
    "ack",
    "error",
    "serverShutdown",
    "unknown",
    "malformed",
}


def check(found: dict[str, object], expected: dict[str, Callable[[object], bool]]) -> None:
    """Hold an object against the contract's names and types; more keys are allowed."""
    assert set(found) >= set(expected)
    assert {name: found[name] for name, test in expected.items() if not test(found[name])} == {}


def check_all(found: dict[str, object]) -> None:
    check(found, TOP)
    assert set(found["by_kind"]) == {"ws_text", "ws_binary", "rest"}
    assert set(found["by_type"]) >= BY_TYPE
    assert set(found["peak"]) == {"1s", "100ms", "10ms"}
    check(found["clock"], CLOCK)
    for distribution in found["latency_ns"].values():
        check(distribution, DISTRIBUTION)
    if found["rx_lag_ns"] is not None:
        check(found["rx_lag_ns"], DISTRIBUTION)
    for symbol in found["symbols"].values():
        check(symbol, {"messages": counts})
        check(symbol["trade"], TRADE)
        check(symbol["depth"], DEPTH)


def head_of(*, monotonic: bool = False) -> CaptureHead:
    base = TimeBase.MONOTONIC if monotonic else TimeBase.WALL
    return CaptureHead("00112233445566aa", "spot", base, True, START_NS, "0.1.0", symbols=[SYMBOL])


def summary_of(folder: Path) -> dict[str, object]:
    """Collect and go through JSON text, as a script would see it."""
    return json.loads(json.dumps(to_json(collect(open_recording([folder])))))


@pytest.fixture
def walked(tmp_path) -> Path:
    """Return a capture of the demonstration market, with a kernel stamp on every record."""
    with CaptureWriter(tmp_path / "c", head_of(monotonic=True), fsync=False) as writer:
        for frame in Walk(1).frames(2):
            kind = Kind.REST if frame.is_snapshot else Kind.WS_TEXT
            note = {"note": "rest", "symbol": SYMBOL} if frame.is_snapshot else None
            writer.add(frame.payload, frame.recv_ns, kind=kind, rx_lag_ns=7_000, note=note)
    return tmp_path / "c"


def test_a_summary_has_the_names_and_types_of_the_contract(walked):
    """Counts and nanoseconds are integers, decimals text; with trades, depth, latencies and kernel stamps."""
    found = summary_of(walked)
    check_all(found)
    assert found["rx_lag_ns"]["n"] == found["records"]
    assert found["symbols"][SYMBOL]["trade"]["n"] > 0
    assert found["symbols"][SYMBOL]["depth"]["synced"] is True
    assert found["latency_ns"].keys() == {"trade", "depthUpdate"}


def test_an_empty_capture_has_the_same_names():
    """A script need not ask whether a key is there: types that did not occur are 0, what is unknown is null."""
    found = json.loads(json.dumps(to_json(Stats())))
    check_all(found)
    assert sum(found["by_type"].values()) == 0
    assert (found["first_recv_ns"], found["rx_lag_ns"], found["symbols"]) == (None, None, {})


def test_a_symbol_without_trades_or_depth_has_the_same_names(tmp_path):
    """One bookTicker is all there is: no trade, no book, and every name in its place."""
    with CaptureWriter(tmp_path / "c", head_of(), fsync=False) as writer:
        event = b'{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}'
        writer.add(b'{"stream":"btcusdt@bookTicker","data":' + event + b"}", START_NS)
    found = summary_of(tmp_path / "c")
    check_all(found)
    symbol = found["symbols"][SYMBOL]
    assert symbol["messages"] == {"bookTicker": 1}
    assert (symbol["trade"]["n"], symbol["trade"]["first_id"], symbol["trade"]["sum_qty"]) == (0, None, "0")
    assert (symbol["depth"]["updates"], symbol["depth"]["synced"]) == (0, False)


@pytest.mark.parametrize(
    ("sizes", "total"),
    [
        (["1.50000000"], "1.5"),
        (["0.00000001"], "0.00000001"),
        (["99.5", "0.50000000"], "100"),
        (["92233720368.54775807"] * 3, "276701161105.64327421"),
        (["0.00000000"], "0"),
    ],
)
def test_a_traded_quantity_is_exact_decimal_text(tmp_path, sizes, total):
    """No trailing zero, no exponent, and no limit of 64 bits."""
    with CaptureWriter(tmp_path / "c", head_of(), fsync=False) as writer:
        for number, size in enumerate(sizes):
            event = {"e": "trade", "E": 1, "s": SYMBOL, "t": number, "p": "1", "q": size, "T": 1, "m": False}
            writer.add(json.dumps({"stream": "btcusdt@trade", "data": event}).encode(), START_NS)
    quantity = summary_of(tmp_path / "c")["symbols"][SYMBOL]["trade"]["sum_qty"]
    assert quantity == total
    assert decimal(quantity)


def test_odd_frames_are_counted_as_what_they_are(corpus, tmp_path):
    """Real and made oddities of the corpus: none stops the count, each is one record of its type."""
    frames = [json.loads(line) for line in (corpus / "odd_frames.jsonl").read_text().splitlines()]
    assert len(frames) == 42
    with CaptureWriter(tmp_path / "c", head_of(), block_bytes=500, fsync=False) as writer:
        for frame in frames:
            kind = Kind.REST if frame["name"] == "usdm_rest_depth_no_symbol" else Kind.WS_TEXT
            writer.add(frame["raw"].encode(), START_NS, kind=kind)
    found = summary_of(tmp_path / "c")
    check_all(found)
    assert found["records"] == sum(found["by_type"].values()) == sum(found["by_stream"].values()) == 42
    expected = Counter(frame["expect"].get("type") or frame["expect"]["oddity"] for frame in frames)
    assert {name: n for name, n in found["by_type"].items() if n} == expected
    assert expected["malformed"] == 8
    assert found["oddities"] == {
        "malformed": 8,
        "unrepresentable": 1,
        "unknown": 1,
        "size_capped": 1,
        "ids_reversed": 1,
    }
    assert found["by_kind"] == {"ws_text": 41, "ws_binary": 0, "rest": 1}
    assert "币安人生USDT" in found["symbols"]
    assert found["symbols"]["BTCUSDT"]["messages"]["partialDepth"] == 2
