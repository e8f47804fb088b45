import errno
import gzip
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from hftcap.capture import segment_writer as writer_module
from hftcap.capture.block import Block, decode_block
from hftcap.capture.decode import Damage, Decoder, StoredBlock
from hftcap.capture.footer import Footer
from hftcap.capture.format import BLOCK_RAW_MAX, NONE_NS, PAYLOAD_MAX, Kind, TimeBase
from hftcap.capture.preamble import Preamble
from hftcap.capture.segment_writer import BLOCK_BYTES, SegmentWriter, WallOffset
from hftcap.errors import OverLimit, WriteFailed

PREAMBLE = Preamble("00112233445566ff", 0, None, "spot", TimeBase.MONOTONIC, False, 1, "0")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "segment.hcap.zst.part"


def parts_of(path: Path) -> list[object]:
    decoder = Decoder()
    return decoder.feed(path.read_bytes()) + decoder.finish()


def blocks_of(path: Path) -> list[Block]:
    """Return the blocks of a file in which nothing is damaged."""
    parts = parts_of(path)
    assert not [part for part in parts if isinstance(part, Damage)]
    blocks = [
        decode_block(part.header, part.body, TimeBase.MONOTONIC) for part in parts if isinstance(part, StoredBlock)
    ]
    assert all(isinstance(block, Block) for block in blocks), blocks
    return blocks


def payloads_of(path: Path) -> list[bytes]:
    return [payload for block in blocks_of(path) for payload in block.payload_list()]


def failing_pwrite(real, *, after: int, reason: int = errno.ENOSPC):
    """Return a pwrite that writes `after` bytes in all, in pieces of at most 100, and then fails."""
    left = after

    def pwrite(descriptor, data, offset):
        nonlocal left
        if not left:
            raise OSError(reason, os.strerror(reason))
        written = real(descriptor, bytes(data[: min(100, left)]), offset)
        left -= written
        return written

    return pwrite


def test_a_segment_begins_with_its_preamble(path):
    """A crash before the first block leaves a segment that says what it was to be."""
    writer = SegmentWriter(path, PREAMBLE, sequence=0)
    assert parts_of(path) == [PREAMBLE]
    writer.abandon()
    assert parts_of(path) == [PREAMBLE]


def test_a_block_is_on_the_disk_when_it_is_cut(path):
    """What was cut survives a crash at once; what is open does not."""
    writer = SegmentWriter(path, PREAMBLE, sequence=4)
    writer.add(b"one", 1)
    writer.cut()
    writer.cut()
    writer.add(b"two", 2)
    assert payloads_of(path) == [b"one"]
    writer.seal()
    assert payloads_of(path) == [b"one", b"two"]
    assert [block.header.sequence for block in blocks_of(path)] == [4, 5]


def test_a_block_is_cut_when_it_is_full(path):
    """A block is closed by the record that fills it, newlines counted."""
    writer = SegmentWriter(path, PREAMBLE, sequence=0, block_bytes=20)
    for number in range(7):
        writer.add(b"%04d" % number, number)
    writer.seal()
    assert [block.records for block in blocks_of(path)] == [4, 3]


def test_a_block_is_cut_at_the_limit_of_records(path, monkeypatch):
    """Empty payloads do not add up to a block that no reader accepts."""
    monkeypatch.setattr(writer_module, "RECORDS_MAX", 3)
    writer = SegmentWriter(path, PREAMBLE, sequence=0)
    for number in range(7):
        writer.add(b"", number)
    writer.seal()
    assert [block.records for block in blocks_of(path)] == [3, 3, 1]


def test_no_block_exceeds_the_limit_of_bytes(path):
    """However large the blocks that are asked for, each one can be read."""
    writer = SegmentWriter(path, PREAMBLE, sequence=0, block_bytes=2**40)
    largest = bytes(PAYLOAD_MAX)
    for number in range(5):
        writer.add(largest, number)
    writer.seal(fsync=False)
    assert [block.records for block in blocks_of(path)] == [3, 2]
    assert 4 * (PAYLOAD_MAX + 1) > BLOCK_RAW_MAX


