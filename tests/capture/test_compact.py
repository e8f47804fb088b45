import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from hftcap.capture import compact as module
from hftcap.capture.compact import compact, difference, merge_plan
from hftcap.capture.decode import Decoder, StoredBlock
from hftcap.capture.folder import find_segments
from hftcap.capture.format import NOTES_RAW_MAX, RECORDS_MAX, BlockHeader, Kind, TimeBase
from hftcap.capture.reader import Segment, open_recording
from hftcap.capture.segment_writer import SegmentWriter, WallOffset
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.errors import Unreadable, WriteFailed

HEAD = CaptureHead("00112233445566ff", "spot", TimeBase.MONOTONIC, True, 1_723_161_600_000_000_000, "0.1.0")
PAYLOAD = b'{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"s":"BTCUSDT","p":"%d.25","q":"0.%05d"}}'


def write(folder: Path, *, segments: int = 1, blocks: int = 6, steps: bool = False) -> list[Path]:
    """Write a capture in small blocks, with notes about records and notes about none; `steps` moves the wall clock."""
    with CaptureWriter(folder, HEAD, fsync=False) as writer:
        for number in range(segments * blocks):
            if number % blocks == 0:
                writer.begin_segment()
            if steps:
                writer.wall = WallOffset(1000 + number // 3, 5)
            for record in range(50):
                at = number * 1000 + record
                note = {"note": "rest", "block": number} if record == 7 else None
                payload = PAYLOAD % (at * 7919, at % 977, at * 31337 % 99991)
                writer.add(payload, at * 13, kind=Kind.REST if note else Kind.WS_TEXT, conn=2, rx_lag_ns=at, note=note)
            writer.note({"note": "clock", "block": number})
            assert writer._writer is not None
            writer._writer.cut()
    return writer.sealed


def content(paths: list[Path]) -> list[object]:
    """Return records and notes in order, each note with the number of its record in the recording; all but blocks."""
    recording = open_recording(paths)
    found: list[object] = [segment.preamble for segment in recording.segments]
    before = 0
    for chunk in recording.chunks():
        block, columns = chunk.block, chunk.block.columns
        lists = (columns.time_ns, columns.rx_lag_ns, columns.kind, columns.conn, columns.flags, block.recv_ns)
        wall = (block.header.wall_offset_ns, block.header.wall_error_ns)
        rows = zip(*(column.tolist() for column in (*lists, chunk.timeline_ns)), block.payload_list(), strict=True)
        found += [(*wall, *row) for row in rows]
        before += block.records
    assert recording.findings == []
    assert (recording.missing_blocks, recording.lost_records) == (0, 0)
    return found + notes(paths)


def notes(paths: list[Path]) -> list[object]:
    found: list[object] = []
    before = 0
    for chunk in open_recording(paths).chunks():
        for note in chunk.block.notes:
            found.append(json.dumps(note | ({"record": note["record"] + before} if "record" in note else {})))
        before += chunk.records
    return found


def headers(path: Path) -> list[BlockHeader]:
    return [part.header for part in Decoder().feed(path.read_bytes()) if isinstance(part, StoredBlock)]


def leftovers(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.endswith(".hcap.zst"))


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "capture"


@pytest.mark.parametrize("steps", [False, True], ids=["one offset", "wall clock moves"])
def test_records_notes_and_timeline_are_the_same_in_fewer_blocks(folder, steps):
    """Nothing but blocks and size changes; a block never spans two wall offsets."""
    (path,) = write(folder, steps=steps)
    before, size = content([folder]), path.stat().st_size
    result = compact([folder])
    assert (result.files, result.bytes_before, result.bytes_after) == (1, size, path.stat().st_size)
    assert result.bytes_after < size and result.ratio == result.bytes_after / size and result.skipped == []
    assert content([folder]) == before
    assert [(header.sequence, header.span) for header in headers(path)] == ([(0, 3), (3, 3)] if steps else [(0, 6)])
    assert leftovers(folder) == []


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd program is not installed")
def test_zstd_prints_the_same_bytes(folder):
    """`zstd -dc` of a compacted segment is byte for byte what it was, and `zstd -t` accepts it."""
    (path,) = write(folder)
    before = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True, timeout=30).stdout
    assert compact([folder]).files == 1
    subprocess.run(["zstd", "-qt", path], check=True, timeout=30)
    assert subprocess.run(["zstd", "-dc", path], check=True, capture_output=True, timeout=30).stdout == before


