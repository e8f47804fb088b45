"""`hftcap serve` as a command: the line it prints, what it refuses, how it ends."""

import http.client
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.serve.made import usual_records, write_capture


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Path:
    return write_capture(tmp_path_factory.mktemp("cli") / "usual", usual_records())


def started(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hftcap", "serve", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def got(rest: str, path: str) -> Any:
    """Return the JSON at a path."""
    connection = http.client.HTTPConnection(rest.removeprefix("http://"), timeout=20)
    connection.request("GET", path)
    found = json.loads(connection.getresponse().read())
    connection.close()
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_serves_and_stops_when_told(usual, number):
    """One line of JSON, then answers; a signal ends it in good order."""
    with started(usual, "--port", 0) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["ready"] is True
        assert ready["ws"] == ready["rest"].replace("http", "ws")
        assert got(ready["rest"], "/api/v3/ping") == {}
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_market_made_from_a_seed(tmp_path):
    """As a shorthand for synth and serve."""
    with started("--synthetic", 3, "--duration", "2s", "--market", "usdm") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert got(ready["rest"], "/fapi/v1/depth?symbol=BTCUSDT")["bids"]
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_capture_that_was_cut_is_served_and_said_to_be(usual, tmp_path):
    """As far as it is whole; exit 3."""
    (whole,) = usual.glob("*.hcap.zst")
    cut = tmp_path / f"{whole.name}.part"
    cut.write_bytes(whole.read_bytes()[:-500])
    with started(cut, "--start-on", "now", "--speed", "max", "--at-end", "close") as process:
        out, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert json.loads(out)["ready"] is True
    assert whole.name in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give either captures or --synthetic"),
        (["CAPTURE", "--synthetic", "1"], "give either captures or --synthetic"),
        (["CAPTURE", "--speed", "0"], "is no speed"),
        (["CAPTURE", "--rebase-time", "--speed", "2"], "--rebase-time takes speed 1"),
        (["CAPTURE", "--derive", "kline"], "aggTrade is all"),
        (["CAPTURE", "--at-end", "explode"], "expected hold, close, loop"),
        (["CAPTURE", "--start-on", "monday"], "expected first-subscribe, connect, now"),
        (["CAPTURE", "--age-limit", "0s"], "more than nothing"),
        (["CAPTURE", "--speed", "max", "--max-gap", "1s"], "--max-gap shortens"),
        (["CAPTURE", "--faults", "nowhere.toml"], "cannot be used as faults"),
        (["CAPTURE", "--start", "noon"], "cannot be read"),
        (["--synthetic", "1", "--market", "coinm"], "no synthetic market of coinm"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(usual, hftcap, words, sentence):
    """Exit 2, and why."""
    ran = hftcap("serve", *[usual if word == "CAPTURE" else word for word in words])
    assert ran.code == 2
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


def test_limits_that_are_none_are_refused(usual, hftcap, tmp_path):
    """By name."""
    (tmp_path / "faults.toml").write_text("[limits]\nspeed = 3\n")
    ran = hftcap("serve", usual, "--faults", tmp_path / "faults.toml")
    assert (ran.code, "limit 'speed' is not known" in ran.err) == (2, True)


def test_another_market_is_an_error(usual, hftcap):
    """Exit 1."""
    ran = hftcap("serve", usual, "--market", "usdm")
    assert (ran.code, "expected one market" in ran.err) == (1, True)
