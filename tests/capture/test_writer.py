import errno
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.capture.block import Block, decode_block
from hftcap.capture.decode import Decoder, StoredBlock
from hftcap.capture.footer import Footer
from hftcap.capture.format import NONE_NS, Kind, TimeBase
from hftcap.capture.preamble import Preamble
from hftcap.capture.reader import open_recording
from hftcap.capture.segment_writer import WallOffset
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.errors import AlreadyExists, OverLimit, WriteFailed

HEAD = CaptureHead("0123456789abcdef", "spot", TimeBase.MONOTONIC, True, 1_723_161_600_000_000_000, "0.1.0")
INT64 = st.integers(-(2**63), 2**63 - 1)
PAYLOADS = [b"{}", b"", b"\n", b"\xff\x00", b"x" * 5000]


def parts_of(path: Path) -> list[object]:
    decoder = Decoder()
    return decoder.feed(path.read_bytes()) + decoder.finish()


def preamble_of(path: Path) -> Preamble:
    (preamble,) = (part for part in parts_of(path) if isinstance(part, Preamble))
    return preamble


def blocks_of(path: Path) -> list[Block]:
    blocks = [
        decode_block(part.header, part.body, TimeBase.MONOTONIC)
        for part in parts_of(path)
        if isinstance(part, StoredBlock)
    ]
    assert all(isinstance(block, Block) for block in blocks), blocks
    return blocks


def payloads_of(path: Path) -> list[bytes]:
    return [payload for block in blocks_of(path) for payload in block.payload_list()]


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_capture_is_part_until_it_is_sealed(tmp_path):
    """Nothing half-made has the name of a whole segment."""
    with CaptureWriter(tmp_path / "new" / "capture", HEAD) as writer:
        assert names(writer.folder) == []
        writer.add(b"{}", 5)
        (part,) = names(writer.folder)
        assert part.endswith("-01234567-000000.hcap.zst.part")
    assert names(writer.folder) == [part.removesuffix(".part")]
    assert writer.sealed == [writer.folder / part.removesuffix(".part")]
    assert isinstance(parts_of(writer.sealed[0])[-1], Footer)


def test_an_error_keeps_the_records_and_not_the_name(tmp_path):
    """Leaving by an exception, Ctrl-C included, writes what was added and seals nothing."""
    with pytest.raises(KeyboardInterrupt), CaptureWriter(tmp_path, HEAD) as writer:
        writer.add(b"one", 1)
        writer.add(b"two", 2)
        raise KeyboardInterrupt
    (part,) = tmp_path.iterdir()
    assert part.name.endswith(".part")
    assert payloads_of(part) == [b"one", b"two"]
    assert not isinstance(parts_of(part)[-1], Footer)
    assert writer.sealed == []


def test_an_error_before_the_first_record_leaves_nothing(tmp_path):
    """A recording that never began leaves an empty folder."""
    with pytest.raises(RuntimeError), CaptureWriter(tmp_path, HEAD):
        raise RuntimeError
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.hcap.zst", "a.hcap.zst.part"])
def test_a_folder_that_holds_a_capture_is_refused(tmp_path, name):
    """A capture is never mixed with another, sealed or not."""
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(AlreadyExists):
        CaptureWriter(tmp_path, HEAD)
    assert (tmp_path / name).read_bytes() == b"precious"


def test_other_files_in_the_folder_do_not_matter(tmp_path):
    """A folder may hold notes and reports beside its capture."""
    (tmp_path / "README.md").write_text("mine")
    with CaptureWriter(tmp_path, HEAD) as writer:
        writer.add(b"{}", 1)
    assert len(writer.sealed) == 1


def test_a_sealed_segment_is_never_overwritten(tmp_path):
    """A segment that appeared under the name to be given stays, and so does what was recorded."""
    with pytest.raises(AlreadyExists), CaptureWriter(tmp_path, HEAD) as writer:
        writer.add(b"mine", 1)
        (part,) = tmp_path.iterdir()
        sealed = part.with_name(part.name.removesuffix(".part"))
        sealed.write_bytes(b"precious")
    assert sealed.read_bytes() == b"precious"
    assert payloads_of(part) == [b"mine"]


