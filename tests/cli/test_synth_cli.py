"""`hftcap synth` as people and scripts use it: an ordinary capture that every other verb takes."""

import json

import pytest

from tests.market.held import hold

USAGE, FAILED = 2, 1


def test_a_capture_that_other_verbs_take(hftcap, tmp_path):
    """Verified sound; stats finds books without a flaw; book finds the truth's digest."""
    made = hftcap("synth", "--seed", 5, "--duration", "3s", "--rate", 400, "-o", tmp_path / "m", "--json")
    assert made.code == 0
    assert made.json["messages"] == pytest.approx(1_200, rel=0.1)
    assert hftcap("verify", tmp_path / "m", "--json").json["ok"]
    stats = hftcap("stats", tmp_path / "m", "--json").json
    assert stats["records"] == made.json["records"]
    assert set(stats["by_stream"]) == {
        "(raw)",
        *(f"{name}@{tail}" for name in ("btcusdt", "ethusdt") for tail in ("trade", "bookTicker", "depth@100ms")),
    }
    assert not stats["by_type"]["unknown"] and not stats["by_type"]["malformed"]
    for symbol in stats["symbols"].values():
        depth = symbol["depth"]
        assert depth["synced"] and depth["snapshots"] == 1
        assert (depth["gaps"], depth["stale"], depth["crossed"], symbol["trade"]["missing_ids"]) == (0, 0, 0, 0)
        assert depth["bookticker_checked"] == depth["bookticker_equal"] > 20
    lines = [json.loads(line) for line in (tmp_path / "m" / "truth.jsonl").read_text().splitlines()]
    digests = {(line["symbol"], line["id"]): line["sha256"] for line in lines if line["type"] == "book"}
    for symbol in stats["symbols"]:
        book = hftcap("book", tmp_path / "m", "-s", symbol, "--at", "end", "--json").json
        assert digests[symbol, book["final_update_id"]] == book["sha256"]


def test_the_same_words_give_the_same_bytes(hftcap, tmp_path):
    """Every option used, twice, in different folders."""
    words = [
        *("synth", "--seed", 9, "--duration", "2s", "--rate", 300, "--symbols", "XRPUSDT,测试USDT", "--market", "usdm"),
        *("--streams", "trade,bookTicker,depth@0ms,depth20@100ms,kline_1m", "--delay", "2ms", "--jitter", "50us"),
        *("--clock-offset=-250ms", "--drift", "-15000", "--lines", 2, "--handover-at", "+500ms"),
        *("--gap-at=-800ms", "--gap-length", "100ms"),
    ]
    for name in ("a", "b"):
        assert hftcap(*words, "-o", tmp_path / name).code == 0
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a", "b"))
    assert first == second
    assert hold(tmp_path / "a")["lost trades"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--duration", "5"], "no length of time"),
        (["--duration", "0s"], "above 0"),
        (["--rate", "9" * 400], "a rate of at most"),
        (["--delay", "100000d"], "delay and jitter"),
        (["--jitter", "99999999999999999d"], "delay and jitter"),
        (["--symbols", "BTCUSDT,,X"], "commas"),
        (["--market", "coinm"], "coinm"),
        (["--streams", "depth@0ms"], "btcusdt@depth@0ms"),
        (["--gap-at", "+1h"], "between the market's start and its end"),
        (["--handover-at", "soon"], "soon"),
        (["--gaps", "10000"], "a gap begins before another is over"),
    ],
)
def test_what_cannot_be_made_is_a_usage_error(words, said, hftcap, tmp_path):
    """Exit 2, a sentence, and nothing on disk."""
    base = ["synth", "--seed", 1, "--duration", "1s", "-o", tmp_path / "m"]
    ran = hftcap(*base, *words)
    assert ran.code == USAGE
    assert said in ran.err
    assert not (tmp_path / "m").exists()


def test_nothing_is_overwritten(hftcap, tmp_path):
    """A second market into the same folder is refused, and the first stays."""
    words = ["synth", "--seed", 1, "--duration", "200ms", "-o", tmp_path / "m"]
    assert hftcap(*words).code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}
    assert hftcap(*words).code == FAILED
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}