def test_a_second_run_does_nothing(folder):
    """What is compact is said to be, and not one byte is written."""
    paths = write(folder, segments=2, steps=True)
    compact([folder])
    before = [(path.stat().st_ino, path.read_bytes()) for path in paths]
    result = compact([folder])
    assert (result.files, result.ratio) == (0, None)
    assert [skipped.why for skipped in result.skipped] == ["compact already"] * 2
    assert [(path.stat().st_ino, path.read_bytes()) for path in paths] == before


def test_one_block_alone_is_still_compressed_again(folder):
    """Where there is nothing to merge, a higher level alone makes it smaller."""
    (path,) = write(folder, blocks=1)
    size = path.stat().st_size
    assert compact([folder]).files == 1
    assert path.stat().st_size < size


@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_compacted_segment_among_others_leaves_no_gap(folder, which):
    """Numbers go on across segments, whichever of them was compacted, and the segments find each other."""
    paths = write(folder, segments=3)
    before = content([folder])
    assert compact([paths[which]]).files == 1
    assert content([folder]) == before
    first = [header.sequence for path in paths for header in headers(path)]
    spans = [header.span for path in paths for header in headers(path)]
    assert first == [sum(spans[:number]) for number in range(len(spans))]


def test_the_index_still_leads_to_every_instant(folder):
    """A read from the place that `seek` names has every record from that instant on, as before."""
    paths = write(folder, segments=2)
    compact(paths[:1], block_bytes=12_000)
    recording = open_recording([folder])
    everything = [at for chunk in recording.chunks() for at in chunk.timeline_ns.tolist()]
    span = recording.span()
    for at in (0, 13 * 1025, everything[-1] // 2, everything[-1], everything[-1] + 1):
        place = recording.seek(at)
        assert place is not None
        found = [time for chunk in recording.chunks(place) for time in chunk.timeline_ns.tolist()]
        assert found == everything[len(everything) - len(found) :]
        assert sum(time > at for time in found) == sum(time > at for time in everything)
    assert span == (everything[0], everything[-1])
    assert len(recording.segments[0].index()) == len(headers(paths[0])) > 1


def test_what_was_compacted_small_can_be_compacted_further(folder):
    """Spans add up when blocks that span several are merged again."""
    (path,) = write(folder)
    before = content([folder])
    compact([folder], block_bytes=9000)
    assert [header.span for header in headers(path)] == [2, 2, 2]
    compact([folder])
    assert [(header.sequence, header.span) for header in headers(path)] == [(0, 6)]
    assert content([folder]) == before


def test_a_part_file_is_left_alone(folder):
    """The segment being written belongs to its writer; those that are sealed beside it are compacted meanwhile."""
    with CaptureWriter(folder, HEAD, fsync=False) as writer:
        for number in range(400):
            writer.add(PAYLOAD % (number, number, number), number)
        writer.begin_segment()
        writer.add(b"{}", 1000)
        result = compact([folder])
        (skipped,) = result.skipped
        assert result.files == 1 and "not sealed" in skipped.why and not skipped.damaged
        writer.add(b"{}", 1001)
    assert len(content([folder])) == 402 + 2


@pytest.mark.parametrize("harm", ["flip", "cut", "no capture"])
def test_a_segment_that_is_not_sound_is_left_as_it_is(folder, harm):
    """Damage is said and never rewritten: `recover` needs the file as it is. The others are compacted."""
    first, second = write(folder, segments=2)
    if harm == "flip":
        damage(first)
    else:
        first.write_bytes(first.read_bytes()[:-30] if harm == "cut" else b"hello")
    before = first.read_bytes()
    result = compact([folder])
    (skipped,) = result.skipped
    assert (skipped.path, skipped.damaged, result.files) == (first.resolve(), True, 1)
    assert first.read_bytes() == before and leftovers(folder) == []
    assert len(headers(second)) == 1


def test_a_file_that_would_not_become_smaller_is_kept(folder):
    """The old file stays where the new one brings nothing."""
    with CaptureWriter(folder, HEAD, fsync=False, level=19, block_bytes=1) as writer:
        for block in range(2):
            lines = (PAYLOAD % (at * 7919, at % 977, at * 31337 % 99991) for at in range(block, 2000, 2))
            writer.add(b"\n".join(lines), block)
    (path,) = writer.sealed
    before = path.read_bytes()
    (skipped,) = compact([folder], level=1).skipped
    assert "not become smaller" in skipped.why and not skipped.damaged
    assert path.read_bytes() == before and leftovers(folder) == []


def test_the_mode_of_the_file_is_kept(folder):
    """Who could read the capture before can read it after, and nobody else."""
    (path,) = write(folder)
    path.chmod(0o640)
    assert compact([folder]).files == 1
    assert path.stat().st_mode & 0o7777 == 0o640


def test_a_link_to_a_segment_stays_a_link(folder, tmp_path):
    """The file is replaced where it is, not where it was named."""
    (path,) = write(folder)
    link = tmp_path / "link.hcap.zst"
    link.symlink_to(path)
    assert compact([link]).files == 1
    assert link.is_symlink() and len(headers(path)) == 1


def test_a_leftover_of_a_killed_run_is_removed(folder):
    """What stands under the temporary name is no segment, and the next run puts its own in its place."""
    (path,) = write(folder)
    before = content([folder])
    (folder / f".{path.name}.compacting").write_bytes(b"half a file")
    assert find_segments([folder]) == [path]
    assert compact([folder]).files == 1
    assert leftovers(folder) == [] and content([folder]) == before


def test_two_processes_do_not_compact_the_same_segment(folder):
    """The second one says so and touches neither the segment nor the first one's temporary file."""
    (path,) = write(folder)
    temporary = folder / f".{path.name}.compacting"
    temporary.write_bytes(b"of the first one")
    with path.open("rb") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        (skipped,) = compact([folder]).skipped
    assert "another process" in skipped.why and not skipped.damaged
    assert temporary.read_bytes() == b"of the first one"


def test_a_segment_that_another_process_has_just_replaced_is_left_alone(folder, monkeypatch):
    """The lock is of a file that is gone by then: it says nothing about the one that has its name now."""
    (path,) = write(folder)
    real = fcntl.flock

    def replaced(descriptor: int, operation: int) -> None:
        copy = folder / "copy"
        copy.write_bytes(path.read_bytes())
        copy.replace(path)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", replaced)
    (skipped,) = compact([folder]).skipped
    assert "another process" in skipped.why


def test_without_locks_the_temporary_name_keeps_two_apart(folder, monkeypatch):
    """On a file system without locks a temporary file in the way is an error, not something to remove."""
    (path,) = write(folder)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    temporary = folder / f".{path.name}.compacting"
    temporary.write_bytes(b"of another")
    with pytest.raises(WriteFailed):
        compact([folder])
    assert temporary.read_bytes() == b"of another"
    temporary.unlink()
    assert compact([folder]).files == 1


def test_a_path_that_does_not_exist_is_an_error(tmp_path):
    """As everywhere."""
    with pytest.raises(Unreadable):
        compact([tmp_path / "missing"])


@pytest.mark.parametrize("step", ["chmod", "pwrite", "fsync", "replace"])
def test_a_step_that_fails_leaves_the_capture_readable(folder, monkeypatch, step):
    """Whichever call the operating system refuses, and whenever: all records are there and no file is left over."""
    paths = write(folder, segments=2)
    before = content([folder])
    real = getattr(os, step)
    for failing in range(1, 9):
        calls = 0

        def refuse(*args: object, failing: int = failing, **more: object) -> object:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(errno.EIO, "broken")
            return real(*args, **more)

        with monkeypatch.context() as patch:
            patch.setattr(os, step, refuse)
            if failing == 1:
                with pytest.raises(WriteFailed, match="broken"):
                    compact([folder])
            else:
                try:
                    compact([folder])
                except WriteFailed:
                    assert calls == failing
        assert content([folder]) == before, failing
        assert leftovers(folder) == [], failing
    assert sorted(folder.iterdir()) == paths


def test_what_is_read_back_differently_is_thrown_away(folder, monkeypatch):
    """A disk that returns other bytes than were written costs the new file, never the old one."""
    (path,) = write(folder)
    before = path.read_bytes()
    real = os.fsync

    def spoil(descriptor: int) -> None:
        real(descriptor)
        temporary = folder / f".{path.name}.compacting"
        if temporary.exists():
            damage(temporary)

    monkeypatch.setattr(os, "fsync", spoil)
    (skipped,) = compact([folder]).skipped
    assert skipped.damaged and "read back" in skipped.why
    assert path.read_bytes() == before and leftovers(folder) == []


def test_a_mistake_in_merging_would_be_found(folder, monkeypatch):
    """The comparison knows each record's columns, payload and notes: none can be wrong, missing or too many."""
    (path,) = write(folder)
    before = path.read_bytes()
    real = module._merged

    def columns_of(name: str, change: int) -> object:
        def wrong(blocks):
            columns, payloads, found = real(blocks)
            values = getattr(columns, name).copy()
            values[60] += change
            return replace(columns, **{name: values}), payloads, found

        return wrong

    def notes_of(change) -> object:
        def wrong(blocks):
            columns, payloads, found = real(blocks)
            return columns, payloads, change(found)

        return wrong

    mistakes = [columns_of(name, 1) for name in ("time_ns", "rx_lag_ns", "conn", "flags")]
    mistakes += [columns_of("kind", 1)]
    mistakes += [notes_of(lambda found: found[:-1]), notes_of(lambda found: [*found, {"note": "more"}])]
    mistakes += [notes_of(lambda found: found[::-1]), notes_of(lambda found: [{**note, "block": 0} for note in found])]
    mistakes += [lambda blocks: (real(blocks)[0], real(blocks)[1].replace(b"BTC", b"ETH"), real(blocks)[2])]
    mistakes += [lambda blocks: real(blocks[:-1])]
    for number, mistake in enumerate(mistakes):
        monkeypatch.setattr(module, "_merged", mistake)
        (skipped,) = compact([folder]).skipped
        assert "read back" in skipped.why, number
        assert path.read_bytes() == before and leftovers(folder) == []


def test_a_wrong_span_would_be_found(folder, monkeypatch):
    """The numbers of the next segment must go on where this one ends."""
    (path,) = write(folder)
    before = path.read_bytes()
    real = SegmentWriter.add_block

    def wrong(self: SegmentWriter, *block: object, span: int) -> None:
        real(self, *block, span=span + 1)

    monkeypatch.setattr(SegmentWriter, "add_block", wrong)
    (skipped,) = compact([folder]).skipped
    assert "read back" in skipped.why and path.read_bytes() == before


def test_segments_that_differ_are_told_apart(folder, tmp_path):
    """Another preamble, or fewer or more blocks, are differences; the same in other blocks is none."""
    (path,) = write(folder)
    copy = tmp_path / "copy.hcap.zst"
    copy.write_bytes(path.read_bytes())
    compact([copy])
    assert difference(Segment(path), Segment(copy)) is None
    (longer,) = write(tmp_path / "longer", blocks=7)
    assert difference(Segment(path), Segment(longer)) is not None
    assert difference(Segment(longer), Segment(path)) is not None
    with CaptureWriter(tmp_path / "other", replace(HEAD, host="elsewhere"), fsync=False) as writer:
        writer.add(b"{}", 1)
    assert difference(Segment(path), Segment(writer.sealed[0])) == "the preamble"


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from hftcap.capture.compact import compact
left = int(sys.argv[2])
def counted(real):
    def call(*args, **more):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **more)
    return call
