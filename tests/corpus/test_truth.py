"""Every real capture, imported, against its truth: two other implementations had to agree on each figure."""

import gzip
import json
import re
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hftcap.cli import main

CAPTURES = {
    "hb24_spot_btcusdt": "hftbacktest",
    "hb24_usdm_btcusdt": "hftbacktest",
    "hb24_coinm_ethusd_perp": "hftbacktest",
    "hb24_spot_ethusdt_day1": "hftbacktest",
    "derived_us_spot": "hftbacktest",
    "cf_2110_spot": "cryptofeed",
    "cf_2107_usdm": "cryptofeed",
    "cf_2107_coinm": "cryptofeed",
    "cf_2304_tr": "cryptofeed",
    "cf_2110_us": "cryptofeed",
}
VERSION_2 = {"cf_2110_spot", "cf_2107_usdm", "cf_2107_coinm", "cf_2110_us"}
CASES = [*CAPTURES, *(f"{name}:v2" for name in sorted(VERSION_2))]
QUANTILES = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9"}


@pytest.fixture(scope="module")
def truth(corpus: Path) -> dict[str, Any]:
    return json.loads((corpus / "truth.json").read_text())


def sources(corpus: Path, truth: dict[str, Any], case: str) -> list[Path]:
    """Return the files to import for a case, in the order the truth names them."""
    name, _, version = case.partition(":")
    files = [corpus / file for file in truth[name]["files"]]
    if not version:
        return files
    return [corpus / "cryptofeed" / "sample_data_v2" / (files[0].name.removesuffix(".0") + ".jsonl.zst")]


def together(case: str) -> Any:
    """Return a case as a parameter whose tests stay in one process, where its capture is made once."""
    return pytest.param(case, marks=pytest.mark.xdist_group(f"corpus-{case}"))


