"""Several recordings as one feed: by timeline, stable on ties, nothing lost, nothing reordered within a recording."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcap.capture.format import TimeBase
from hftcap.capture.merge import merged
from hftcap.capture.reader import open_recordings
from hftcap.capture.segment_writer import WallOffset
from hftcap.capture.writer import CaptureHead, CaptureWriter

HEAD = CaptureHead("00000000000000a0", "spot", TimeBase.WALL, False, 0, "test")


def write(folder: Path, rank: int, stamps: list[int], block_bytes: int = 20) -> None:
    """Write a recording whose payloads say which it is and which record."""
    head = replace(HEAD, capture_id=f"{rank:016x}")
    with CaptureWriter(folder, head, block_bytes=block_bytes, fsync=False, beside=True) as writer:
        for number, stamp in enumerate(stamps):
            writer.add(b"%d:%d" % (rank, number), stamp)


def feed(folders: list[Path]) -> list[tuple[int, bytes]]:
    """Return timeline and payload of every record of the merged feed."""
    return [
        (int(chunk.timeline_ns[record]), chunk.block.payload(record))
        for chunk in merged(open_recordings(folders))
        for record in range(chunk.first, chunk.stop)
    ]


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=12), min_size=1, max_size=4))
def test_records_come_by_timeline_and_each_recording_in_its_own_order(tmp_path_factory, recordings):
    """The merge is the stable sort of all records by timeline, recordings ranked as they are named."""
    folders = []
    expected = []
    for rank, stamps in enumerate(recordings):
        folder = tmp_path_factory.mktemp("r")
        write(folder, rank, stamps)
        folders.append(folder)
        latest = 0
        for number, stamp in enumerate(stamps):
            latest = max(latest, stamp)  # an import's timeline is the running maximum of its stamps
            expected.append((latest, rank, number, b"%d:%d" % (rank, number)))
    expected.sort(key=lambda entry: entry[:2])
    assert feed(folders) == [(time, payload) for time, _, _, payload in expected]


def test_notes_of_a_block_without_records_are_passed_on(tmp_path):
    """A loss that was noted between records is not lost in the merge."""
    write(tmp_path / "a", 1, [10, 20, 30])
    head = replace(HEAD, capture_id="00000000000000ff")
    with CaptureWriter(tmp_path / "b", head, fsync=False) as writer:
        writer.add(b"x", 15)
        writer._writer.cut()
        writer.note({"note": "loss", "count": 3, "cause": "test"})
        writer._writer.cut()
        writer.add(b"y", 25)
    chunks = list(merged(open_recordings([tmp_path / "a", tmp_path / "b"])))
    assert [note["count"] for chunk in chunks for note in chunk.block.notes] == [3]
    assert sum(chunk.records for chunk in chunks) == 5


def monotonic(boot: str, capture_id: str) -> CaptureHead:
    return replace(HEAD, capture_id=capture_id, time_base=TimeBase.MONOTONIC, boot_id=boot)


def test_two_boots_in_one_folder_follow_each_other(tmp_path):
    """The monotonic clock begins again at a boot; the timeline does not go back, since the wall offset carries it."""
    second = 1_000_000_000
    for number, (boot, mono, wall) in enumerate(
        (("a", 900 * second, 5_000 * second), ("b", 3 * second, 5_950 * second))
    ):
        with CaptureWriter(tmp_path, monotonic(boot, f"{number:016x}"), fsync=False, beside=True) as writer:
            writer.wall = WallOffset(wall, 5)
            for step in range(3):
                writer.add(b"%s%d" % (boot.encode(), step), mono + step * second)
    found = feed([tmp_path])
    assert [payload for _, payload in found] == [b"a0", b"a1", b"a2", b"b0", b"b1", b"b2"]
    assert [time for time, _ in found] == sorted(time for time, _ in found)


@pytest.mark.parametrize("step_ns", [-3_600_000_000_000, 3_600_000_000_000])
def test_a_step_of_the_wall_clock_does_not_show_on_the_timeline(tmp_path, step_ns):
    """Times between records stay what the monotonic clock says, whatever the wall clock does meanwhile."""
    with CaptureWriter(tmp_path, monotonic("a", "00000000000000b0"), fsync=False) as writer:
        writer.wall = WallOffset(10_000_000_000_000, 5)
        writer.add(b"before", 100)
        writer.wall = WallOffset(10_000_000_000_000 + step_ns, 5)
        writer.add(b"after", 350)
    (before, _), (after, _) = feed([tmp_path])
    assert after - before == 250


def test_connections_whose_receive_times_interleave_keep_record_order(tmp_path):
    """`recv_ns` may go backwards across connections; record order is kept and the timeline never goes back."""
    with CaptureWriter(tmp_path, monotonic("a", "00000000000000c0"), fsync=False) as writer:
        for number, (mono, lag) in enumerate(((100, 5), (110, 90), (120, 1), (130, 80))):
            writer.add(b"%d" % number, mono, conn=number % 2, rx_lag_ns=lag)
    (chunk,) = merged(open_recordings([tmp_path]))
    recv = chunk.block.recv_ns.tolist()
    assert recv != sorted(recv)
    assert chunk.timeline_ns.tolist() == [100, 110, 120, 130]
    assert chunk.block.payload_list() == [b"0", b"1", b"2", b"3"]