for name in ("open", "chmod", "pwrite", "fsync", "replace", "unlink"):
    setattr(os, name, counted(getattr(os, name)))
compact([Path(sys.argv[1])], block_bytes=12_000)
"""


def test_killed_at_any_step_the_capture_is_whole(folder, tmp_path):
    """SIGKILL before each call that changes the disk: the old file or the new one, and the next run cleans up."""
    (pristine,) = write(folder)
    before = content([folder])
    killed = 0
    for step in range(1, 100):
        work = tmp_path / f"step-{step}"
        shutil.copytree(folder, work)
        command = [sys.executable, "-c", KILLED_AT, str(work), str(step)]
        ended = subprocess.run(command, capture_output=True, timeout=60)
        assert content([work]) == before, step
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        compact([work])
        assert content([work]) == before and leftovers(work) == [], step
        if ended.returncode == 0:
            break
        killed += 1
        step_files = [entry.name for entry in work.iterdir()]
        assert step_files == [pristine.name]
    assert killed >= 8


WALLS = st.sampled_from([(0, 0), (1000, 5), (1000, 6), (2000, 5)])
HEADERS = st.lists(
    st.builds(
        lambda wall, raw, records, noted: BlockHeader(
            records, 0, b"", wall[0], 0, 0, 0, 0, wall[1], 0, 0, 0, noted, 0, raw, 0, 0
        ),
        WALLS,
        st.sampled_from([0, 1, 300, 700, 1000, 5000]),
        st.sampled_from([0, 1, RECORDS_MAX // 2, RECORDS_MAX]),
        st.sampled_from([0, 1, NOTES_RAW_MAX // 8, NOTES_RAW_MAX]),
    ),
    max_size=12,
)


@given(HEADERS, st.sampled_from([1, 1000, 2000]))
def test_a_plan_keeps_limits_and_offsets_and_cannot_be_bettered(headers, block_bytes):
    """Groups take all blocks in order, share an offset, respect the limits, and merge where that is allowed."""
    plan = merge_plan(headers, block_bytes)
    assert sum(plan) == len(headers) and all(count > 0 for count in plan)
    groups, at = [], 0
    for count in plan:
        groups.append(headers[at : at + count])
        at += count
    for group in groups:
        assert len({(header.wall_offset_ns, header.wall_error_ns) for header in group}) == 1
        assert sum(header.payloads_raw for header in group[:-1]) < block_bytes or len(group) == 1
        assert sum(header.records for header in group) <= RECORDS_MAX
        assert len(group) == 1 or sum(header.notes_raw for header in group) <= NOTES_RAW_MAX // 4
    merged = [
        structs.replace(
            group[0],
            payloads_raw=sum(header.payloads_raw for header in group),
            records=sum(header.records for header in group),
            notes_raw=sum(header.notes_raw for header in group),
        )
        for group in groups
    ]
    assert merge_plan(merged, block_bytes) == [1] * len(merged)


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "add", "cut", "note", "wall", "segment"]), st.integers(0, 3), st.binary()),
        max_size=30,
    ),
    st.sampled_from(TimeBase),
    st.sampled_from([1, 60, 1 << 20]),
)
def test_any_capture_is_the_same_before_and_after(steps, base, block_bytes):
    """Arbitrary records, notes, offsets and segments: all of them, the timeline and the preambles stay."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with CaptureWriter(folder, replace(HEAD, time_base=base), fsync=False) as writer:
            for number, (what, small, payload) in enumerate(steps):
                if what == "add":
                    kind = list(Kind)[small % 3]
                    note = {"note": "rest", "number": number} if kind is Kind.REST else None
                    time_ns = number * 10 - 15 * small
                    writer.add(payload * 9, time_ns, kind=kind, conn=small, flags=small, rx_lag_ns=small, note=note)
                elif what == "note":
                    writer.note({"note": "free", "text": "\udc80 é", "number": number})
                elif what == "cut" and writer._writer is not None:
                    writer._writer.cut()
                elif what == "wall" and base is TimeBase.MONOTONIC:
                    writer.wall = WallOffset(1000 * small, small)
                elif what == "segment":
                    writer.begin_segment()
        before = content([folder])
        result = compact([folder], block_bytes=block_bytes)
        assert not any(skipped.damaged for skipped in result.skipped)
        assert content([folder]) == before
        assert compact([folder], block_bytes=block_bytes).files == 0