@pytest.fixture(scope="module", params=[together(case) for case in CASES])
def case(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def imported(case, corpus, truth, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("truth") / "capture"
    run_hftcap("import", "--from", CAPTURES[case.partition(":")[0]], *sources(corpus, truth, case), "-o", out)
    return out


def run_hftcap(*words: object) -> None:
    """Run a command line where no test's own fixture can, and expect it to succeed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["hftcap", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code


def payloads_of(files: list[Path]) -> list[bytes]:
    """Read a source's payloads in stamp order, by means that share nothing with the importers."""
    if "hftbacktest" in str(files[0]) or "microsecond" in str(files[0]):
        return [line.partition(b" ")[2] for file in files for line in gzip.open(file).read().split(b"\n")[:-1]]
    stamped = []
    if files[0].name.endswith(".zst"):
        text = subprocess.run(["zstd", "-dcq", files[0]], capture_output=True, check=True).stdout
        for line in text.splitlines():
            entry = json.loads(line, parse_float=Decimal)
            if "data" in entry:
                stamped.append((entry["ts"], entry["data"].encode()))
    else:
        record = re.compile(rb"(?:\S+ -> )?(\d+\.\d+): (.*)")
        for file in files:
            for line in file.read_bytes().split(b"\n"):
                if match := record.fullmatch(line):
                    stamped.append((Decimal(match[1].decode()), match[2]))
    stamped.sort(key=lambda entry: entry[0])
    return [payload for _, payload in stamped]


def test_payloads_come_back_byte_for_byte(case, corpus, truth, imported, hftcap):
    """`cat --raw` and `zstd -dc` print exactly the source's payloads, a line each, and `zstd -t` accepts the files."""
    if shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    expected = b"".join(payload + b"\n" for payload in payloads_of(sources(corpus, truth, case)))
    assert hftcap("cat", "--raw", imported).out == expected
    segments = sorted(imported.iterdir())
    subprocess.run(["zstd", "-tq", *segments], check=True)
    assert subprocess.run(["zstd", "-dcq", *segments], capture_output=True, check=True).stdout == expected


def test_stats_are_the_truth(case, truth, imported, hftcap):
    """Counts, peaks, latencies, gaps and trade sums of `stats --json` equal the truth."""
    expected = truth[case.partition(":")[0]]
    ran = hftcap("stats", imported, "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    rest = expected["records_by_type"].get("rest_depth_snapshot", 0) + expected["other_records"].get(
        "http depth snapshot", 0
    )
    rest_other = expected["other_records"].get("http other", 0)
    types = {name: count for name, count in found["by_type"].items() if count}
    assert types.pop("rest_depth", 0) == rest
    assert types.pop("rest_other", 0) == rest_other
    assert types == {name: n for name, n in expected["records_by_type"].items() if name != "rest_depth_snapshot"}
    streams = dict(found["by_stream"])
    assert streams.pop("(raw)", 0) == rest + rest_other
    assert streams == expected["records_by_stream"]
    assert found["by_kind"] == {"ws_text": expected["ws_messages"], "ws_binary": 0, "rest": rest + rest_other}
    assert found["records"] == expected["ws_messages"] + rest + rest_other
    assert found["last_recv_ns"] == expected["last_local_ns"]
    assert found["peak"] == {width: expected["peak_messages"][f"sliding_{width}"] for width in ("1s", "100ms", "10ms")}
    assert found["oddities"] == {}
    assert (found["losses"], found["truncated"], found["clock"]["kind"]) == (0, False, "none")
    check_latency(found["latency_ns"], expected["latency_local_minus_E_ns"])
    assert set(found["symbols"]) == set(expected["symbols"])
    for symbol, figures in expected["symbols"].items():
        check_symbol(found["symbols"][symbol], figures)


def check_latency(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Count and extremes exactly, quantiles within 0.1 % of (value - min)."""
    assert set(found) == set(expected)
    for event, figures in expected.items():
        row = found[event]
        for exact in ("n", "min", "max", "negative"):
            assert row[exact] == figures[exact], (event, exact)
        for theirs, ours in QUANTILES.items():
            assert abs(row[ours] - figures[theirs]) * 1_000 <= figures[theirs] - figures["min"], (event, ours)


def check_symbol(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["messages"] == expected["messages"]
    for kind in ("trade", "aggTrade"):
        if kind in expected:
            figures, prints = expected[kind], found[kind]
            for name in ("n", "first_id", "last_id", "missing_ids", "buyer_is_maker"):
                assert prints[name] == figures[name], (kind, name)
            assert Decimal(prints["sum_qty"]) * 10**8 == figures["sum_qty_e8"]
    if "depth" in expected:
        figures, depth = expected["depth"], found["depth"]
        assert depth["updates"] == figures["n"]
        assert (depth["gaps"], depth["stale"], depth["crossed"]) == (figures["gaps"], 0, figures["crossed_states"])
        assert (depth["first_update_id"], depth["final_update_id"]) == (figures["first_U"], figures["last_u"])
        assert (depth["levels"], depth["removals"]) == (figures["levels_in_updates"], figures["removals"])
        assert depth["snapshots"] == (figures["snapshot"] is not None)
        assert depth["synced"] == (figures["snapshot"] is not None)


def test_books_are_the_truth_at_all_four_instants(case, truth, imported, hftcap):
    """Best, top five, level counts and the digest over all levels agree, for every symbol."""
    expected = truth[case.partition(":")[0]]
    compared = 0
    for symbol, figures in expected["symbols"].items():
        for state in figures.get("states", []):
            at = state["at"].partition("<=")[2] or "end"
            ran = hftcap("book", imported, "--symbol", symbol, "--at", at, "--json")
            assert ran.code == 0, ran.err
            book = ran.json
            if state.get("state", "known") is None:
                assert book["state"] == "partial", "no snapshot so far: diffs from an empty book"
                continue
            compared += 1
            assert book["state"] == ("synced" if figures["depth"]["snapshot"] else "partial")
            assert book["sha256"] == state["sha256_all_levels"], (symbol, at)
            assert (book["n_bids"], book["n_asks"]) == (state["n_bids"], state["n_asks"])
            assert book["bids"][:5] == state["top5_bids"]
            assert book["asks"][:5] == state["top5_asks"]
            assert [book["bids"][0], book["asks"][0]] == [state["best_bid"], state["best_ask"]]
    assert compared >= 4


TOUCH_CHECKS = {
    "hb24_spot_btcusdt": (6_493, 6_491),
    "cf_2110_spot": (159, 159),
    "cf_2107_usdm": (744, 744),
    "cf_2107_coinm": (1_788, 1_785),
}


@pytest.mark.parametrize("case", [together(case) for case in sorted(TOUCH_CHECKS)], indirect=True)
def test_books_agree_with_the_book_tickers_as_measured_before(case, imported, hftcap):
    """As many comparisons, and as many equal, as the protocol notes and the corpus's README report."""
    depths = [symbol["depth"] for symbol in hftcap("stats", imported, "--json").json["symbols"].values()]
    checked = sum(depth["bookticker_checked"] for depth in depths)
    equal = sum(depth["bookticker_equal"] for depth in depths)
    assert (checked, equal) == TOUCH_CHECKS[case]


@pytest.mark.parametrize(
    ("case", "bytes_a_message"), [("spot/btcusdt_20240809.gz", 29.4), ("usdm/btcusdt_20240808.gz", 37.9)]
)
def test_an_import_is_as_small_as_measured(case, bytes_a_message, corpus, hftcap, tmp_path):
    """Within 3 % of the prototype's size (which stored two stamps a record, an import has one), or smaller."""
    hftcap("import", "--from", "hftbacktest", corpus / "hftbacktest" / case, "-o", tmp_path / "c")
    found = hftcap("stats", tmp_path / "c", "--json").json
    assert found["file_bytes"] / found["records"] <= bytes_a_message * 1.03
