"""Whatever goes wrong, the command line says so in one sentence, with the right exit code, and without a traceback."""

import json
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.writer import CaptureHead, CaptureWriter

FAILED, USAGE, LOST = 1, 2, 3
READERS = {
    "info": [],
    "stats": [],
    "book": ["--symbol", "BTCUSDT"],
    "verify": [],
    "cat": [],
    "replay": [],
    "recover": ["--output", "OUT"],
    "compact": [],
}
START_NS = 1_723_161_600_000_000_000


@pytest.fixture(params=sorted(READERS))
def verb(request) -> str:
    return request.param


@pytest.fixture
def options(verb, tmp_path) -> list[str]:
    """Return what a verb needs besides the capture; OUT is a folder that is not there yet."""
    return [str(tmp_path / "recovered") if word == "OUT" else word for word in READERS[verb]]


@pytest.fixture
def capture(tmp_path) -> Path:
    """Return a capture with depth of BTCUSDT, a trade of ETHUSDT and several blocks."""
    head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, True, START_NS, "0.1.0")
    trade = {"e": "trade", "E": 1, "s": "ETHUSDT", "t": 1, "p": "1", "q": "1", "T": 1, "m": True}
    payloads = [
        b'{"lastUpdateId":5,"bids":[["1","1"]],"asks":[["2","1"]]}',
        json.dumps({"stream": "ethusdt@trade", "data": trade}).encode(),
        b'{"result":null,"id":1}',
    ]
    with CaptureWriter(tmp_path / "capture", head, block_bytes=1, fsync=False) as writer:
        for number, payload in enumerate(payloads):
            kind, note = (Kind.WS_TEXT, None) if number else (Kind.REST, {"note": "rest", "symbol": "BTCUSDT"})
            writer.add(payload, START_NS + number, kind=kind, note=note)
    return tmp_path / "capture"


def segment_of(capture: Path) -> Path:
    return next(path for path in capture.iterdir() if path.name.endswith(".hcap.zst"))


