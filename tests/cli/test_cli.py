"""The command line as scripts and people use it: help, JSON, pipes, and a demonstration that works."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard

from hftcap import __version__
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.segment_writer import WallOffset
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.fixed import parse_e8
from hftcap.kernel import Kernel
from hftcap.market.walk import START_NS, SYMBOL, Walk
from hftcap.verify import verify

VERBS = ["import", "info", "stats", "book", "verify", "cat", "replay", "recover", "compact", "diff", "synth", "demo"]
ODD = ["", "{", '{"é":"币安人生"}', '{"a": 1}\r', '{"nul":"\\u0000"}', "two\nlines", "\u2028 \x85"]


def write(folder: Path, *, seed: int = 1, seconds: float = 1.5, base: TimeBase = TimeBase.WALL) -> Path:
    """Write a small market, with odd, binary and undecodable payloads between, in two segments of several blocks."""
    head = CaptureHead(f"{seed:08x}00112233", "spot", base, True, START_NS, "0.1.0", symbols=[SYMBOL])
    with CaptureWriter(folder, head, block_bytes=5_000, fsync=False) as writer:
        if base is TimeBase.MONOTONIC:
            writer.wall = WallOffset(START_NS // 2, 10)
        offset = writer.wall.offset_ns
        for number, frame in enumerate(Walk(seed).frames(seconds)):
            at = frame.recv_ns - offset
            note = {"note": "rest", "symbol": SYMBOL, "url": "https://x/depth"} if frame.is_snapshot else None
            writer.add(frame.payload, at, kind=Kind.REST if note else Kind.WS_TEXT, conn=number % 3, note=note)
            if number % 20 == 0:
                writer.add(ODD[number // 20 % len(ODD)].encode(), at, conn=7, flags=3)
            if number % 50 == 0:
                writer.add(b"plain text", at, kind=Kind.WS_BINARY)
                writer.add(bytes(range(256)), at)
            if number == 100:
                writer.begin_segment()
    return folder


def records_of(folder: Path) -> list[tuple[bytes, int, int, int]]:
    """Return payload, receive time, kind and connection of every record."""
    found = []
    for chunk in open_recording([folder]).chunks():
        columns = (chunk.block.recv_ns.tolist(), chunk.block.columns.kind.tolist(), chunk.block.columns.conn.tolist())
        found += zip(chunk.block.payload_list(), *columns, strict=True)
    return found


@pytest.fixture
def capture(tmp_path) -> Path:
    return write(tmp_path / "capture")


# Help and version


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_verb_explains_itself_with_examples(verb, option, hftcap):
    """Help goes to stdout, exits 0 and shows commands that can be copied."""
    ran = hftcap(verb, option)
    text = ran.out.decode()
    assert (ran.code, ran.err) == (0, "")
    assert "Examples" in text
    assert f"hftcap {verb}" in text.partition("Examples")[2]


def test_help_lists_every_verb(hftcap):
    """`hftcap --help` is where one begins; without any word it is shown, and that is a usage error."""
    for words, code in ((["--help"], 0), ([], 2)):
        ran = hftcap(*words)
        assert ran.code == code
        for verb in VERBS:
            assert re.search(rf"\b{verb}\b", ran.out.decode())


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_names_the_kernel(option, hftcap):
    """Which kernel runs is part of what one reports with a defect."""
    ran = hftcap(option)
    assert ran.code == 0
    assert ran.out.decode().split("\n")[0].startswith(f"hftcap {__version__} ")
    assert f"kernel: {Kernel.name}" in ran.out.decode()


def test_help_needs_no_heavy_package():
    """`hftcap --help` answers at once: the packages of the verbs are not imported for it."""
    program = (
        "import sys, hftcap.cli; "
        "print(*sorted({'pyarrow', 'numpy', 'zstandard', 'duckdb', 'pandas', 'aiohttp', 'picows'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


# JSON


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["info"], {"segments", "findings"}),
        (["stats"], {"records", "by_kind", "by_stream", "by_type", "peak", "latency_ns", "clock", "symbols"}),
        (
            ["book", "--symbol", SYMBOL],
            {"symbol", "at_ns", "state", "final_update_id", "bids", "asks", "n_bids", "n_asks", "sha256"},
        ),
        (
            ["verify"],
            {"ok", "files", "blocks", "records", "damaged_blocks", "missing_blocks", "lost_records", "findings"},
        ),
        (["replay"], {"messages", "by_type", "losses", "gaps", "wall_s", "messages_per_s", "books", "kernel"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_json_is_one_object_and_all_there_is_on_stdout(words, keys, hftcap, capture):
    """One line for a pipe, with the names of the interface; a script needs nothing but a JSON parser."""
    verb, *options = words
    ran = hftcap(verb, capture, *options, "--json")
    assert ran.code == 0, ran.err
    assert ran.out.endswith(b"\n")
    assert ran.out.count(b"\n") == 1
    assert set(ran.json) >= keys


def test_an_imports_json_counts_what_was_imported(hftcap, capture, tmp_path):
    """Records, kinds and losses; talk goes to stderr."""
    (tmp_path / "c.jsonl").write_bytes(hftcap("cat", capture).out)
    ran = hftcap("import", "--from", "jsonl", tmp_path / "c.jsonl", "-o", tmp_path / "copy", "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    kinds = [Kind(kind).name.lower() for _, _, kind, _ in records_of(capture)]
    assert found["by_kind"] == {kind.name.lower(): kinds.count(kind.name.lower()) for kind in Kind}
    assert (found["records"], found["losses"], found["market"]) == (len(kinds), 0, "spot")


def test_verify_says_what_the_interface_promises(hftcap, capture):
    """Types and values of a sound capture."""
    found = hftcap("verify", capture, "--json").json
    chunks = list(open_recording([capture]).chunks())
    assert found == {
        "ok": True,
        "files": 2,
        "blocks": len(chunks),
        "records": len(records_of(capture)),
        "damaged_blocks": 0,
        "missing_blocks": 0,
        "lost_records": 0,
        "findings": [],
    }


def test_replay_sums_up_what_it_saw(hftcap, capture):
    """Counts add up, and each book says how it is."""
    found = hftcap("replay", capture, "--speed", "max", "--json").json
    assert found["messages"] == sum(found["by_type"].values()) == len(records_of(capture))
    assert (found["losses"], found["gaps"], found["kernel"]) == (0, 0, Kernel.name)
    book = found["books"][SYMBOL]
    assert book["synced"] is True
    assert book["bookticker_equal"] == book["bookticker_checked"] > 0
    assert not {"bids", "asks"} & set(book)


# Books at an instant


def test_a_book_is_its_levels_and_their_digest(hftcap, capture):
    """Bids best first, asks lowest first, no trailing zeros; the digest is over all levels, however many shown."""
    book = hftcap("book", capture, "--symbol", SYMBOL, "--at", "end", "--json").json
    bids, asks = ([(parse_e8(price), parse_e8(size)) for price, size in book[side]] for side in ("bids", "asks"))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert (len(bids), len(asks)) == (book["n_bids"], book["n_asks"])
    lines = [f"b {price} {size}\n" for price, size in bids] + [f"a {price} {size}\n" for price, size in asks]
    assert book["sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert not [text for level in book["bids"] + book["asks"] for text in level if re.search(r"\.\d*0$", text)]
    few = hftcap("book", capture, "--symbol", SYMBOL, "--levels", "3", "--json").json
    assert few == book | {"bids": book["bids"][:3], "asks": book["asks"][:3]}


def test_every_form_of_a_time_names_the_same_book(hftcap, tmp_path):
    """RFC 3339, epoch with a unit, bare nanoseconds, from the start and before the end: one instant, one book."""
    event = '{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":%d,"u":%d,"b":[["%d","1"]],"a":[]}'
    payload = f'{{"stream":"btcusdt@depth","data":{event}}}'
    begin = 1_723_161_600 * 10**9
    head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, False, begin, "0.1.0")
    with CaptureWriter(tmp_path / "c", head, fsync=False) as writer:
        for number in range(7):
            writer.add((payload % (number, number, number + 1)).encode(), begin + number * 60 * 10**9)
    for at in (
        "2024-08-09T00:02:00Z",
        "2024-08-09T02:02:00.5+02:00",
        "2024-08-09T00:02:59.999999999",
        "1723161720s",
        "1723161720000ms",
        "1723161720000000000",
        "+120s",
        "+2m",
        "-4m",
    ):
        book = hftcap("book", tmp_path / "c", "--symbol", "BTCUSDT", f"--at={at}", "--json").json
        assert (book["final_update_id"], book["n_bids"], book["state"]) == (2, 3, "partial"), at
    before = hftcap("book", tmp_path / "c", "--symbol", "BTCUSDT", f"--at={begin - 1}", "--json").json
    assert (before["at_ns"], before["n_bids"], before["final_update_id"]) == (begin - 1, 0, None)


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "+999999999d", "-999999999d"])
def test_an_instant_far_beyond_a_capture_is_its_end_or_its_beginning(at, hftcap, capture):
    """Also where no clock can show such a time, in JSON and in words."""
    ran = hftcap("book", capture, "--symbol", SYMBOL, f"--at={at}", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["n_bids"] > 0) == (not at.startswith("-"))
    ran = hftcap("book", capture, "--symbol", SYMBOL, f"--at={at}")
    assert ran.code == 0, ran.err


# Records as lines


def test_cat_prints_a_record_a_line_that_imports_to_the_same(hftcap, capture, tmp_path):
    """Payloads, stamps, kinds, connections and symbols survive the way out and in again."""
    (tmp_path / "c.jsonl").write_bytes(hftcap("cat", capture).out)
    ran = hftcap("import", "--from", "jsonl", tmp_path / "c.jsonl", "-o", tmp_path / "copy")
    assert (ran.code, ran.out) == (0, b"")
    assert records_of(tmp_path / "copy") == records_of(capture)
    first, second = (hftcap("cat", folder).out.splitlines() for folder in (capture, tmp_path / "copy"))
    for one, other in zip(first, second, strict=True):
        one, other = json.loads(one), json.loads(other)
        assert one.pop("flags") in (0, 3)
        assert other.pop("flags") == 0
        assert one == other


def test_cat_says_of_a_record_what_is_stored(hftcap, capture):
    """A line has times, kind and connection; mono_ns and rx_lag_ns are null where the source recorded none."""
    lines = [json.loads(line) for line in hftcap("cat", capture).out.split(b"\n")[:-1]]
    records = records_of(capture)
    assert len(lines) == len(records)
    for line, (payload, recv_ns, kind, conn) in zip(lines, records, strict=True):
        assert (line["recv_ns"], line["kind"], line["conn"]) == (recv_ns, Kind(kind).name.lower(), conn)
        assert (line["mono_ns"], line["rx_lag_ns"]) == (None, None)
        text, encoded = line.get("payload"), line.get("payload_base64")
        assert (text is None) != (encoded is None)
        assert (base64.b64decode(encoded) if text is None else text.encode()) == payload
        if kind == Kind.REST:
            assert (line["symbol"], line["url"]) == (SYMBOL, "https://x/depth")
    assert [line["timeline_ns"] for line in lines] == sorted(line["timeline_ns"] for line in lines)


def test_a_recording_shows_its_monotonic_time(hftcap, tmp_path):
    """In a recording of ours, wall time at receipt is offset plus monotonic time."""
    write(tmp_path / "c", base=TimeBase.MONOTONIC, seconds=1)
    for line in hftcap("cat", tmp_path / "c").out.splitlines():
        record = json.loads(line)
        assert record["mono_ns"] + START_NS // 2 == record["recv_ns"] == record["timeline_ns"]


def test_binary_payloads_are_base64_whatever_is_in_them(hftcap, capture):
    """A binary frame may happen to be text, and a text frame may be none: bytes that are no text are base64."""
    lines = [json.loads(line) for line in hftcap("cat", capture).out.splitlines()]
    binary = [line for line in lines if line["kind"] == "ws_binary"]
    assert {line["payload_base64"] for line in binary} == {base64.b64encode(b"plain text").decode()}
    undecodable = {line["payload_base64"] for line in lines if line["kind"] == "ws_text" and "payload_base64" in line}
    assert undecodable == {base64.b64encode(bytes(range(256))).decode()}


def test_cat_raw_is_what_zstd_prints(hftcap, capture):
    """Payloads alone, each followed by a newline, byte for byte as any zstd decoder gives them."""
    raw = hftcap("cat", "--raw", capture)
    assert raw.code == 0
    assert raw.out == b"".join(payload + b"\n" for payload, *_ in records_of(capture))
    decompressor = zstandard.ZstdDecompressor()
    stored = b"".join(path.read_bytes() for path in sorted(capture.iterdir()))
    assert decompressor.stream_reader(stored, read_across_frames=True).read() == raw.out


def test_notes_are_printed_when_asked_for(hftcap, capture):
    """With --notes the capture's own lines stand before the record they are about."""
    lines = [json.loads(line) for line in hftcap("cat", "--notes", capture).out.splitlines()]
    (at,) = [number for number, line in enumerate(lines) if "note" in line]
    assert lines[at]["symbol"] == SYMBOL
    assert lines[at + 1]["kind"] == "rest"
    assert [line for line in lines if "note" not in line] == [
        json.loads(line) for line in hftcap("cat", capture).out.splitlines()
    ]