def test_a_place_that_is_no_folder_is_refused(tmp_path):
    """A file where the folder should be is reported as what cannot be written to."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WriteFailed):
        CaptureWriter(tmp_path / "file", HEAD)


def test_sequence_and_numbers_run_on_across_segments(tmp_path):
    """Each segment knows its number and the last block before it, so that a missing one is found."""
    with CaptureWriter(tmp_path, HEAD, block_bytes=1) as writer:
        for source in ({"file": "a"}, {"file": "b"}, None):
            writer.begin_segment(source)
            writer.add(b"one", 1_000_000_000)
            writer.add(b"two", 2_000_000_000)
    preambles = [preamble_of(path) for path in writer.sealed]
    assert [preamble.segment for preamble in preambles] == [0, 1, 2]
    assert [preamble.previous_sequence for preamble in preambles] == [None, 1, 3]
    assert [preamble.source for preamble in preambles] == [{"file": "a"}, {"file": "b"}, None]
    assert {preamble.capture_id for preamble in preambles} == {HEAD.capture_id}
    sequences = [block.header.sequence for path in writer.sealed for block in blocks_of(path)]
    assert sequences == list(range(6))
    assert (writer.records, writer.losses) == (6, 0)


def test_numbers_run_on_after_a_seal_that_failed(tmp_path, monkeypatch):
    """A segment that could not be sealed keeps its number; the next one cannot be taken for it."""

    def fail(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with CaptureWriter(tmp_path, HEAD) as writer:
        writer.add(b"one", 1)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(WriteFailed):
                writer.begin_segment()
        writer.add(b"two", 2)
    (part,) = (path for path in tmp_path.iterdir() if path.name.endswith(".part"))
    assert (preamble_of(part).segment, preamble_of(writer.sealed[0]).segment) == (0, 1)
    assert preamble_of(writer.sealed[0]).previous_sequence == 0


def test_notes_wait_for_the_first_record(tmp_path):
    """A connect comes before its first record, in the block of that record."""
    with CaptureWriter(tmp_path, HEAD) as writer:
        writer.note({"note": "connect", "conn": 1})
        writer.add(b"{}", 1, kind=Kind.REST, note={"note": "rest", "symbol": "BTCUSDT"})
        writer.note({"note": "loss", "count": 3})
    (block,) = blocks_of(writer.sealed[0])
    assert block.notes == [
        {"note": "connect", "conn": 1},
        {"note": "rest", "symbol": "BTCUSDT", "record": 0},
        {"note": "loss", "count": 3},
    ]
    assert writer.losses == 3


def test_a_note_that_no_reader_accepts_is_refused_at_once(tmp_path):
    """Also before the first record, when it would only be kept."""
    with CaptureWriter(tmp_path, HEAD) as writer:
        with pytest.raises(ValueError, match="without its count"):
            writer.note({"note": "loss"})
        assert writer.losses == 0


@pytest.mark.parametrize("notes", [[], [{"note": "loss", "count": 1}]])
def test_a_recording_without_records_is_one_segment(tmp_path, notes):
    """Nothing received is a result too, with what was noted of it."""
    with CaptureWriter(tmp_path, HEAD) as writer:
        for note in notes:
            writer.note(note)
    (path,) = writer.sealed
    assert path.name.startswith("20240809T000000Z-")
    assert [note for block in blocks_of(path) for note in block.notes] == notes
    assert parts_of(path)[-1].totals["records"] == 0


def test_a_new_wall_offset_begins_a_block(tmp_path):
    """A wall clock that steps does not change the receive times recorded before the step."""
    with CaptureWriter(tmp_path, HEAD) as writer:
        writer.wall = WallOffset(1000, 1)
        writer.add(b"a", 1)
        writer.wall = WallOffset(1000, 1)
        writer.add(b"b", 2)
        writer.wall = WallOffset(5000, 2)
        writer.add(b"c", 3)
    blocks = blocks_of(writer.sealed[0])
    assert [block.recv_ns.tolist() for block in blocks] == [[1001, 1002], [5003]]
    assert [block.header.wall_error_ns for block in blocks] == [1, 2]


def test_every_segment_has_the_offset_of_the_first_block(tmp_path):
    """The timeline of a segment read alone is that of the whole recording."""
    with CaptureWriter(tmp_path, HEAD) as writer:
        for offset_ns in (1000, 5000):
            writer.wall = WallOffset(offset_ns, 1)
            writer.add(b"a", 1)
            writer.begin_segment()
    assert [preamble_of(path).timeline_offset_ns for path in writer.sealed] == [1000, 1000]


def test_a_payload_too_large_does_not_end_the_capture(tmp_path):
    """What has no room is refused, and the recording goes on."""
    with CaptureWriter(tmp_path, HEAD) as writer:
        with pytest.raises(OverLimit):
            writer.add(b"", 0, conn=70_000)
        writer.add(b"{}", 1)
    assert payloads_of(writer.sealed[0]) == [b"{}"]
    assert writer.records == 1


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd program is not installed")
def test_zstd_reads_the_payloads_and_nothing_else(tmp_path):
    """`zstd -t` accepts every segment, `zstd -dc` prints each payload followed by a newline."""
    with CaptureWriter(tmp_path, HEAD, block_bytes=8) as writer:
        writer.note({"note": "connect"})
        for number, payload in enumerate(PAYLOADS):
            writer.add(payload, number, note={"note": "connect"})
        writer.begin_segment()
        writer.note({"note": "connect"})
    for path, payloads in zip(writer.sealed, (PAYLOADS, []), strict=True):
        subprocess.run(["zstd", "-qt", path], check=True, timeout=30)
        printed = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True, timeout=30).stdout
        assert printed == b"".join(payload + b"\n" for payload in payloads)


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=30) | st.sampled_from([b"", b"\n"]),
            INT64,
            st.just(NONE_NS) | INT64,
            st.sampled_from(Kind),
            st.integers(0, 2**16 - 1),
            st.integers(0, 255),
            st.none() | st.just({"note": "rest", "symbol": "é\udc80"}),
        ),
        max_size=15,
    ),
    st.sampled_from(TimeBase),
    st.integers(1, 100),
    st.integers(1, 15),
)
def test_what_was_recorded_is_what_is_read(records, time_base, block_bytes, per_segment):
    """Any records, cut into any blocks and segments, come back in order, bit for bit, with nothing found wrong."""
    with tempfile.TemporaryDirectory() as name:
        head = replace(HEAD, time_base=time_base)
        with CaptureWriter(Path(name), head, block_bytes=block_bytes, fsync=False) as writer:
            for index, (payload, time_ns, lag_ns, kind, conn, flags, note) in enumerate(records):
                if index % per_segment == 0:
                    writer.begin_segment()
                writer.add(payload, time_ns, kind=kind, conn=conn, flags=flags, rx_lag_ns=lag_ns, note=note)
        recording = open_recording([Path(name)])
        back = []
        latest = NONE_NS
        for chunk in recording.chunks():
            columns = chunk.block.columns
            notes = {note["record"]: {key: note[key] for key in ("note", "symbol")} for note in chunk.block.notes}
            rows = (columns.time_ns, columns.rx_lag_ns, columns.kind, columns.conn, columns.flags)
            for index, row in enumerate(zip(chunk.block.payload_list(), *(r.tolist() for r in rows), strict=True)):
                back.append((*row, notes.get(index)))
            timeline = chunk.timeline_ns.tolist()
            assert timeline == sorted(timeline) and (not timeline or timeline[0] >= latest)
            latest = timeline[-1] if timeline else latest
        assert back == records
        assert recording.findings == [] and not recording.truncated
