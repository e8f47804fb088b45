from pathlib import Path

import pytest

from hftcap.capture.format import TimeBase
from hftcap.capture.writer import CaptureHead, CaptureWriter

HEAD = CaptureHead("00112233445566ff", "spot", TimeBase.MONOTONIC, False, 1_723_161_600_000_000_000, "0.1.0")


@pytest.fixture
def segments(tmp_path) -> list[Path]:
    """Return the two segments of a capture of many small blocks."""
    with CaptureWriter(tmp_path / "capture", HEAD, block_bytes=500, fsync=False) as writer:
        for number in range(2000):
            if number == 1000:
                writer.begin_segment()
            writer.add(b'{"e":"trade","t":%d,"p":"%d.5"}' % (number, number * 7919 % 1009), number)
    return writer.sealed


def test_a_capture_becomes_smaller_and_stays_the_same(hftcap, segments):
    """The ratio is reported; all that cat prints is as before, and verify finds it sound."""
    folder = segments[0].parent
    before, size = hftcap("cat", folder, "--notes").out, sum(path.stat().st_size for path in segments)
    ran = hftcap("compact", folder, "--json")
    after = sum(path.stat().st_size for path in segments)
    assert ran.code == 0
    assert (ran.json["files"], ran.json["bytes_before"], ran.json["bytes_after"]) == (2, size, after)
    assert ran.json["ratio"] == round(after / size, 4) < 1
    assert "2 segments compacted" in ran.err
    assert hftcap("cat", folder, "--notes").out == before
    assert hftcap("verify", folder).code == 0


def test_one_compacted_segment_beside_another_is_sound(hftcap, segments):
    """Neither reader nor verify misses a block where fewer stand for more."""
    before = hftcap("cat", segments[0].parent).out
    assert hftcap("compact", segments[0]).code == 0
    assert hftcap("cat", segments[0].parent).out == before
    verdict = hftcap("verify", segments[0].parent, "--json")
    assert (verdict.code, verdict.json["missing_blocks"]) == (0, 0)


def test_a_second_run_says_that_there_is_nothing_to_do(hftcap, segments):
    """Exit 0, no ratio, and each segment named with the reason."""
    hftcap("compact", *segments)
    ran = hftcap("compact", *segments, "--json")
    assert (ran.code, ran.json["files"], ran.json["ratio"]) == (0, 0, None)
    assert [skipped["why"] for skipped in ran.json["skipped"]] == ["compact already"] * 2
    assert "no segment compacted" in ran.err


def test_a_damaged_segment_exits_3_and_is_left_as_it_is(hftcap, segments):
    """The others are compacted all the same."""
    segments[0].write_bytes(segments[0].read_bytes()[:-100])
    before = segments[0].read_bytes()
    ran = hftcap("compact", segments[0].parent, "--json")
    assert (ran.code, ran.json["files"]) == (3, 1)
    assert [skipped["damaged"] for skipped in ran.json["skipped"]] == [True]
    assert segments[0].read_bytes() == before


def test_the_level_is_that_of_the_option(hftcap, segments):
    """A level of its own for those who have the time; one that zstd does not have is a usage error."""
    assert hftcap("compact", segments[0], "--level", "12").code == 0
    assert hftcap("compact", segments[1], "--level", "0").code == 2


def test_a_missing_path_exits_1(hftcap, tmp_path):
    """In one sentence."""
    ran = hftcap("compact", tmp_path / "missing")
    assert (ran.code, ran.err.count("\n")) == (1, 1)


def test_help_shows_three_examples(hftcap):
    """Each is a command line of this verb."""
    assert hftcap("compact", "--help").out.decode().count("hftcap compact ") == 3 + 1