def test_one_record_can_be_named(hftcap, capture):
    """SEGMENT:BLOCK:RECORD, as a report's columns name it, prints that record alone."""
    chunk = list(open_recording([capture]).chunks())[-1]
    for record in (0, chunk.block.records - 1):
        raw = hftcap("cat", "--raw", f"{chunk.path}:{chunk.position}:{record}")
        assert (raw.code, raw.out) == (0, chunk.block.payload(record) + b"\n")
        line = hftcap("cat", f"{chunk.path}:{chunk.position}:{record}").json
        assert line["recv_ns"] == chunk.block.recv_ns[record]


def test_two_captures_are_printed_as_one_by_timeline(hftcap, capture, tmp_path):
    """Several captures are merged, each in its own order."""
    other = write(tmp_path / "other", seed=2)
    lines = [json.loads(line) for line in hftcap("cat", capture, other).out.splitlines()]
    timeline = [line["timeline_ns"] for line in lines]
    assert timeline == sorted(timeline)
    assert len(lines) == len(records_of(capture)) + len(records_of(other))


# Tables


def test_a_replay_writes_its_report(hftcap, capture, tmp_path):
    """The tables are there, every record a row, and the sentence about them is on stderr."""
    ran = hftcap("replay", capture, "--report", tmp_path / "out", "--interval", "0.5", "--json")
    assert ran.code == 0, ran.err
    rows = {path.stem: pq.read_metadata(path).num_rows for path in (tmp_path / "out").iterdir()}
    assert rows["messages"] == ran.json["messages"]
    assert set(rows) == {"messages", "trades", "book_updates", "bbo", "latency", "gaps"}
    assert str(tmp_path / "out") in ran.err
    starts = pq.read_table(tmp_path / "out" / "latency.parquet")["ts_start"].cast("int64").to_pylist()
    assert {start % 500_000_000 for start in starts} == {0}


