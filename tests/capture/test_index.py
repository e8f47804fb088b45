"""The block index, from the footer and rebuilt, and seeking with it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcap.capture.format import TimeBase
from hftcap.capture.index import hop, read_footer, read_footer_crc
from hftcap.capture.reader import Segment, open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter

HEAD = CaptureHead("00000000000000a0", "spot", TimeBase.WALL, False, 0, "test")


def write(folder: Path, stamps: list[int], segments: int = 1) -> None:
    with CaptureWriter(folder, HEAD, block_bytes=30, fsync=False) as writer:
        for number, stamp in enumerate(stamps):
            if number and number % max(len(stamps) // segments, 1) == 0:
                writer.begin_segment()
            writer.add(b"record %4d" % number, stamp)


@pytest.fixture
def segment(tmp_path) -> Path:
    write(tmp_path, list(range(0, 300, 10)))
    (path,) = tmp_path.iterdir()
    return path


def test_a_rebuilt_index_is_that_of_the_footer(segment):
    """Hopping from header to header finds every block where the footer says it is."""
    footer = read_footer(segment)
    assert footer is not None
    assert tuple(hop(segment, footer.entries[0].offset)) == footer.entries


def test_a_rebuilt_index_passes_over_a_damaged_header(segment):
    """Blocks behind a header that is not whole are found again."""
    footer = read_footer(segment)
    content = bytearray(segment.read_bytes())
    content[footer.entries[3].offset + 20] ^= 1
    segment.write_bytes(content)
    rebuilt = tuple(hop(segment, footer.entries[0].offset))
    assert rebuilt == footer.entries[:3] + footer.entries[4:]


def test_a_file_cut_anywhere_has_no_footer_and_an_index_of_its_whole_blocks(segment):
    """Neither is an error: the index is that of the blocks whose last byte is there."""
    footer = read_footer(segment)
    content = segment.read_bytes()
    for length in range(footer.entries[0].offset, len(content)):
        segment.write_bytes(content[:length])
        assert read_footer(segment) is None
        found = Segment(segment).index() if length > footer.entries[0].offset else ()
        ends = [entry.offset for entry in footer.entries[1:]] + [int.from_bytes(content[-16:-8], "little")]
        assert found == tuple(e for e, end in zip(footer.entries, ends, strict=True) if end <= length)


def test_the_footer_checksum_stands_for_the_file(segment, tmp_path):
    """It is there for a sealed file alone, and differs where the content does."""
    other = tmp_path / "other"
    write(other, list(range(0, 300, 11)))
    (second,) = other.iterdir()
    assert read_footer_crc(segment) not in (None, read_footer_crc(second))
    segment.write_bytes(segment.read_bytes()[:-1])
    assert read_footer_crc(segment) is None


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=40),
    st.integers(1, 3),
    st.lists(st.integers(-5, 65), min_size=1, max_size=5),
)
def test_a_seek_loses_nothing_and_reads_the_rest_the_same(tmp_path_factory, stamps, segments, instants):
    """All records before the place are at or before the instant, and from it on a read goes as one from the start."""
    folder = tmp_path_factory.mktemp("c")
    write(folder, stamps, segments)
    whole = [
        (int(time), chunk.block.payload(record))
        for chunk in open_recording([folder]).chunks()
        for record, time in enumerate(chunk.timeline_ns)
    ]
    for instant in instants:
        recording = open_recording([folder])
        place = recording.seek(instant)
        rest = [
            (int(time), chunk.block.payload(record))
            for chunk in recording.chunks(place)
            for record, time in enumerate(chunk.timeline_ns)
        ]
        skipped = whole[: len(whole) - len(rest)]
        assert skipped + rest == whole
        assert all(time <= instant for time, _ in skipped)
        assert recording.findings == []


def test_the_span_is_known_without_reading_all(tmp_path):
    """First and last instant of the timeline, which for imports is the running maximum of the stamps."""
    write(tmp_path, [50, 40, 70, 60], segments=2)
    recording = open_recording([tmp_path])
    times = np.concatenate([chunk.timeline_ns for chunk in recording.chunks()])
    assert recording.span() == (int(times[0]), int(times[-1])) == (50, 70)
