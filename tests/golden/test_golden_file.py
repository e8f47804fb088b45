"""Golden files of a replay: the same capture is as it was, and whatever is not is named."""

import json
from base64 import b64decode, b64encode
from dataclasses import fields
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest

from hftcap.binance.endpoints import Market
from hftcap.binance.lines import Arrival
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.golden import digest
from hftcap.golden.digest import level_bytes, message_digests
from hftcap.kernel import Columns, Kernel
from hftcap.kernel.columns import ODDITIES, STATES, TYPES, empty_columns
from hftcap.market.walk import START_NS, SYMBOL, Walk

HEAD = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, True, START_NS, "0.1.0")
LOST, USAGE = 3, 2


def write(folder: Path, change: tuple[int, bytes, bytes] | None = None, seconds: float = 2) -> Path:
    """Write a small market in blocks of some records; `change` replaces bytes in one payload."""
    with CaptureWriter(folder, HEAD, block_bytes=3_000, fsync=False) as writer:
        for number, frame in enumerate(Walk(5).frames(seconds)):
            note = {"note": "rest", "symbol": SYMBOL} if frame.is_snapshot else None
            payload = frame.payload
            if change is not None and number == change[0]:
                assert change[1] in payload
                payload = payload.replace(change[1], change[2], 1)
            writer.add(payload, frame.recv_ns, kind=Kind.REST if note else Kind.WS_TEXT, note=note)
    return folder


@pytest.fixture
def capture(tmp_path) -> Path:
    return write(tmp_path / "capture")


@pytest.fixture
def golden(tmp_path, capture, hftcap) -> Path:
    ran = hftcap("replay", capture, "--write-golden", tmp_path / "golden")
    assert ran.code == 0, ran.err
    return tmp_path / "golden"


# Digests


def frames_of(folder: Path) -> list[bytes]:
    return [payload for chunk in open_recording([folder]).chunks() for payload in chunk.block.payload_list()]


@pytest.mark.parametrize("field", [field.name for field in fields(Columns)])
def test_every_column_is_in_the_digest(field):
    """A change of any one value changes the digest of that message, and of no other."""
    kernel = Kernel(Market.SPOT, expects_snapshots=False)
    kernel.symbols.extend(["A", "B"])
    kernel.streams.extend(["a", "b"])
    kernel.kinds.extend(["x", "y"])
    columns = empty_columns(3)
    before = message_digests(columns, kernel)
    getattr(columns, field)[1] = 1
    changed = message_digests(columns, kernel) != before
    assert changed.tolist() == [False, True, False]


def test_a_name_counts_by_its_text(tmp_path):
    """Met in another order, and so with other indices, names give the same digests."""
    chunk = next(iter(open_recording([write(tmp_path / "c")]).chunks()))
    digests = []
    for known in ([], ["ZZZ", "BTCUSDT"]):
        kernel = Kernel(Market.SPOT, expects_snapshots=False, levels=True)
        for name in known:
            kernel._symbol(name)
        result = kernel.run(chunk.block)
        digests.append((message_digests(result.columns, kernel).tolist(), level_bytes(result.levels, kernel)))
    assert digests[0] == digests[1]


def test_digests_are_spread_over_all_bits():
    """Of ten thousand messages that differ in one number hardly two share a digest, and each bit is set in half."""
    columns = empty_columns(10_000)
    columns.price_e8[:] = np.arange(10_000)
    digests = message_digests(columns, Kernel(Market.SPOT, expects_snapshots=False))
    assert len(np.unique(digests)) > 9_990
    for bit in range(32):
        assert 4_600 < int((digests >> np.uint32(bit) & np.uint32(1)).sum()) < 5_400


def splitmix(number: int) -> int:
    """Return what splitmix64 makes of a state, by plain integers."""
    number = (number + 0x9E3779B97F4A7C15) % 2**64
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    number = (number ^ number >> 27) * 0x94D049BB133111EB % 2**64
    return number ^ number >> 31


def test_numbers_are_mixed_as_published():
    """The first outputs of splitmix64 for seed 0: a digest that is kept must never be computed otherwise."""
    steps = np.array([0x0, 0x9E3779B97F4A7C15], dtype=np.uint64)
    mixed = digest._mixed(np.zeros(2, dtype=np.uint64), steps)
    assert mixed.tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


def test_a_digest_is_a_chain_over_names_and_numbers():
    """By plain integers: a name counts as 64 bits of its blake2b digest, no name as 0, a number as it is."""
    columns, kernel = empty_columns(1), Kernel(Market.SPOT, expects_snapshots=False)
    names = (TYPES[0], None, None, None, ODDITIES[0], STATES[0], "", Arrival(0).name)
    chained = 0
    for name in names:
        value = 0 if name is None else int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
        chained = splitmix(chained ^ value)
    for field in digest._NUMBERS:
        chained = splitmix(chained ^ int(getattr(columns, field)[0]) % 2**64)
    assert columns.kind[0] == columns.symbol[0] == columns.stream[0] == -1
    assert message_digests(columns, kernel).tolist() == [chained >> 32]


# Files


@pytest.mark.parametrize("words", [[], ["--mps", "100000"], ["--speed", "200"]])
def test_the_same_capture_is_as_it_was(words, capture, golden, hftcap):
    """At any speed, in whatever pieces."""
    ran = hftcap("replay", capture, "--golden", golden, *words, "--json")
    assert (ran.code, ran.json["golden"]) == (0, {"ok": True, "differing": 0, "first": None})