def test_no_block_exceeds_the_limit_of_notes(path, monkeypatch):
    """Notes that no longer fit begin a new block, together with the record they are about."""
    monkeypatch.setattr(writer_module, "NOTES_RAW_MAX", 100)
    writer = SegmentWriter(path, PREAMBLE, sequence=0)
    for number in range(5):
        writer.add(b"%d" % number, number, note={"note": "connect", "conn": number})
    writer.note({"note": "loss", "count": 2, "cause": "x" * 50})
    with pytest.raises(OverLimit):
        writer.note({"note": "connect", "url": "x" * 100})
    writer.seal()
    blocks = blocks_of(path)
    assert len(blocks) > 2
    about = [
        (block.payload(note["record"]), note["conn"]) for block in blocks for note in block.notes if "conn" in note
    ]
    assert about == [(b"%d" % number, number) for number in range(5)]


def test_a_segment_has_no_more_blocks_than_its_index_can_list(path, monkeypatch):
    """The block beyond is refused, and what was written before it stays readable."""
    monkeypatch.setattr(writer_module, "ENTRIES_MAX", 1)
    writer = SegmentWriter(path, PREAMBLE, sequence=0, block_bytes=1)
    writer.add(b"one", 1)
    with pytest.raises(OverLimit):
        writer.add(b"two", 2)
    writer.abandon()
    assert payloads_of(path) == [b"one"]


@pytest.mark.parametrize(
    ("payload", "time_ns", "others"),
    [
        (bytes(PAYLOAD_MAX + 1), 0, {}),
        (b"", 2**63, {}),
        (b"", -(2**63) - 1, {}),
        (b"", 0, {"rx_lag_ns": 2**63}),
        (b"", 0, {"conn": 2**16}),
        (b"", 0, {"conn": -1}),
        (b"", 0, {"flags": 256}),
    ],
    ids=["payload", "time", "negative time", "lag", "conn", "negative conn", "flags"],
)
def test_a_record_without_room_is_refused_alone(path, payload, time_ns, others):
    """What the format cannot hold is refused when it is added, not when its block is written with all the rest."""
    writer = SegmentWriter(path, PREAMBLE, sequence=0)
    writer.add(b"before", 1)
    with pytest.raises(OverLimit):
        writer.add(payload, time_ns, **others)
    writer.add(b"after", 2)
    writer.seal()
    assert payloads_of(path) == [b"before", b"after"]


@pytest.mark.parametrize("note", [{"kind": "x"}, {"note": "loss"}, {"note": "connect", "record": 0}, {"note": "rest"}])
def test_a_note_that_no_reader_accepts_is_refused(path, note):
    """A note of ours never costs the records beside it."""
    writer = SegmentWriter(path, PREAMBLE, sequence=0)
    with pytest.raises(ValueError, match="note"):
        writer.note(note)
    writer.seal()
    assert blocks_of(path) == []


def test_the_footer_lists_blocks_and_totals(path):
    """Index and totals say what the blocks say."""
    writer = SegmentWriter(path, PREAMBLE, sequence=0, block_bytes=10)
    writer.wall = WallOffset(1000, 5)
    writer.add(b"0123456789", 50, rx_lag_ns=3)
    writer.note({"note": "loss", "count": 4})
    writer.cut()
    writer.add(b"body", 40, kind=Kind.REST, note={"note": "rest"})
    writer.seal()
    *_, footer = parts_of(path)
    assert isinstance(footer, Footer)
    stored = [part for part in parts_of(path) if isinstance(part, StoredBlock)]
    assert [(entry.offset, entry.sequence, entry.records) for entry in footer.entries] == [
        (part.offset, part.header.sequence, part.header.records) for part in stored
    ]
    assert [(entry.min_recv_ns, entry.max_mono_ns, entry.raw_bytes) for entry in footer.entries] == [
        (1047, 50, 11),
        (NONE_NS, NONE_NS, 0),
        (1040, 40, 5),
    ]
    assert footer.totals == {
        "records": 2,
        "payload_bytes": 14,
        "by_kind": {"ws_text": 1, "ws_binary": 0, "rest": 1},
        "losses": 4,
        "first_recv_ns": 1040,
        "last_recv_ns": 1047,
    }