@pytest.mark.parametrize("verb", ["info", "stats", "replay", "verify"])
def test_words_for_people_name_what_matters(verb, hftcap, capture):
    """Without --json, too, the number of records is on the screen."""
    ran = hftcap(verb, capture)
    assert ran.code == 0
    assert f"{len(records_of(capture)):,}" in ran.out.decode() + ran.err


# Real processes


def shell(command: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a line of sh in which `$H` is the command and `$1` and on are `words`."""
    line = f"H='{sys.executable} -m hftcap'; {command}"
    return subprocess.run(["sh", "-c", line, "sh", *map(str, words)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "words",
    ["cat $1", "cat --raw $1", "stats $1", "stats $1 --json", "info $1 --blocks", "--help"],
)
def test_a_closed_pipe_is_no_error(words, tmp_path):
    """The reader of the output has seen enough: exit code 0, and not a word."""
    write(tmp_path / "c", seconds=4)
    for reader in ("head -1", "true"):
        ran = shell(f"{{ $H {words}; echo $? >&2; }} | {reader}", tmp_path / "c")
        assert ran.stderr == "0\n", (words, reader)


@pytest.mark.parametrize("words", ["cat $1", "stats $1", "stats $1 --json", "--help"])
def test_a_full_disk_under_the_output_is_said_in_one_sentence(words, tmp_path):
    """A result that cannot be written is a failure, not a traceback."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    write(tmp_path / "c")
    ran = shell(f"$H {words} >/dev/full", tmp_path / "c")
    assert ran.returncode == 1
    assert re.fullmatch(r"hftcap: [^\n]*No space left on device\n", ran.stderr), ran.stderr


def test_the_demonstration_works_from_start_to_end(tmp_path):
    """Every step is a command printed before it runs; the capture verifies, the report is there, the books agree."""
    ran = shell("cd $1 && $H demo --seconds 2 --seed 7", tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert verify([tmp_path / "demo-out" / "capture"]).ok
    assert (tmp_path / "demo-out" / "report" / "messages.parquet").exists()
    assert [line for line in ran.stderr.splitlines() if line.startswith("==> hftcap ")] == [
        "==> hftcap synth --seed 7 --duration 2s --rate 300 -o demo-out/capture",
        "==> hftcap verify demo-out/capture",
        "==> hftcap replay demo-out/capture --speed max --report demo-out/report",
        "==> hftcap stats demo-out/capture",
        "==> hftcap book demo-out/capture --symbol BTCUSDT --at end --levels 5",
    ]
    assert "synced" in ran.stdout
    by_hand = shell("cd $1 && $H synth --seed 7 --duration 2s --rate 300 -o by-hand", tmp_path)
    assert by_hand.returncode == 0, by_hand.stderr
    made, again = (sorted((tmp_path / name).iterdir()) for name in ("demo-out/capture", "by-hand"))
    assert [path.read_bytes() for path in made] == [path.read_bytes() for path in again]


def test_the_same_seed_makes_the_same_demonstration(hftcap, tmp_path, monkeypatch):
    """Same seed, same bytes; another seed makes another capture, whose segments have another name."""
    monkeypatch.setattr(subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 0))
    files = []
    for number, seed in enumerate((7, 7, 8)):
        assert hftcap("demo", "--seconds", "1", "--seed", seed, "--out", tmp_path / str(number)).code == 0
        files.append({path.name: path.read_bytes() for path in (tmp_path / str(number) / "capture").glob("*.zst")})
    assert files[0] == files[1]
    assert not set(files[0]) & set(files[2])