def edit(path: Path, change: Callable[[bytearray], None]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def one_sentence(ran, code: int, *words: str) -> None:
    """Hold a failure against the promise: this exit code, nothing on stdout, one line on stderr that has `words`."""
    assert ran.code == code, ran.err
    assert ran.out == b""
    lines = [line for line in ran.err.splitlines() if not line.startswith("==> ")]
    assert len(lines) == 1, ran.err
    assert ran.err.endswith("\n")
    assert lines[0].startswith("hftcap: ")
    assert "Traceback" not in lines[0]
    for word in words:
        assert word in lines[0]


# What is to be read


def test_a_missing_path(verb, options, hftcap, tmp_path):
    """The path is named."""
    one_sentence(hftcap(verb, tmp_path / "nowhere", *options), FAILED, "nowhere", "no such file")


@pytest.mark.parametrize(("content", "found"), [(b"time,price\n1,2\n", "time,price"), (b"", "empty file")])
def test_a_file_that_is_no_capture(verb, options, content, found, hftcap, tmp_path):
    """Said to be something else, with what it begins with."""
    path = tmp_path / "ticks.csv"
    path.write_bytes(content)
    one_sentence(hftcap(verb, path, *options), FAILED, "ticks.csv", "not a capture", found)


def test_a_folder_without_captures(verb, options, hftcap, tmp_path):
    """The names that were looked for are named."""
    (tmp_path / "empty").mkdir()
    one_sentence(hftcap(verb, tmp_path / "empty", *options), FAILED, "empty", "*.hcap.zst")


def test_a_newer_format(verb, options, hftcap, capture):
    """Both versions are named, and what to do."""

    def change(content: bytearray) -> None:
        end = 8 + 16 + int.from_bytes(content[20:24], "little")
        content[16:18] = (9).to_bytes(2, "little")
        content[end : end + 4] = zlib.crc32(content[8:end]).to_bytes(4, "little")

    edit(segment_of(capture), change)
    one_sentence(hftcap(verb, capture, *options), FAILED, "format 9", "1", "update hftcap")


def test_a_capture_of_another_market_beside_it(verb, options, hftcap, capture, tmp_path):
    """Symbols of two markets are not the same: what replays refuses the pair, what only reads storage does not."""
    head = CaptureHead("ffeeddccbbaa9988", "usdm", TimeBase.WALL, True, START_NS, "0.1.0")
    with CaptureWriter(tmp_path / "other", head, fsync=False) as writer:
        writer.add(b"{}", START_NS)
    ran = hftcap(verb, capture, tmp_path / "other", *options)
    if verb in ("stats", "book", "replay"):
        one_sentence(ran, FAILED, "spot", "usdm")
    elif verb == "recover":  # takes one recording at a time
        one_sentence(ran, FAILED, "00112233445566aa", "ffeeddccbbaa9988")
    else:
        assert ran.code == 0, ran.err


def test_an_unknown_symbol(hftcap, capture):
    """The symbols that are there are named."""
    one_sentence(hftcap("book", capture, "--symbol", "DOGEUSDT"), FAILED, "DOGEUSDT", "BTCUSDT", "ETHUSDT")


def test_a_symbol_without_depth(hftcap, capture):
    """A symbol with trades alone has no book; those that have one are named."""
    one_sentence(hftcap("book", capture, "--symbol", "ETHUSDT"), FAILED, "ETHUSDT", "BTCUSDT")


@pytest.mark.parametrize("option", [["--json"], []])
def test_a_failure_prints_no_half_a_result(option, hftcap, capture):
    """With --json, too, stdout stays empty where there is no result."""
    one_sentence(hftcap("book", capture, "--symbol", "ETHUSDT", *option), FAILED)


@pytest.mark.parametrize("address", ["0:99", "99:0"])
def test_a_record_that_is_not_there(address, hftcap, capture):
    """Neither a block nor a record beyond the last is guessed."""
    one_sentence(hftcap("cat", f"{segment_of(capture)}:{address}"), FAILED, "99")


# What is typed


@pytest.mark.parametrize("at", ["", "yesterday", "5m", "2024-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_cannot_be_read(at, hftcap, capture):
    """A usage error that shows the forms there are."""
    one_sentence(hftcap("book", capture, "--symbol", "BTCUSDT", f"--at={at}"), USAGE, repr(at), "RFC 3339")


def test_an_unknown_format(hftcap, tmp_path):
    """A usage error that names the formats there are."""
    source = tmp_path / "x"
    source.touch()
    words = ("--from", "hftbacktest", "cryptofeed", "jsonl")
    one_sentence(hftcap("import", "--from", "tardis", source, "-o", tmp_path / "out"), USAGE, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuch"], "nosuch"),
        (["stats", "--nosuch", "x"], "--nosuch"),
        (["stats"], "CAPTURE"),
        (["book", "x", "--at-id", "5"], "--symbol"),
        (["book", "x", "-s", "A", "-s", "B", "--at-id", "5"], "--symbol"),
        (["book", "x", "-s", "A", "--at-id", "5", "--at", "+1s"], "--at-id"),
        (["book", "x", "--follow", "--at", "+1s"], "--follow"),
        (["book", "x", "--symbol", "A", "--levels", "0"], "--levels"),
        (["book", "x", "--symbol", "A", "--levels", "many"], "--levels"),
        (["import", "x", "--from", "jsonl"], "--output"),
        (["import", "x", "--from", "jsonl", "-o", "y", "--market", "moon"], "--market"),
        (["import", "x", "--from", "jsonl", "-o", "y", "--level", "99"], "--level"),
        (["replay", "x", "--speed", "fast"], "--speed"),
        (["replay", "x", "--speed", "0"], "--speed"),
        (["replay", "x", "--speed", "-1"], "--speed"),
        (["replay", "x", "--mps", "none"], "--mps"),
        (["replay", "x", "--mps", "5", "--speed", "2"], "--mps"),
        (["replay", "x", "--max-gap", "5", "--speed", "2"], "--max-gap"),
        (["replay", "x", "--max-gap", "5s"], "--speed"),
        (["replay", "x", "--loop", "--report", "y"], "--report"),
        (["replay", "x", "--passes", "0"], "--passes"),
        (["replay", "x", "--interval", "5"], "--interval"),
        (["replay", "x", "--format", "json"], "--format"),
        (["replay", "x", "--force"], "--force"),
        (["import", "x", "--from", "jsonl", "-o", "-", "--json"], "--output"),
        (["replay", "x", "--interval", "0"], "--interval"),
        (["replay", "x", "--interval", "inf"], "--interval"),
        (["replay", "x", "--interval", "1e300"], "--interval"),
        (["replay", "x", "--interval", "nan"], "--interval"),
        (["demo", "--seconds", "0"], "--seconds"),
        (["demo", "--seconds", "nan"], "--seconds"),
        (["demo", "--seed", "one"], "--seed"),
    ],
)
def test_a_command_line_that_makes_no_sense(words, said, hftcap, tmp_path, monkeypatch):
    """One sentence that names the word at fault and where to look, before anything is read or written."""
    monkeypatch.chdir(tmp_path)
    one_sentence(hftcap(*words), USAGE, said, "--help")
    assert list(tmp_path.iterdir()) == []


# What is to be imported


@pytest.mark.parametrize("source", ["hftbacktest", "cryptofeed", "jsonl"])
@pytest.mark.parametrize("content", [None, b"", b"time,price\n1,2\n"], ids=["missing", "empty", "text"])
def test_a_source_that_cannot_be_imported(source, content, hftcap, tmp_path):
    """File and fault are named, and no capture is left behind."""
    path = tmp_path / "ticks.0"
    if content is not None:
        path.write_bytes(content)
    one_sentence(
        hftcap("import", "--from", source, path, "-o", tmp_path / "out", "--market", "spot"), FAILED, "ticks.0"
    )
    assert not (tmp_path / "out").exists()


def test_a_market_that_nobody_tells(hftcap, tmp_path):
    """Where the data does not say, the option that does is named."""
    path = tmp_path / "ticks.jsonl"
    path.write_text('{"recv_ns":1,"payload":"{}"}\n')
    one_sentence(hftcap("import", "--from", "jsonl", path, "-o", tmp_path / "out"), FAILED, "--market")


# What is to be written


def outputs(verb: str, capture: Path, tmp_path: Path) -> Callable[[Path], list[object]]:
    """Return the words that write to a path."""
    source = tmp_path / "ticks.jsonl"
    source.write_text('{"recv_ns":1,"payload":"{}"}\n')
    return {
        "import": lambda out: ["import", "--from", "jsonl", source, "--market", "spot", "-o", out],
        "replay": lambda out: ["replay", capture, "--report", out],
        "synth": lambda out: ["synth", "--seed", "1", "--duration", "200ms", "-o", out],
        "demo": lambda out: ["demo", "--seconds", "1", "--out", out],
    }[verb]


@pytest.mark.parametrize("writing", ["import", "replay", "synth", "demo"])
def test_a_place_that_cannot_be_written(writing, hftcap, capture, tmp_path):
    """A path below a file: named, with the reason."""
    (tmp_path / "file").write_text("mine")
    one_sentence(hftcap(*outputs(writing, capture, tmp_path)(tmp_path / "file" / "out")), FAILED, "file", "directory")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("writing", ["import", "replay", "synth", "demo"])
def test_what_is_there_already_is_not_overwritten(writing, hftcap, capture, tmp_path):
    """A capture never, a report only with --force; the sentence says which it is, and nothing has changed."""
    out = tmp_path / "out"
    words = outputs(writing, capture, tmp_path)(out)
    if writing == "demo":
        (out / "capture").mkdir(parents=True)
        segment_of(capture).rename(out / "capture" / segment_of(capture).name)
    else:
        assert hftcap(*words).code == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    one_sentence(hftcap(*words), FAILED, "out", "there already")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_an_interrupted_verb_says_so(tmp_path):
    """Exit code 130, and a word on stderr: what it wrote so far is not whole."""
    words = ["import", "--from", "jsonl", "-", "--market", "spot", "-o", str(tmp_path / "out")]
    command = [sys.executable, "-m", "hftcap", *words]
    piped = subprocess.PIPE

    def heed() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job, and all it starts, ignores it

    with subprocess.Popen(command, stdin=piped, stdout=piped, stderr=piped, bufsize=0, preexec_fn=heed) as process:
        # More than a pipe holds: when it is written, most of it has been read; and it waits for more.
        process.stdin.write(b'{"recv_ns":1,"payload":"{}"}\n' * 20_000)
        for _ in range(30):
            # One that comes between Python's look for signals and its read is noticed when that returns: never, here.
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(2)
                break
        ran = process.stdout.read(), process.stderr.read()
    assert (process.returncode, *ran) == (130, b"", b"hftcap: interrupted\n")


def test_a_report_is_replaced_when_told_to(hftcap, capture, tmp_path):
    """--force is the way the sentence names."""
    words = outputs("replay", capture, tmp_path)(tmp_path / "out")
    assert hftcap(*words).code == 0
    assert hftcap(*words, "--force").code == 0


# What is damaged: a result, and words about what it lacks


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_capture_gives_its_result_and_exit_code_3(verb, options, damage, hftcap, capture):
    """The result is on stdout as ever; on stderr stands what is wrong, with the file's name; nothing more."""
    path = segment_of(capture)
    if damage == "flip":
        edit(path, lambda content: content.__setitem__(content.rindex(b"\x89HCBLOCK") + 130, 0xEE))
    else:
        edit(path, lambda content: content.__delitem__(slice(-10, None)))
    ran = hftcap(verb, capture, *options, *([] if verb == "cat" else ["--json"]))
    assert ran.code == LOST, ran.err
    assert ran.out
    assert path.name in ran.err
    assert "Traceback" not in ran.err
    if verb != "cat":
        assert isinstance(ran.json, dict)


def test_an_import_that_lost_something_says_so(hftcap, tmp_path):
    """The rest is imported; exit code 3, and the line that could not be read is named."""
    path = tmp_path / "ticks.jsonl"
    path.write_text('{"recv_ns":1,"payload":"{}"}\nnonsense\n{"recv_ns":2,"payload":"{}"}\n')
    ran = hftcap("import", "--from", "jsonl", path, "-o", tmp_path / "out", "--market", "spot", "--json")
    assert (ran.code, ran.json["records"], ran.json["losses"]) == (LOST, 2, 1)
    assert "line 2" in ran.err
    assert "Traceback" not in ran.err