def test_the_file_is_the_same_at_every_run(capture, golden, hftcap, tmp_path):
    """So that it can be kept under version control; a line for each block, and no path in it."""
    hftcap("replay", capture, "--write-golden", tmp_path / "again", "--mps", "100000")
    assert (tmp_path / "again").read_bytes() == golden.read_bytes()
    lines = [json.loads(line) for line in golden.read_bytes().splitlines()]
    blocks = [chunk.block for chunk in open_recording([capture]).chunks()]
    assert [line["records"] for line in lines[1:-1]] == [block.records for block in blocks]
    assert lines[-1]["records"] == sum(block.records for block in blocks)
    assert str(tmp_path) not in golden.read_text()


def first_with(folder: Path, text: bytes, after: int = 0) -> int:
    return next(number for number, frame in enumerate(frames_of(folder)) if text in frame and number >= after)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [(b'"e":"trade","E":1', b'"e":"trade","E":2'), (b'"m":true', b'"m":false'), (b'"e":"trade"', b'"e":"tread"')],
)
def test_a_message_that_is_read_otherwise_is_named(text, becomes, capture, golden, hftcap, tmp_path):
    """Block and record of the first, and what it is now; exit code 3."""
    number = first_with(capture, text, after=40)
    ran = hftcap("replay", write(tmp_path / "other", (number, text, becomes)), "--golden", golden, "--json")
    assert ran.code == LOST
    first = ran.json["golden"]["first"]
    before = 0
    for chunk in open_recording([tmp_path / "other"]).chunks():
        if before <= number < before + chunk.records:
            assert (first["sequence"], first["record"]) == (chunk.block.header.sequence, number - before)
        before += chunk.records
    assert ran.json["golden"]["ok"] is False
    assert ran.json["golden"]["differing"] >= 1
    assert f"message {first['record']} of block {first['sequence']}" in ran.err
    assert "now it is" in ran.err


def test_a_level_deep_in_the_book_is_seen(capture, golden, hftcap, tmp_path):
    """Not in the touch, not in a count: only the changes of the book tell, and the block they are of is named."""
    number = first_with(capture, b'"depthUpdate"', after=60)
    level = min(json.loads(frames_of(capture)[number])["data"]["b"], key=lambda level: float(level[0]))
    old = f'["{level[0]}","{level[1]}"]'.encode()
    if float(level[1]) == 0:
        pytest.fail("the market of this seed has no such level any more: choose another")
    other = write(tmp_path / "other", (number, old, f'["{level[0]}","{level[1][:-1]}7"]'.encode()))
    ran = hftcap("replay", other, "--golden", golden, "--json")
    assert ran.code == LOST
    found = ran.json["golden"]
    assert (found["ok"], found["differing"], found["first"]["record"]) == (False, 0, None)
    before = 0
    for chunk in open_recording([other]).chunks():
        if before <= number < before + chunk.records:
            assert f"the levels that block {chunk.block.header.sequence} of" in found["first"]["said"]
        before += chunk.records


def test_more_and_fewer_messages_are_seen(capture, golden, hftcap, tmp_path):
    """A capture that is longer or shorter than it was is not as it was."""
    for seconds in (1.5, 2.5):
        ran = hftcap("replay", write(tmp_path / str(seconds), seconds=seconds), "--golden", golden, "--json")
        assert ran.code == LOST
        assert ran.json["golden"]["differing"] > 0


def test_another_capture_is_not_this_one(golden, hftcap, tmp_path):
    """The golden file is of a capture, not of any that happens to read alike."""
    head = CaptureHead("8899aabbccddeeff", "usdm", TimeBase.WALL, False, START_NS, "0.1.0")
    with CaptureWriter(tmp_path / "c", head, fsync=False) as writer:
        writer.add(b"{}", START_NS)
    ran = hftcap("replay", tmp_path / "c", "--golden", golden)
    assert ran.code == LOST
    assert "usdm 8899aabbccddeeff" in ran.err


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]\n", b'{"golden":2,"market":"spot","captures":[]}\n', b"\x89HCAP"]
)
def test_what_is_no_golden_file_is_a_usage_error(content, capture, hftcap, tmp_path):
    """Missing, empty, of another version or something else: exit code 2, one sentence, nothing made in its place."""
    path = tmp_path / "golden"
    if content is not None:
        path.write_bytes(content)
    ran = hftcap("replay", capture, "--golden", path)
    assert (ran.code, ran.out) == (USAGE, b"")
    assert str(path) in ran.err
    assert path.exists() is (content is not None)


def test_digests_that_are_cut_are_a_difference(capture, golden, hftcap):
    """Bytes that are no whole digest count as none: the first message without one is named."""
    lines = [json.loads(line) for line in golden.read_bytes().splitlines()]
    block = lines[2]
    block["messages"] = b64encode(b64decode(block["messages"])[:-2]).decode()
    golden.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    ran = hftcap("replay", capture, "--golden", golden, "--json")
    assert ran.code == LOST
    assert (ran.json["golden"]["differing"], ran.json["golden"]["first"]["record"]) == (1, block["records"] - 1)


@pytest.mark.parametrize("keep", [1, 3, -1])
def test_a_golden_file_that_was_cut_is_no_pass(keep, capture, golden, hftcap):
    """Lines missing at its end are a difference."""
    lines = golden.read_bytes().splitlines(keepends=True)
    golden.write_bytes(b"".join(lines[:keep]))
    assert hftcap("replay", capture, "--golden", golden).code == LOST


def test_a_golden_file_is_of_whole_captures(capture, golden, hftcap):
    """What selects a part cannot be held against it, nor can a loop."""
    for words in (["-s", SYMBOL], ["--start", "+1s"], ["--passes", "2"]):
        assert hftcap("replay", capture, "--golden", golden, *words).code == USAGE
