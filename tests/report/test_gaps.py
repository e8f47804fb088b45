"""The gaps table: what is missing, between which events, and what the capture knows of the cause."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.capture.format import TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.kernel.gathered import Gathered
from hftcap.pipeline import Run
from hftcap.report import gaps as module
from hftcap.report.gaps import GapTable
from hftcap.report.tables import Source
from hftcap.stats import collect, to_json

HEAD = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, False, 0, "0.1.0")
SECOND = 1_000_000_000


def trade(number: int, symbol: str = "BTCUSDT") -> bytes:
    data = {"e": "trade", "E": 1, "s": symbol, "t": number, "p": "1", "q": "1", "T": 1, "m": True}
    return json.dumps({"stream": f"{symbol.lower()}@trade", "data": data}).encode()


def diff(first: int, last: int) -> bytes:
    data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": [], "a": []}
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": data}).encode()


def write(folder: Path, payloads: list[bytes | dict], *, lines: int = 1, block_bytes: int = 1 << 18) -> Path:
    """Write payloads a second apart, over as many connections in turn; a dict is a note."""
    with CaptureWriter(folder, HEAD, block_bytes=block_bytes, fsync=False) as writer:
        for number, payload in enumerate(payloads):
            if isinstance(payload, dict):
                writer.note(payload)
            else:
                writer.add(payload, number * SECOND, conn=number % lines)
    return folder


def rows_of(folder: Path) -> list[dict]:
    run, table = Run(open_recording([folder]), levels=True), GapTable()
    for batch in run.batches():
        table.add(Source(Gathered([batch]), run.kernel))
        table.add_updates(batch.result.gaps, run.kernel.symbols, run.kernel.streams, run.locate)
    table.add_updates(run.finish().gaps, run.kernel.symbols, run.kernel.streams, run.locate)
    table.finish()
    return table.take().to_pylist()


def told(row: dict) -> tuple:
    seconds = [row[name].value // SECOND if row[name] is not None else None for name in ("ts_start", "ts_end")]
    return row["symbol"], row["last_good_id"], row["next_id"], *seconds, row["record"], row["cause"]


def test_a_hole_in_the_prints_is_told_with_what_stands_on_both_sides(tmp_path):
    """Last id before it, first behind it, when each came, and the record behind; per symbol."""
    payloads = [trade(5), trade(6), trade(50, "ETHUSDT"), trade(9), trade(51, "ETHUSDT"), trade(10)]
    (row,) = rows_of(write(tmp_path / "c", payloads))
    assert told(row) == ("BTCUSDT", 6, 9, 1, 3, 3, "sequence")
    (path,) = (tmp_path / "c").iterdir()
    place = row["stream"], row["file"], row["block"], row["ts_recv"].value
    assert place == ("btcusdt@trade", path.name, 0, 3 * SECOND)


def test_a_hole_that_was_filled_late_is_none(tmp_path):
    """By another line or the same; what is filled in part leaves the rest."""
    assert rows_of(write(tmp_path / "a", [trade(5), trade(7), trade(6), trade(8)])) == []
    rows = rows_of(write(tmp_path / "b", [trade(1), trade(9), trade(5), trade(6)]))
    assert [told(row)[1:3] for row in rows] == [(1, 5), (6, 9)]
    assert rows_of(write(tmp_path / "c", [trade(5), trade(6), trade(7), trade(8)], lines=2)) == []


def test_a_print_from_before_the_first_opens_a_hole_as_stats_counts_it(tmp_path):
    """Its id moves the first one back: what lies between is missing, told by the record that showed it."""
    folder = write(tmp_path / "c", [trade(5), trade(2), trade(6), trade(9)])
    rows = rows_of(folder)
    assert [told(row)[1:3] for row in rows] == [(2, 5), (6, 9)]
    assert (rows[0]["record"], rows[1]["record"]) == (1, 3)
    prints = to_json(collect(open_recording([folder])))["symbols"]["BTCUSDT"]["trade"]
    assert prints["missing_ids"] == sum(row["next_id"] - row["last_good_id"] - 1 for row in rows) == 4
    assert rows_of(write(tmp_path / "next", [trade(5), trade(4), trade(6)])) == []


@given(st.lists(st.integers(0, 30), min_size=1, max_size=25))
def test_the_holes_are_those_of_a_set(numbers):
    """Whatever the order in which prints come: the runs of ids missing between first and last, each once."""
    with TemporaryDirectory() as name:
        rows = rows_of(write(Path(name) / "c", [trade(number) for number in numbers]))
    seen = set(numbers)
    ids = [number for row in rows for number in range(row["last_good_id"] + 1, row["next_id"])]
    assert sorted(ids) == [number for number in range(min(seen), max(seen)) if number not in seen]
    assert all({row["last_good_id"], row["next_id"]} <= seen for row in rows)
    assert {row["record"] for row in rows} <= set(range(len(numbers)))


def test_a_hole_in_the_updates_is_what_joining_calls_a_gap(tmp_path):
    """Last accepted id, first id behind, the record that showed it."""
    (row,) = rows_of(write(tmp_path / "c", [diff(1, 4), diff(5, 6), diff(9, 12), diff(13, 13)]))
    assert told(row) == ("BTCUSDT", 6, 9, 1, 2, 2, "sequence")
    (path,) = (tmp_path / "c").iterdir()
    assert (row["stream"], row["file"], row["block"]) == ("btcusdt@depth@100ms", path.name, 0)


@pytest.mark.parametrize(
    ("note", "cause"),
    [
        ({"note": "loss", "count": 3, "cause": "disk"}, "loss"),
        ({"note": "connect", "conn": 2, "at_ns": 3 * SECOND // 2}, "reconnect"),
        ({"note": "connect", "conn": 2, "at_ns": 9 * SECOND}, "sequence"),
        ({"note": "loss", "count": 0, "cause": "none"}, "sequence"),
        ({"note": "close", "conn": 2, "at_ns": 3 * SECOND // 2}, "sequence"),
        ({"note": "connect", "conn": 2}, "sequence"),
    ],
)
def test_the_cause_is_what_was_noted_between_both_sides(note, cause, tmp_path):
    """A loss or a new connection in the time of the hole; not one of another time, and no loss of nothing."""
    for kind in (trade, lambda number: diff(number, number)):
        folder = write(tmp_path / kind.__name__.strip("<>"), [kind(1), kind(2), note, kind(7), kind(8)])
        (row,) = rows_of(folder)
        assert row["cause"] == cause


def test_a_missing_block_is_damage(tmp_path):
    """The hole it leaves in the ids is the storage's, not the venue's."""
    write(tmp_path / "c", [trade(number) for number in range(60)], block_bytes=600)
    (path,) = (tmp_path / "c").iterdir()
    entries = open_recording([path]).segments[0].index()
    assert len(entries) > 5
    data = path.read_bytes()
    path.write_bytes(data[: entries[3].offset] + data[entries[4].offset :])
    (row,) = rows_of(tmp_path / "c")
    assert row["cause"] == "damage"
    assert row["next_id"] - row["last_good_id"] - 1 == entries[3].records


def test_memory_is_bounded_and_no_hole_forgotten(tmp_path, monkeypatch):
    """More holes than may be kept open are told at once, in order."""
    monkeypatch.setattr(module, "HOLES_KEPT", 3)
    run, table = Run(open_recording([write(tmp_path / "c", [trade(number) for number in range(0, 40, 2)])])), GapTable()
    for batch in run.batches():
        table.add(Source(Gathered([batch]), run.kernel))
    told_at_once = table.take()["last_good_id"].to_pylist()
    table.finish()
    assert told_at_once == list(range(0, 32, 2))
    assert told_at_once + table.take()["last_good_id"].to_pylist() == list(range(0, 38, 2))
