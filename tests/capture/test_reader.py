import random
import struct
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.capture.decode import Decoder, StoredBlock
from hftcap.capture.format import FRAME, TimeBase
from hftcap.capture.reader import Recording, Segment, open_recording
from hftcap.capture.segment_writer import WallOffset
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.errors import (
    CaptureError,
    DamagedPart,
    NewerFormat,
    NoSegments,
    NotACapture,
    SeveralRecordings,
    Unreadable,
)

HEAD = CaptureHead("00112233445566ff", "spot", TimeBase.MONOTONIC, False, 1_723_161_600_000_000_000, "0.1.0")
FOREIGN = replace(HEAD, capture_id="ffeeddccbbaa9988")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "capture"


def write(folder: Path, head: CaptureHead = HEAD, *, segments: int = 1, blocks: int = 3) -> list[Path]:
    """Write a capture of `blocks` blocks a segment, two records each; return its segments."""
    with CaptureWriter(folder, head, block_bytes=20, fsync=False) as writer:
        writer.wall = WallOffset(1000, 5)
        for number in range(segments * blocks * 2):
            if number % (blocks * 2) == 0:
                writer.begin_segment()
            writer.add(b"payload %03d" % number, number * 10, rx_lag_ns=3)
    return writer.sealed


def numbers(recording: Recording) -> list[int]:
    """Return the number in each payload of `write`, in record order."""
    return [int(payload[8:]) for chunk in recording.chunks() for payload in chunk.block.payload_list()]


def blocks_in(path: Path) -> list[tuple[int, int]]:
    """Return where each block of a sound segment begins and ends."""
    parts = Decoder().feed(path.read_bytes())
    return [(part.offset, part.offset + part.header.block_bytes) for part in parts if isinstance(part, StoredBlock)]


