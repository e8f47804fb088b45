"""Blocks opened ahead on other threads come in the same order, with the same findings, and not too many at once."""

import random
import threading

import pytest

from hftcap.capture import ahead
from hftcap.capture.ahead import Ahead, opening
from hftcap.capture.block import decode_block
from hftcap.capture.decode import StoredBlock
from hftcap.capture.reader import open_recording
from tests.capture.test_reader import blocks_in, numbers, write

JOBS = (1, 2, 3, 8)


def read(folder, jobs, decode=decode_block):
    """Return all that reading a capture finds."""
    recording = open_recording([folder])
    recording.opening = opening(jobs, decode)
    found = numbers(recording)
    return found, recording.findings, recording.damaged_blocks, recording.missing_blocks, recording.lost_records


@pytest.mark.parametrize("jobs", JOBS)
def test_records_come_in_order(jobs, tmp_path):
    """Over several segments, whatever the number of threads."""
    write(tmp_path / "c", segments=3, blocks=7)
    assert read(tmp_path / "c", jobs)[0] == list(range(42))


@pytest.mark.parametrize("seed", range(6))
def test_damage_is_found_as_one_thread_finds_it(seed, tmp_path):
    """Flipped bytes, cut segments: the same records, findings in the same order, the same counts."""
    rng = random.Random(seed)
    for path in write(tmp_path / "c", segments=3, blocks=9):
        data = bytearray(path.read_bytes())
        for begin, end in rng.sample(blocks_in(path), 2):
            data[rng.randrange(begin, end)] ^= 1 << rng.randrange(8)
        path.write_bytes(data[: rng.randrange(len(data) // 2, len(data) + 200)])
    alone = read(tmp_path / "c", 1)
    assert alone[1]
    for jobs in JOBS[1:]:
        assert read(tmp_path / "c", jobs) == alone


def test_other_threads_do_open_blocks(tmp_path):
    """With several jobs; with one job the caller's does all."""
    write(tmp_path / "c", blocks=40)
    seen = set()

    def noted(*block):
        seen.add(threading.current_thread())
        return decode_block(*block)

    read(tmp_path / "c", 1, noted)
    assert seen == {threading.current_thread()}
    read(tmp_path / "c", 3, noted)
    assert len(seen) > 1


def test_no_more_is_opened_ahead_than_agreed(tmp_path, monkeypatch):
    """However far the reader could go: blocks wait to be asked for once so many bytes are open."""
    write(tmp_path / "c", blocks=60)
    recording = open_recording([tmp_path / "c"])
    (segment,) = recording.segments
    raw = next(part.header.payloads_raw for part in segment.parts() if isinstance(part, StoredBlock))
    monkeypatch.setattr(ahead, "_AHEAD_BYTES", 5 * raw)
    handed = []

    def counted():
        for part in segment.parts():
            handed.append(part)
            yield part

    opened = Ahead(2)(counted(), segment.preamble.time_base)
    for taken in range(1, 40):
        next(opened)
        assert len(handed) <= taken + 6


def test_what_goes_wrong_on_a_thread_is_told_to_the_reader(tmp_path):
    """An error while a block is opened is raised where its records were wanted."""
    write(tmp_path / "c", blocks=20)

    def fails(header, *rest):
        if header.sequence == 7:
            raise MemoryError
        return decode_block(header, *rest)

    recording = open_recording([tmp_path / "c"])
    recording.opening = opening(3, fails)
    chunks = recording.chunks()
    assert [next(chunks).block.header.sequence for _ in range(7)] == list(range(7))
    with pytest.raises(MemoryError):
        next(chunks)
