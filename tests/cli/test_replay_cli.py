"""`hftcap replay` as people and scripts use it: pace, parts, loops, pipes, and an end in good order."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hftcap.capture.format import TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.market.walk import START_NS, SYMBOL
from tests.cli.test_cli import records_of, shell, write

FAILED, LOST = 1, 3
HFTCAP = [sys.executable, "-m", "hftcap"]


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("replay") / "capture")


def test_a_pace_is_kept_and_graded(hftcap, capture):
    """One and a half seconds at fifty times: every message counted, the lateness of each, the run in words."""
    found = hftcap("replay", capture, "--speed", "50", "--json").json
    assert found["messages"] == found["lateness_ns"]["n"] == len(records_of(capture))
    assert 0 <= found["lateness_ns"]["min"] <= found["lateness_ns"]["p50"] <= found["lateness_ns"]["max"]
    assert found["pace"]["asked"] == 50
    assert found["pace"]["planned_s"] == pytest.approx(1.5 / 50, rel=0.1)
    assert found["pace"]["actual_s"] >= found["pace"]["planned_s"] * 0.999
    assert found["pace"]["said"].startswith(found["pace"]["grade"])
    plain = hftcap("replay", capture, "--speed", "50").out.decode()
    assert "ms late" in plain


def test_at_full_speed_nothing_is_due(hftcap, capture):
    """No lateness is told where none was measured."""
    found = hftcap("replay", capture, "--json").json
    assert not {"lateness_ns", "pace"} & set(found)
    assert (found["passes"], found["interrupted"]) == (1, False)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--start", "+500ms"], lambda at, first, last: at >= first + 500_000_000),
        (["--end", "+500ms"], lambda at, first, last: at <= first + 500_000_000),
        (["--end=-250ms"], lambda at, first, last: at <= last - 250_000_000),
        (["--start", "+0.2s", "--end=-0.2s"], lambda at, first, last: first + 2 * 10**8 <= at <= last - 2 * 10**8),
        (["--start", str(START_NS + 700_000_000)], lambda at, first, last: at >= START_NS + 700_000_000),
    ],
)
def test_a_part_of_the_timeline(words, part, hftcap, capture):
    """As many messages as lie there, and the books as a whole replay has them at the end."""
    stamps = [int(at) for chunk in open_recording([capture]).chunks() for at in chunk.timeline_ns]
    expected = sum(part(at, stamps[0], stamps[-1]) for at in stamps)
    found = hftcap("replay", capture, *words, "--json").json
    assert found["messages"] == expected
    if not any(word.startswith("--end") for word in words):
        whole = hftcap("replay", capture, "--json").json
        ours, theirs = found["books"][SYMBOL], whole["books"][SYMBOL]
        assert (ours["final_update_id"], ours["state"]) == (theirs["final_update_id"], theirs["state"])


def test_a_selection_is_all_that_is_counted(hftcap, capture, tmp_path):
    """By symbol, stream and connection; tables have those rows alone, and each still leads back to its payload."""
    trades = hftcap("replay", capture, "--stream", "trade", "--report", tmp_path / "out", "--json").json
    assert set(trades["by_type"]) == {"trade"}
    rows = pq.read_table(tmp_path / "out" / "messages.parquet")
    assert rows.num_rows == trades["messages"] > 0
    blocks = {(chunk.path.name, chunk.position): chunk.block for chunk in open_recording([capture]).chunks()}
    for row in rows.to_pylist():
        assert b'"e":"trade"' in blocks[row["file"], row["block"]].payload(row["record"])
    one = hftcap("replay", capture, "--connection", "1", "--json").json
    assert one["messages"] == sum(conn == 1 for *_, conn in records_of(capture))
    both = hftcap("replay", capture, "-s", SYMBOL, "--connection", "1", "--connection", "2", "--json").json
    assert 0 < both["messages"] <= sum(conn in (1, 2) for *_, conn in records_of(capture))


def test_a_pace_is_that_of_what_is_selected(hftcap, capture):
    """At a rate only selected messages take time, and the lateness is of these alone."""
    found = hftcap("replay", capture, "--stream", "trade", "--mps", "1000", "--json").json
    assert found["lateness_ns"]["n"] == found["messages"] > 10
    assert found["pace"]["planned_s"] == pytest.approx((found["messages"] - 1) / 1_000)


@pytest.mark.parametrize("words", [["-s", "DOGEUSDT"], ["--connection", "77"], ["--end", "2000-01-01T00:00:00Z"]])
def test_a_selection_of_nothing_is_refused(words, hftcap, capture):
    """It is a mistake more often than not: one sentence that repeats what was asked for."""
    ran = hftcap("replay", capture, *words)
    assert (ran.code, ran.out) == (FAILED, b"")
    assert words[-1] in ran.err


def test_passes_are_counted(hftcap, capture):
    """Twice the messages, the books of one pass."""
    once, twice = (hftcap("replay", capture, "--passes", str(n), "--json").json for n in (1, 2))
    assert (twice["passes"], twice["messages"]) == (2, 2 * once["messages"])
    assert twice["books"] == once["books"]


# Payloads when they are due


def test_payloads_go_where_they_are_sent(hftcap, capture, tmp_path):
    """A line each, raw or with times; what `cat` prints, no matter the pieces; the summary is then on stderr."""
    raw = hftcap("replay", capture, "--speed", "1000", "--output", "-")
    assert raw.out == hftcap("cat", "--raw", capture).out
    assert f"{len(records_of(capture)):,} messages" in raw.err
    with_times = hftcap("replay", capture, "--mps", "100000", "-o", "-", "--format", "json", "--json")
    assert with_times.out == hftcap("cat", capture).out
    assert json.loads(with_times.err.splitlines()[-1])["messages"] == len(records_of(capture))
    hftcap("replay", capture, "--output", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == raw.out
    refused = hftcap("replay", capture, "--output", tmp_path / "file")
    assert refused.code == FAILED
    assert "file" in refused.err
    assert hftcap("replay", capture, "--output", tmp_path / "file", "--force").code == 0


def test_only_what_is_selected_is_written(hftcap, capture):
    """The same selection for the output as for the books."""
    ran = hftcap("replay", capture, "--stream", "trade", "-o", "-")
    lines = ran.out.splitlines()
    assert len(lines) > 10
    assert all(json.loads(line)["data"]["e"] == "trade" for line in lines)


def test_a_reader_that_has_enough_ends_the_replay(capture):
    """A closed pipe is no error."""
    ran = shell("{ $H replay $1 --speed 100 -o -; echo $? >&2; } | head -1 >/dev/null", capture)
    assert ran.stderr == "0\n"


# Pipes in


def test_captures_come_through_pipes(capture, tmp_path):
    """Segments joined by `cat`, and an import that goes straight on; each verb that reads takes `-`."""
    expected = json.loads(shell("$H stats $1 --json", capture).stdout)
    piped = json.loads(shell("cat $1/*.zst | $H stats - --json", capture).stdout)
    assert piped == expected
    again = json.loads(shell("$H cat $1 | $H import --from jsonl - -o - | $H stats - --json", capture).stdout)
    assert again["symbols"] == expected["symbols"]
    assert (
        shell("cat $1/*.zst | $H cat --raw - | md5sum; $H cat --raw $1 | md5sum", capture).stdout.split()[::2]
        == (shell("$H cat --raw $1 | md5sum; $H cat --raw $1 | md5sum", capture).stdout.split()[::2])
    )
    for verb in ("info", "verify", "book", "replay"):
        assert shell(f"cat $1/*.zst | $H {verb} -", capture).returncode == 0
    twice = shell("cat $1/*.zst | $H stats - -", capture)
    assert (twice.returncode, twice.stdout) == (2, "")
    assert shell("head -c 3000 $1 | $H verify -", next(capture.glob("*.zst"))).returncode == 3


# Start and stop


def test_a_paused_replay_begins_at_enter(capture):
    """It says that it waits, and hands nothing over before."""
    words = [*HFTCAP, "replay", str(capture), "--start-paused", "--output", "-"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert b"Enter" in process.stderr.readline()
        assert process.poll() is None
        out, err = process.communicate(b"\n", timeout=60)
    assert out.count(b"\n") >= len(records_of(capture))
    assert process.returncode == 0, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("report", [False, True])
def test_an_interrupted_replay_ends_in_good_order(report, number, tmp_path):
    """Its summary says how far it came, exit code 0; with tables, which are whole as far as that, 3."""
    head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, False, START_NS, "0.1.0")
    with CaptureWriter(tmp_path / "c", head, fsync=False) as writer:
        for at in (0, 1, 2, 3_600):
            writer.add(b'{"result":null,"id":%d}' % at, START_NS + at * 10**9)
    words = [*HFTCAP, "replay", str(tmp_path / "c"), "--speed", "100", "-o", "-"]
    words += ["--report", str(tmp_path / "out")] if report else []
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for at in (0, 1, 2):
            assert process.stdout.readline() == b'{"result":null,"id":%d}\n' % at
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (LOST if report else 0, b""), err
    assert b"3 messages" in err
    assert b"interrupted" in err
    if report:
        assert pq.read_metadata(tmp_path / "out" / "messages.parquet").num_rows == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_paused_replay_can_be_ended(number, capture):
    """The first signal is enough while it waits for Enter; nothing was replayed."""
    words = [*HFTCAP, "replay", str(capture), "--start-paused", "-o", "-"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert b"Enter" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
        assert process.stdout.read() == b""


def test_the_capture_that_is_read_is_never_written(hftcap, capture):
    """Not with --force either: the output would take the place of the input."""
    (segment,) = list(capture.glob("*.zst"))[:1]
    before = segment.read_bytes()
    ran = hftcap("replay", capture, "--output", segment, "--force", "--end", "+1s")
    assert (ran.code, ran.out) == (FAILED, b"")
    assert segment.read_bytes() == before


def test_an_output_that_fails_leaves_the_earlier_one(hftcap, capture, tmp_path):
    """It gets its name when it is whole, and nothing else is left."""
    (tmp_path / "file").write_text("mine")
    assert hftcap("replay", capture, "-o", tmp_path / "file", "-f", "-s", "DOGEUSDT").code == FAILED
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_with_stdout_closed_there_is_no_traceback(capture):
    """What would be printed goes nowhere."""
    for words in ("", "-o -", "--json"):
        ran = shell(f"$H replay $1 {words} >&-", capture)
        assert "Traceback" not in ran.stderr
    assert shell("$H replay $1 >&- 2>&-; echo $?", capture).stdout == "0\n"


def test_the_time_told_is_that_of_the_replay(capture):
    """Neither the wait for Enter nor the way to --start is in it."""
    ran = shell("(sleep 1; echo) | $H replay $1 --start-paused --json", capture)
    assert json.loads(ran.stdout)["wall_s"] < 0.9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--loop", "--passes", "2"], "--passes"),
        (["--start", "+1s", "--end", "+0.5s"], "--start"),
    ],
)
def test_options_that_contradict_each_other(words, said, hftcap, capture):
    """A usage error that names them."""
    ran = hftcap("replay", capture, *words)
    assert ran.code == 2
    assert said in ran.err


def test_a_symbol_that_is_not_there_beside_one_that_is(hftcap, capture):
    """It is named, and the rest is replayed."""
    ran = hftcap("replay", capture, "-s", SYMBOL, "-s", "XXXUSDT")
    assert ran.code == 0
    assert "XXXUSDT" in ran.err


def test_a_capture_that_is_being_written_is_not_lost(hftcap, tmp_path):
    """It has no footer yet, as it should be; one that nobody writes says why it is not sound."""
    head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, False, START_NS, "0.1.0")
    writer = CaptureWriter(tmp_path / "c", head, block_bytes=10, fsync=False)
    for at in range(5):
        writer.add(b'{"result":null,"id":%d}' % at, START_NS + at)
    assert hftcap("replay", tmp_path / "c").code == 0
    assert hftcap("stats", tmp_path / "c").code == 0
    writer.__exit__(RuntimeError, RuntimeError(), None)
    ran = hftcap("replay", tmp_path / "c")
    assert ran.code == LOST
    assert "footer" in ran.err
