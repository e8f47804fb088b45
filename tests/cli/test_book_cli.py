"""`hftcap book`: several symbols, at an update id, and while the capture is written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hftcap as library
from hftcap.capture.format import TimeBase
from hftcap.capture.writer import CaptureHead, CaptureWriter

HEAD = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, False, 0, "0.1.0")
SECOND = 1_000_000_000


def diff(symbol: str, first: int, last: int, bid: str) -> bytes:
    data = {"e": "depthUpdate", "E": 1, "s": symbol, "U": first, "u": last, "b": [[bid, "1"]], "a": []}
    return json.dumps({"stream": f"{symbol.lower()}@depth", "data": data}).encode()


FRAMES = [
    diff("BTCUSDT", 1, 5, "10"),
    diff("ETHUSDT", 7, 7, "3"),
    diff("BTCUSDT", 6, 6, "11"),
    b'{"result":null,"id":1}',
    diff("ETHUSDT", 8, 9, "4"),
    diff("BTCUSDT", 7, 12, "12"),
]


@pytest.fixture
def capture(tmp_path) -> Path:
    with CaptureWriter(tmp_path / "c", HEAD, block_bytes=300, fsync=False) as writer:
        for number, frame in enumerate(FRAMES):
            writer.add(frame, number * SECOND)
    return tmp_path / "c"


def books(ran) -> dict[str, dict]:
    assert ran.code == 0, ran.err
    found = [json.loads(line) for line in ran.out.splitlines()]
    return {book["symbol"]: book for book in found}


def test_several_symbols_are_a_line_each(hftcap, capture):
    """In the order asked for; without a symbol all that have depth."""
    both = books(hftcap("book", capture, "-s", "ETHUSDT", "-s", "BTCUSDT", "--json"))
    assert list(both) == ["ETHUSDT", "BTCUSDT"]
    assert books(hftcap("book", capture, "--json")) == both
    assert books(hftcap("book", capture, "-s", "BTCUSDT", "--json"))["BTCUSDT"] == both["BTCUSDT"]
    text = hftcap("book", capture).out.decode()
    assert "BTCUSDT at" in text
    assert "ETHUSDT at" in text


@pytest.mark.parametrize(
    ("at_id", "update", "best"),
    [(12, 12, "12"), (11, 6, "11"), (6, 6, "11"), (5, 5, "10"), (99, 12, "12"), (4, None, None)],
)
def test_the_book_at_an_update_is_the_last_state_at_or_before_it(at_id, update, best, hftcap, capture):
    """A state ends at each update's last id; an id in between has the state before it, which is said."""
    ran = hftcap("book", capture, "-s", "BTCUSDT", "--at-id", at_id, "--json")
    book = books(ran)["BTCUSDT"]
    assert book["final_update_id"] == update
    assert (book["bids"][0][0] if book["bids"] else None) == best
    said = {None: "is empty", 6: "no state ends at", 12: "the capture ends at update 12"}
    assert said[update] in ran.err if update != at_id else ran.err == ""


def test_at_an_update_is_at_the_instant_of_its_record(hftcap, capture):
    """The two ways of naming a state agree, all fields alike."""
    for record, at_id in ((0, 5), (2, 6), (5, 12)):
        by_time = books(hftcap("book", capture, "-s", "BTCUSDT", f"--at={record * SECOND}", "--json"))["BTCUSDT"]
        by_id = books(hftcap("book", capture, "-s", "BTCUSDT", "--at-id", at_id, "--json"))["BTCUSDT"]
        assert by_time | {"at_ns": 0} == by_id | {"at_ns": 0}


def test_a_capture_that_is_done_is_followed_to_its_end(hftcap, capture):
    """With no writer there is nothing to wait for."""
    followed = books(hftcap("book", capture, "--follow", "--json"))
    assert followed == books(hftcap("book", capture, "--json"))


def test_a_followed_capture_ends_as_one_that_is_read(hftcap, tmp_path):
    """What had waited for another line is in the book at the end, with the gap before it."""
    with CaptureWriter(tmp_path / "c", HEAD, fsync=False) as writer:
        for line in (1, 2):
            writer.add(diff("BTCUSDT", 1, 5, "10"), line, conn=line)
        writer.add(diff("BTCUSDT", 9, 9, "11"), 10, conn=1)
    ran = hftcap("book", tmp_path / "c", "--follow", "--json")
    assert json.loads(ran.out.splitlines()[-1]) == books(hftcap("book", tmp_path / "c", "--json"))["BTCUSDT"]


def test_a_capture_being_written_is_followed(tmp_path):
    """Each state that is on disk is printed, until the writer is gone."""
    words = [sys.executable, "-m", "hftcap", "book", str(tmp_path / "c"), "-s", "BTCUSDT", "--follow", "--json"]
    with CaptureWriter(tmp_path / "c", HEAD, block_bytes=10, fsync=False) as writer:
        writer.add(FRAMES[0], 0)
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert json.loads(process.stdout.readline())["final_update_id"] == 5
            writer.add(FRAMES[2], SECOND)
            assert json.loads(process.stdout.readline())["final_update_id"] == 6
            writer.add(FRAMES[5], 2 * SECOND)
            writer.__exit__(None, None, None)
            *_, last = process.stdout.read().splitlines()
    assert json.loads(last)["final_update_id"] == 12
    assert process.returncode == 0


def test_following_takes_one_folder(hftcap, capture):
    """A segment file grows no further, and two folders have no common end."""
    ran = hftcap("book", capture, capture, "--follow")
    assert ran.code == 2
    assert "--follow" in ran.err


def test_a_followed_capture_is_judged_at_its_end(hftcap, capture):
    """An unknown symbol and a cut segment are told as without --follow."""
    assert hftcap("book", capture, "--follow", "-s", "XXXUSDT").code == 1
    (segment,) = capture.glob("*.zst")
    segment.write_bytes(segment.read_bytes()[:-10])
    assert hftcap("book", capture, "--follow").code == 3


def test_a_book_ends_as_a_replay_does(hftcap, tmp_path):
    """Where the other line never brings what is missing, the book at the end has a gap, whoever tells of it."""
    with CaptureWriter(tmp_path / "c", HEAD, fsync=False) as writer:
        for line in (1, 2):
            writer.add(diff("BTCUSDT", 1, 5, "10"), line, conn=line)
        writer.add(diff("BTCUSDT", 9, 9, "11"), 10, conn=1)
    replayed = hftcap("replay", tmp_path / "c", "--json").json["books"]["BTCUSDT"]
    book = books(hftcap("book", tmp_path / "c", "--json"))["BTCUSDT"]
    assert (replayed["gaps"], replayed["final_update_id"]) == (1, 9)
    assert book["final_update_id"] == 9
    *_, last = library.replay(tmp_path / "c")
    assert (last.book.update_id, last.book.gaps) == (9, 1)
