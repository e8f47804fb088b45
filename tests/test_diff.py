"""Two captures held against each other, against what a plain list comparison says."""

from collections import Counter
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import open_recordings
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.diff import Difference, diff

records = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.integers(0, 50)), max_size=12)


def write(folder: Path, rows: list[tuple[bytes, int]], name: str = "00112233445566aa") -> Path:
    head = CaptureHead(name, "spot", TimeBase.WALL, False, 0, "0.1.0")
    at = 0
    with CaptureWriter(folder, head, block_bytes=4, fsync=False) as writer:
        for payload, step in rows:
            at += step
            writer.add(payload, at)
    return folder


def compared(a: list[tuple[bytes, int]], b: list[tuple[bytes, int]]) -> Difference:
    with TemporaryDirectory() as name:
        sides = write(Path(name) / "a", a), write(Path(name) / "b", b)
        return diff(open_recordings([sides[0]]), open_recordings([sides[1]]))


def longest_common_order(a: list[bytes], b: list[bytes]) -> int:
    """Return how many records, matched occurrence by occurrence, can stay where they are: by trying all subsets."""
    seen: Counter[bytes] = Counter()
    places = {}
    for at, payload in enumerate(b):
        places[payload, seen[payload]] = at
        seen[payload] += 1
    seen.clear()
    order = []
    for payload in a:
        if (payload, seen[payload]) in places:
            order.append(places[payload, seen[payload]])
        seen[payload] += 1
    for size in range(len(order), 0, -1):
        if any(list(chosen) == sorted(chosen) for chosen in combinations(order, size)):
            return size
    return 0


@settings(max_examples=60)
@given(records, records)
def test_counts_are_those_of_the_two_lists(a, b):
    """Missing, extra, common, reordered and the first that differs, whatever is in the two."""
    found = compared(a, b)
    ours, theirs = [payload for payload, _ in a], [payload for payload, _ in b]
    common = (Counter(ours) & Counter(theirs)).total()
    assert found.records == (len(a), len(b))
    assert (found.common, found.missing, found.extra) == (common, len(a) - common, len(b) - common)
    assert found.reordered == common - longest_common_order(ours, theirs)
    assert found.same is (ours == theirs)
    first = next((at for at, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), None)
    if first is None and len(a) == len(b):
        assert found.first == (None, None)
    if first is not None:
        assert all(place is not None for place in found.first)


def test_places_lead_to_the_records(tmp_path):
    """What is on one side alone can be printed: file, block and record."""
    rows = [(b"%d" % number, 1) for number in range(30)]
    a, b = write(tmp_path / "a", rows), write(tmp_path / "b", [row for row in rows if row[0] not in (b"7", b"23")])
    found = diff(open_recordings([a]), open_recordings([b]))
    blocks = {(chunk.path, chunk.position): chunk.block for chunk in open_recordings([a])[0].chunks()}
    assert [blocks[place.path, place.block].payload(place.record) for place in found.missing_at] == [b"7", b"23"]
    assert blocks[found.first[0].path, found.first[0].block].payload(found.first[0].record) == b"7"


def test_the_kind_is_part_of_a_record(tmp_path):
    """Equal bytes over the socket and from REST are not the same record."""
    for name, kind in (("a", Kind.WS_TEXT), ("b", Kind.WS_BINARY)):
        head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, False, 0, "0.1.0")
        with CaptureWriter(tmp_path / name, head, fsync=False) as writer:
            writer.add(b"x", 1, kind=kind)
    assert diff(open_recordings([tmp_path / "a"]), open_recordings([tmp_path / "b"])).common == 0


def test_the_race_is_told_by_receive_times(hftcap, tmp_path):
    """Who was first how often, and by how much, of the records both have."""
    a = write(tmp_path / "a", [(b"1", 100), (b"2", 100), (b"3", 100), (b"4", 100)])
    b = write(tmp_path / "b", [(b"1", 90), (b"2", 110), (b"3", 107), (b"5", 1)], "8899aabbccddeeff")
    ran = hftcap("diff", a, b, "--json")
    assert ran.code == 3
    found = ran.json
    assert found["race"] == {
        "a_first": 1,
        "b_first": 1,
        "ties": 1,
        "a_minus_b_ns": {"min": -7, "p1": -7, "p50": 0, "p99": 10, "max": 10},
    }
    assert (found["missing"], found["extra"], found["common"], found["same"]) == (1, 1, 3, False)
    assert hftcap("cat", "--raw", found["missing_at"][0]).out == b"4\n"
    text = hftcap("diff", a, b).out.decode()
    assert "missing in b 1, extra in b 1" in text


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_capture_is_the_same_as_itself(words, hftcap, tmp_path):
    """Exit code 0, no first difference; compacted or not, in other blocks and files."""
    rows = [(b"%d" % number, 5) for number in range(50)]
    a = write(tmp_path / "a", rows)
    head = CaptureHead("8899aabbccddeeff", "spot", TimeBase.WALL, False, 0, "0.1.0")
    with CaptureWriter(tmp_path / "b", head, fsync=False) as writer:
        for number, (payload, _) in enumerate(rows):
            if number == 20:
                writer.begin_segment()
            writer.add(payload, number)
    for other in (a, tmp_path / "b"):
        ran = hftcap("diff", a, other, *words)
        assert ran.code == 0
        if words:
            assert (ran.json["same"], ran.json["first"]) == (True, None)


def test_two_empty_captures_are_the_same(hftcap, tmp_path):
    """Nothing to match, nothing to race."""
    ran = hftcap("diff", write(tmp_path / "a", []), write(tmp_path / "b", []), "--json")
    assert (ran.code, ran.json["race"]["a_minus_b_ns"]) == (0, None)
