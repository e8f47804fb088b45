"""A capture on a pipe: the same segments as on disk, cut where they were joined."""

import io
from pathlib import Path

import pytest

from hftcap.capture.format import TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.spool import spool
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.errors import WriteFailed

HEAD = CaptureHead("00000000000000a0", "spot", TimeBase.MONOTONIC, False, 0, "test")


def write(folder: Path, segments: int) -> list[bytes]:
    """Write a capture of some segments; return their bytes in order."""
    with CaptureWriter(folder, HEAD, block_bytes=200, fsync=False) as writer:
        for number in range(segments):
            if number:
                writer.begin_segment()
            for record in range(40):
                writer.add(b"%d of %d" % (record, number), number * 1_000 + record)
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("segments", [1, 2, 5])
def test_segments_that_were_joined_are_cut_again(segments, tmp_path):
    """Each file is byte for byte the segment it came from, in order."""
    parts = write(tmp_path / "c", segments)
    assert len(parts) == segments
    paths = spool(io.BytesIO(b"".join(parts)), tmp_path, "stdin")
    assert [path.read_bytes() for path in paths] == parts
    assert sorted(paths) == paths
    records = [payload for chunk in open_recording(paths).chunks() for payload in chunk.block.payload_list()]
    assert len(records) == 40 * segments


def test_a_segment_without_footer_ends_where_the_next_begins(tmp_path):
    """An unsealed segment may be followed by another; both are read."""
    first, second = write(tmp_path / "c", 2)
    cut = open_recording([tmp_path / "c"]).segments[0].index()[-1].offset
    paths = spool(io.BytesIO(first[:cut] + second), tmp_path, "stdin")
    assert [path.read_bytes() for path in paths] == [first[:cut], second]


@pytest.mark.parametrize("data", [b"", b"not a capture", b"\x50\x2a\x4d\x18"])
def test_what_is_no_capture_is_one_file(data, tmp_path):
    """Whoever opens it says what it is not."""
    (path,) = spool(io.BytesIO(data), tmp_path, "stdin")
    assert path.read_bytes() == data


def test_behind_damage_nothing_is_cut_and_nothing_lost(tmp_path):
    """The bytes stay together in one file, for the reader to judge."""
    first, second = write(tmp_path / "c", 2)
    spoilt = bytearray(first)
    spoilt[len(first) // 2 :] = b"\0" * (len(first) - len(first) // 2)
    (path,) = spool(io.BytesIO(bytes(spoilt) + second), tmp_path, "stdin")
    assert path.read_bytes() == bytes(spoilt) + second


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    """One sentence, with the folder in it."""
    with pytest.raises(WriteFailed, match="nowhere"):
        spool(io.BytesIO(b"x"), tmp_path / "nowhere", "stdin")
