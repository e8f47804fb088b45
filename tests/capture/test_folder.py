from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.capture.folder import find_segments, is_segment, segment_name
from hftcap.capture.format import TimeBase
from hftcap.capture.preamble import Preamble
from hftcap.errors import NoSegments, Unreadable

CAPTURE_ID = "0123456789abcdef"
START_NS = 1_723_161_600_000_000_000
INT64 = st.integers(-(2**63), 2**63 - 1)


@given(INT64, INT64)
def test_any_time_makes_a_name(time_ns, offset_ns):
    """A wrong clock never keeps a segment from being written."""
    preamble = Preamble(CAPTURE_ID, 12, 3, "spot", TimeBase.MONOTONIC, True, 0, "0")
    assert segment_name(preamble, time_ns + offset_ns).endswith("Z-01234567-000012.hcap.zst")


def test_a_name_says_when_whose_and_which():
    """Names sort by time: UTC second of the first record, capture id, segment number."""
    preamble = Preamble(CAPTURE_ID, 12, 3, "spot", TimeBase.MONOTONIC, True, 0, "0")
    assert segment_name(preamble, START_NS + 999_999_999) == "20240809T000000Z-01234567-000012.hcap.zst"
    assert is_segment(Path("20240809T000000Z-01234567-000012.hcap.zst.part"))
    assert not is_segment(Path("20240809T000000Z-01234567-000012.hcap.zst.books"))


def test_a_folder_names_its_segments(tmp_path):
    """Segments are found by name, in order, not below the folder, each once."""
    for name in ("b.hcap.zst.part", "a.hcap.zst", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c.hcap.zst").mkdir()
    expected = [tmp_path / "a.hcap.zst", tmp_path / "b.hcap.zst.part"]
    assert find_segments([tmp_path]) == expected
    assert find_segments([expected[1], tmp_path]) == expected[::-1]
    assert find_segments([tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"]


def test_a_path_without_captures_is_an_error(tmp_path):
    """An empty folder and a missing path are told apart."""
    with pytest.raises(NoSegments):
        find_segments([tmp_path])
    with pytest.raises(Unreadable):
        find_segments([tmp_path / "missing"])