def test_short_writes_are_completed(path, monkeypatch):
    """A write that the system does only in part goes on where it stopped."""
    monkeypatch.setattr(os, "pwrite", failing_pwrite(os.pwrite, after=10**9))
    writer = SegmentWriter(path, PREAMBLE, sequence=0)
    writer.add(random.Random(1).randbytes(1000), 1)
    writer.seal()
    assert payloads_of(path) == [random.Random(1).randbytes(1000)]


def test_a_failed_write_leaves_whole_blocks_and_no_hole(path, monkeypatch):
    """The torn block is cut off; when there is room again it is written in full, where it belongs."""
    real = os.pwrite
    writer = SegmentWriter(path, PREAMBLE, sequence=0, block_bytes=1)
    writer.add(b"one", 1)
    whole = path.read_bytes()
    monkeypatch.setattr(os, "pwrite", failing_pwrite(real, after=30))
    with pytest.raises(WriteFailed, match="No space left"):
        writer.add(b"two", 2)
    assert path.read_bytes() == whole
    assert writer.totals()["records"] == 1
    monkeypatch.setattr(os, "pwrite", real)
    writer.seal()
    assert payloads_of(path) == [b"one", b"two"]


def test_a_preamble_that_cannot_be_written_leaves_no_file(path, monkeypatch):
    """A full disk at the start does not leave a file that is no capture."""
    monkeypatch.setattr(os, "pwrite", failing_pwrite(os.pwrite, after=30))
    with pytest.raises(WriteFailed):
        SegmentWriter(path, PREAMBLE, sequence=0)
    assert not path.exists()


def test_a_seal_that_fails_closes_the_file(path, monkeypatch):
    """A failed fsync is reported, and no descriptor stays open."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  Path.iterdir would hold one more
    writer = SegmentWriter(path, PREAMBLE, sequence=0)

    def fail(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WriteFailed, match="Input/output error"):
        writer.seal()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_an_existing_file_is_not_written_to(path):
    """A segment is created, never taken over."""
    path.write_bytes(b"precious")
    with pytest.raises(WriteFailed):
        SegmentWriter(path, PREAMBLE, sequence=0)
    assert path.read_bytes() == b"precious"


FULL_DISK = """
import resource, sys
from pathlib import Path
from hftcap.capture.preamble import (Preamble)
from hftcap.capture.format import (TimeBase)
from hftcap.capture.segment_writer import SegmentWriter
from hftcap.errors import WriteFailed

path = Path(sys.argv[1])
preamble = Preamble("00112233445566ff", 0, None, "spot", TimeBase.MONOTONIC, False, 1, "0")
writer = SegmentWriter(path, preamble, sequence=0, block_bytes=400)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
for number in range(10_000):
    try:
        writer.add(b"%d" % number * 9, number)
    except WriteFailed as error:
        writer.abandon()
        print(writer.totals()["records"], error)
        break
"""


def test_a_full_disk_leaves_whole_blocks_and_is_reported(path):
    """The system's own refusal raises WriteFailed; all blocks before it are whole and counted."""
    done = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    count, reason = done.stdout.split(maxsplit=1)
    assert "File too large" in reason
    assert payloads_of(path) == [b"%d" % number * 9 for number in range(int(count))]
    assert int(count) > 50
    assert path.stat().st_size <= 5000


@pytest.mark.parametrize(
    ("name", "bytes_per_message"),
    [("spot/btcusdt_20240809.gz", 29.4), ("usdm/btcusdt_20240808.gz", 37.9)],
    ids=["spot", "usdm"],
)
def test_real_captures_stay_small(corpus, path, name, bytes_per_message):
    """Block layout and level 1 keep what was measured on real data, stamps with honest noise included."""
    noise = random.Random(20240809)
    count = 0
    writer = SegmentWriter(path, PREAMBLE, sequence=0, block_bytes=BLOCK_BYTES)
    with gzip.open(corpus / "hftbacktest" / name) as lines:
        for count, line in enumerate(lines, 1):  # noqa: B007  the last number is the count
            stamp, payload = line.rstrip(b"\n").split(b" ", 1)
            lag_ns = round(noise.gauss(13_000, 40))
            writer.add(payload, int(stamp) - 1_723_000_000_000_000_000 + lag_ns, rx_lag_ns=lag_ns)
    writer.seal(fsync=False)
    assert path.stat().st_size / count <= bytes_per_message * 1.03