def bytes_read() -> int:
    """Return how many bytes this process has read so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


def what(recording: Recording) -> str:
    return "\n".join(finding.what for finding in recording.findings)


def test_positions_and_paths_say_where_a_block_is(folder):
    """A chunk names its file and which block of that file it is."""
    paths = write(folder, segments=2, blocks=2)
    chunks = list(open_recording([folder]).chunks())
    assert [(chunk.path, chunk.position) for chunk in chunks] == [(path, n) for path in paths for n in range(2)]
    assert [chunk.block.header.sequence for chunk in chunks] == [0, 1, 2, 3]


def test_the_size_is_that_of_all_files(folder):
    """`file_bytes` adds up the segments."""
    paths = write(folder, segments=2)
    assert open_recording(paths).file_bytes == sum(path.stat().st_size for path in paths)


def test_receive_time_follows_each_blocks_offset_and_the_timeline_does_not(folder):
    """A step of the wall clock shows in recv_ns; the timeline goes on from the first offset."""
    with CaptureWriter(folder, HEAD, fsync=False) as writer:
        for offset_ns, time_ns in ((1000, 10), (400, 20), (9000, 30)):
            writer.wall = WallOffset(offset_ns, 1)
            writer.add(b"{}", time_ns, rx_lag_ns=3)
            writer.begin_segment()
    chunks = list(open_recording([folder]).chunks())
    assert [chunk.block.recv_ns.tolist() for chunk in chunks] == [[1007], [417], [9027]]
    assert [chunk.timeline_ns.tolist() for chunk in chunks] == [[1010], [1020], [1030]]
    (alone,) = open_recording([writer.sealed[2]]).chunks()
    assert alone.timeline_ns.tolist() == [1030]


def test_the_timeline_stands_still_where_stamps_run_backwards(folder):
    """Equal and backward stamps, across blocks too, never take the timeline back."""
    times = [50, 50, 40, 60, 60, 10, 70, 65]
    with CaptureWriter(folder, replace(HEAD, time_base=TimeBase.WALL), block_bytes=6, fsync=False) as writer:
        for time_ns in times:
            writer.add(b"{}", time_ns)
    chunks = list(open_recording([folder]).chunks())
    assert len(chunks) == 4
    assert np.concatenate([chunk.block.recv_ns for chunk in chunks]).tolist() == times
    assert np.concatenate([chunk.timeline_ns for chunk in chunks]).tolist() == [50, 50, 50, 60, 60, 60, 70, 70]
    assert [chunk.upto(60) for chunk in chunks] == [2, 2, 2, 0]
    assert [chunks[0].upto(at) for at in (49, 50)] == [0, 2]


def test_another_boot_begins_the_timeline_anew(folder):
    """After a restart the monotonic clock counts from elsewhere; the new segment brings its own offset."""
    (first,) = write(folder / "a", replace(HEAD, boot_id="one"), blocks=1)
    with CaptureWriter(folder / "b", replace(HEAD, boot_id="two"), fsync=False) as writer:
        writer._segment, writer._sequence = 1, 1  # a recording taken up again
        writer.wall = WallOffset(100_000, 1)
        writer.add(b"payload 002", 7)
    chunks = list(open_recording([first, *writer.sealed]).chunks())
    assert [chunk.timeline_ns.tolist() for chunk in chunks] == [[1000, 1010], [100_007]]


def test_a_second_read_starts_afresh(folder):
    """Findings are those of the last complete read, not the sum of all."""
    (path,) = write(folder)
    (begin, _), *_ = blocks_in(path)
    damaged = bytearray(path.read_bytes())
    damaged[begin + 60] ^= 1
    path.write_bytes(damaged)
    recording = open_recording([path])
    assert numbers(recording) == numbers(recording) == [2, 3, 4, 5]
    assert len(recording.findings) == 2
    assert recording.missing_blocks == 1


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", NotACapture),
        (b"time,price\n1,2\n" * 1000, NotACapture),
        (b"\x28\xb5\x2f\xfd" + bytes(100), NotACapture),
        (b"\x53\x2a\x4d\x18", NotACapture),
        (FRAME.pack(0x184D2A53, 4) + b"else", NotACapture),
        (FRAME.pack(0x184D2A53, 4) + b"\x89HFT", DamagedPart),
        (FRAME.pack(0x184D2A53, 2**32 - 1) + b"\x89HFTCAP\n" + bytes(500), DamagedPart),
    ],
    ids=["empty", "text", "plain zstd", "half a frame", "other frame", "torn magic", "lying length"],
)
def test_a_file_that_is_no_capture_is_named_as_such(tmp_path, content, error):
    """A wrong file is refused with what was found, a capture with a broken preamble as damaged."""
    path = tmp_path / "file.hcap.zst"
    path.write_bytes(content)
    with pytest.raises(error):
        open_recording([path])


def test_a_large_file_that_is_no_capture_is_refused_by_its_beginning(tmp_path):
    """Gigabytes of something else are not read to the end to say so."""
    path = tmp_path / "large.hcap.zst"
    with path.open("wb") as file:
        file.write(b"no capture")
        file.truncate(256 << 20)
    before = bytes_read()
    with pytest.raises(NotACapture):
        Segment(path)
    assert bytes_read() - before < 1 << 20


def test_paths_that_cannot_be_read_are_named_as_such(tmp_path):
    """A missing path, a folder without captures and a folder in place of a file each have their error."""
    with pytest.raises(Unreadable):
        open_recording([tmp_path / "missing"])
    with pytest.raises(NoSegments):
        open_recording([tmp_path])
    with pytest.raises(Unreadable):
        Segment(tmp_path)


def test_a_newer_format_is_refused_by_name(folder):
    """A file of a later version says so, with both versions, and is not called damaged."""
    (path,) = write(folder)
    content = bytearray(path.read_bytes())
    length = FRAME.unpack_from(content)[1]
    content[16:18] = struct.pack("<H", 2)
    content[8 + length - 4 : 8 + length] = struct.pack("<I", zlib.crc32(content[8 : 8 + length - 4]))
    path.write_bytes(content)
    with pytest.raises(NewerFormat, match=r"format 2 is newer than 1"):
        Segment(path)


def test_segments_of_two_recordings_are_not_mixed(tmp_path):
    """Two captures given at once are refused, with their ids."""
    paths = write(tmp_path / "a") + write(tmp_path / "b", FOREIGN)
    with pytest.raises(SeveralRecordings, match=HEAD.capture_id):
        open_recording(paths)


def test_a_cut_segment_gives_its_whole_blocks_at_every_length(folder):
    """Wherever a file was cut, all blocks before the cut are read, and the cut is found; nothing else is raised."""
    (path,) = write(folder)
    content = path.read_bytes()
    ends = [end for _, end in blocks_in(path)]
    preamble_end = 8 + FRAME.unpack_from(content)[1]
    for length in range(len(content)):
        path.write_bytes(content[:length])
        if length < preamble_end:
            with pytest.raises(NotACapture if length <= 8 else DamagedPart):
                open_recording([path])
            continue
        recording = open_recording([path])
        whole = sum(end <= length for end in ends)
        assert numbers(recording) == list(range(2 * whole)), length
        assert recording.truncated and "no footer" in what(recording), length


def test_a_part_file_may_end_anywhere(folder):
    """A segment being written has no footer; that is not damage, a torn block is."""
    (sealed,) = write(folder)
    path = sealed.rename(sealed.with_name(sealed.name + ".part"))
    content = path.read_bytes()
    _, (_, second), (_, third) = blocks_in(path)
    path.write_bytes(content[:third])
    recording = open_recording([folder])
    assert numbers(recording) == list(range(6))
    assert recording.truncated and recording.findings == []
    path.write_bytes(content[: second + 9])
    assert numbers(recording) == list(range(4))
    (torn,) = recording.findings
    assert (torn.path, torn.offset) == (path, second)


@pytest.mark.parametrize("content", [b"", b"\x53\x2a\x4d\x18\x00\x01\x00\x00\x89HF"], ids=["empty", "torn"])
def test_a_part_torn_in_its_preamble_does_not_hide_the_rest(folder, content):
    """A crash while a segment is begun leaves a file with nothing in it; the segments before stay readable."""
    write(folder, segments=2)
    torn = folder / "20990101T000000Z-00112233-000002.hcap.zst.part"
    torn.write_bytes(content)
    recording = open_recording([folder])
    assert numbers(recording) == list(range(12))
    (finding,) = recording.findings
    assert finding.path == torn
    with pytest.raises(CaptureError):
        open_recording([torn])


def test_no_flipped_bit_goes_unnoticed(folder):
    """Each byte of a segment, with one bit flipped, ends in an error, in findings, or in the very same content."""
    (path,) = write(folder)
    content = path.read_bytes()
    stored = [part for part in Decoder().feed(content) if isinstance(part, StoredBlock)]
    frames = [(part.offset + 8 + part.header.frame_bytes, part.header.payloads_stored) for part in stored]
    inside = {at for begin, length in frames for at in range(begin + 5, begin + length - 4)}
    rng = random.Random(7)
    unnoticed = []
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            recording = open_recording([path])
            read = [
                (int(payload[8:]), recv_ns)
                for chunk in recording.chunks()
                for payload, recv_ns in zip(chunk.block.payload_list(), chunk.block.recv_ns.tolist(), strict=True)
            ]
        except CaptureError:
            continue
        if recording.findings:
            assert set(read) <= {(number, 1000 + number * 10 - 3) for number in range(6)}
            assert read == sorted(read)
        else:
            unnoticed.append(at)
            assert read == [(number, 1000 + number * 10 - 3) for number in range(6)]
    # Only where zstd can say the same in two ways: inside a payload frame, behind its descriptor, before its checksum.
    assert set(unnoticed) <= inside


@given(st.binary(max_size=300), st.booleans())
def test_noise_behind_a_preamble_is_never_an_exception(noise, sealed):
    """Whatever follows a whole preamble, reading ends with findings."""
    with tempfile.TemporaryDirectory() as name:
        (path,) = write(Path(name), blocks=1)
        (begin, end), *_ = blocks_in(path)
        path.write_bytes(path.read_bytes()[: end if sealed else begin] + noise)
        recording = open_recording([path])
        assert numbers(recording) == ([0, 1] if sealed else [])
        assert recording.findings and recording.truncated


def test_a_block_of_another_capture_is_found_and_passed_over(tmp_path):
    """A spliced-in block is named foreign; the records around it are read."""
    (path,) = write(tmp_path / "a")
    (other,) = write(tmp_path / "b", FOREIGN)
    begin, end = blocks_in(other)[1]
    place = blocks_in(path)[1]
    content = path.read_bytes()
    path.write_bytes(content[: place[0]] + other.read_bytes()[begin:end] + content[place[1] :])
    recording = open_recording([path])
    assert numbers(recording) == [0, 1, 4, 5]
    assert FOREIGN.capture_id in what(recording)
    assert recording.missing_blocks == 1


def test_a_missing_block_is_found(folder):
    """A block cut out cleanly is missed by its sequence, and the footer no longer stands where it says."""
    (path,) = write(folder)
    begin, end = blocks_in(path)[1]
    content = path.read_bytes()
    path.write_bytes(content[:begin] + content[end:])
    recording = open_recording([path])
    assert numbers(recording) == [0, 1, 4, 5]
    assert "block 1 is missing" in what(recording) and "no footer" in what(recording)
    assert recording.missing_blocks == 1


def test_a_doubled_block_is_read_once(folder):
    """A block that stands there twice is named, and its records are not counted twice."""
    (path,) = write(folder)
    begin, end = blocks_in(path)[1]
    content = path.read_bytes()
    path.write_bytes(content[:end] + content[begin:])
    recording = open_recording([path])
    assert numbers(recording) == list(range(6))
    assert "doubled or out of order" in what(recording)


def test_a_damaged_block_costs_itself_alone(folder):
    """A block whose payloads changed is dropped whole and named with its place; no other is touched."""
    (path,) = write(folder)
    begin, end = blocks_in(path)[1]
    damaged = bytearray(path.read_bytes())
    damaged[end - 8] ^= 1
    path.write_bytes(damaged)
    recording = open_recording([path])
    assert numbers(recording) == [0, 1, 4, 5]
    (finding,) = recording.findings
    assert (finding.path, finding.offset) == (path, begin)
    assert (recording.damaged_blocks, recording.missing_blocks, recording.truncated) == (1, 0, False)


def test_a_last_block_that_is_missing_is_known_from_the_index(folder):
    """Damage to the last block of a sealed segment is missed by the footer behind it."""
    (path,) = write(folder)
    begin, _ = blocks_in(path)[2]
    damaged = bytearray(path.read_bytes())
    damaged[begin + 20] ^= 1
    path.write_bytes(damaged)
    recording = open_recording([path])
    assert numbers(recording) == [0, 1, 2, 3]
    assert recording.missing_blocks == 1 and not recording.truncated


def test_joined_files_are_found(folder):
    """Segments that were concatenated are read, with a word on it."""
    first, second = write(folder, segments=2, blocks=1)
    first.write_bytes(first.read_bytes() + second.read_bytes())
    recording = open_recording([first])
    assert numbers(recording) == [0, 1, 2, 3]
    assert "files were joined" in what(recording)
    assert "after the footer" in what(recording)


def test_a_missing_segment_is_found(folder):
    """A segment taken from the middle is missed by number, its blocks by sequence."""
    paths = write(folder, segments=4)
    paths[1].unlink()
    recording = open_recording([folder])
    assert numbers(recording) == [*range(6), *range(12, 24)]
    assert "segment 1 is missing" in what(recording)
    assert recording.missing_blocks == 3


def test_a_doubled_segment_is_read_once(folder):
    """A copy of a segment is named and passed over."""
    first, _ = write(folder, segments=2)
    (folder / ("copy-" + first.name)).write_bytes(first.read_bytes())
    recording = open_recording([folder])
    assert numbers(recording) == list(range(12))
    assert "here twice" in what(recording)


def test_swapped_names_do_not_change_the_order(folder):
    """The order of segments is that of their preambles, whatever they are called."""
    first, second = write(folder, segments=2)
    first.rename(folder / "z.hcap.zst")
    second.rename(folder / "a.hcap.zst")
    recording = open_recording([folder])
    assert numbers(recording) == list(range(12))
    assert recording.findings == []


def test_blocks_lost_at_a_cut_are_missed_by_the_next_segment(folder):
    """A segment without footer cannot say how many blocks it lost; the segment after it can."""
    first, _ = write(folder, segments=2)
    first.write_bytes(first.read_bytes()[: blocks_in(first)[1][0]])
    recording = open_recording([folder])
    assert numbers(recording) == [0, 1, *range(6, 12)]
    assert recording.missing_blocks == 2
    assert recording.truncated
