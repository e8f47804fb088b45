"""Whatever happens to the files of a capture, `verify` says so, and says what it cost as exactly as can be known."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from hftcap.capture.decode import Decoder, StoredBlock
from hftcap.capture.footer import Footer, IndexEntry
from hftcap.capture.format import BLOCK_HEADER_BYTES, FRAME, BlockHeader, TimeBase
from hftcap.capture.reader import Finding, open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.errors import CaptureError, NewerFormat, NoSegments, NotACapture, Unreadable
from hftcap.verify import Verdict, verify

HEAD = CaptureHead("00112233445566ff", "spot", TimeBase.MONOTONIC, False, 1_723_161_600_000_000_000, "0.1.0")
FOREIGN = replace(HEAD, capture_id="ffeeddccbbaa9988")
RECORDS = (3, 4, 2, 5)
"""Records of the four blocks of a segment."""
TOTAL = sum(RECORDS)


def write(folder: Path, head: CaptureHead = HEAD, segments: int = 1) -> list[Path]:
    """Write a capture of four blocks a segment; return its files in order."""
    with CaptureWriter(folder, head, fsync=False, block_bytes=1_000) as writer:
        for segment in range(segments):
            writer.begin_segment()
            for block, records in enumerate(RECORDS):
                for record in range(records):
                    size = 1_000 if record == records - 1 else 1
                    payload = f"{segment}.{block}.{record}".encode().ljust(size, b"abcdefgh"[block : block + 1])
                    note = {"note": "x"} if record == 0 and block % 2 else None
                    writer.add(payload, segment * 1_000 + block * 100 + record, note=note)
    return writer.sealed


def blocks_in(path: Path) -> list[StoredBlock]:
    """Return the blocks of a sound segment."""
    blocks = [part for part in Decoder().feed(path.read_bytes()) if isinstance(part, StoredBlock)]
    assert [block.header.records for block in blocks] == list(RECORDS)
    return blocks


def span(block: StoredBlock) -> slice:
    return slice(block.offset, block.offset + block.header.block_bytes)


def edit(path: Path, change: Callable[[bytearray], None]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def flip(path: Path, offset: int) -> None:
    def change(content: bytearray) -> None:
        content[offset] ^= 0x10

    edit(path, change)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "capture"


@pytest.fixture
def segment(folder) -> Path:
    """Return the only file of a sound capture."""
    return write(folder)[0]


def what(verdict: Verdict) -> str:
    return "\n".join(finding.what for finding in verdict.findings)


def check(verdict: Verdict, *, records: int, lost: int | None, damaged: int = 0, missing: int = 0) -> None:
    """Hold a verdict on something that is not sound against what is left of it."""
    assert not verdict.ok
    assert verdict.findings
    counts = (verdict.records, verdict.lost_records, verdict.damaged_blocks, verdict.missing_blocks)
    assert counts == (records, lost, damaged, missing), verdict.findings


@pytest.mark.parametrize("segments", [1, 3])
def test_a_sound_capture_is_sound(folder, segments):
    """Nothing found, nothing lost, everything counted."""
    paths = write(folder, segments=segments)
    for named in ([folder], paths, paths[::-1]):
        verdict = verify(named)
        assert verdict.ok
        assert verdict == Verdict(files=segments, blocks=4 * segments, records=TOTAL * segments)


def test_two_sound_captures_are_sound(folder, tmp_path):
    """Recordings are told apart by their ids, wherever they lie."""
    write(folder)
    write(tmp_path / "other", FOREIGN)
    assert verify([folder, tmp_path / "other"]) == Verdict(files=2, blocks=8, records=2 * TOTAL)


def test_an_empty_capture_is_sound(folder):
    """A recording of nothing has one segment without blocks."""
    with CaptureWriter(folder, HEAD, fsync=False):
        pass
    assert verify([folder]) == Verdict(files=1)


def test_progress_is_told_in_bytes_read(folder):
    """No more is reported than the files have."""
    (path,) = write(folder)
    told: list[int] = []
    verify([folder], progress=told.append)
    assert 0 < sum(told) <= path.stat().st_size


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("part", ["payload", "columns"])
def test_a_flipped_bit_in_a_block_costs_that_block(number, part, folder, segment):
    """Its header still says how many records it held; the finding names file, byte and block."""
    block = blocks_in(segment)[number]
    end = block.offset + block.header.block_bytes
    flip(segment, end - 3 if part == "payload" else block.offset + 8 + 128 + 14)
    verdict = verify([folder])
    lost = RECORDS[number]
    check(verdict, records=TOTAL - lost, lost=lost, damaged=1)
    (finding,) = verdict.findings
    assert (finding.path, finding.offset) == (segment, block.offset)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("at", [0, 5, 8 + 12, 8 + 16, 8 + 24, 8 + 100, 8 + 124])
def test_a_flipped_bit_in_a_header_costs_that_block(number, at, folder, segment):
    """Nothing of the header is believed; the footer's index says what the block had held."""
    flip(segment, blocks_in(segment)[number].offset + at)
    lost = RECORDS[number]
    verdict = verify([folder])
    assert verdict.damaged_blocks + verdict.missing_blocks == 1
    check(verdict, records=TOTAL - lost, lost=lost, damaged=verdict.damaged_blocks, missing=1 - verdict.damaged_blocks)


@pytest.mark.parametrize("at", [0, 5, 8, 11, 16, 18, 25, 60, 200])
def test_a_flipped_bit_in_the_preamble_is_found(at, folder, segment):
    """Not sound, and if the segment can be read at all, no record is called lost that is there."""
    flip(segment, at)
    try:
        verdict = verify([folder])
    except CaptureError as error:
        assert str(segment) in str(error)
    else:
        check(verdict, records=TOTAL, lost=0)


@pytest.mark.parametrize("back", [1, 5, 40, 100])
def test_a_flipped_bit_in_the_footer_is_found(back, folder, segment):
    """All blocks are there, but without a footer nobody knows whether more had been."""
    flip(segment, segment.stat().st_size - back)
    check(verify([folder]), records=TOTAL, lost=None)


@pytest.mark.parametrize("back", [9, 10, 14, 16])
def test_a_footer_that_stands_elsewhere_than_it_says_still_tells(back, folder, segment):
    """Its index has its checksum, whatever place it names: that nothing is lost is known."""
    flip(segment, segment.stat().st_size - back)
    verdict = verify([folder])
    check(verdict, records=TOTAL, lost=0)
    assert "written for byte" in verdict.findings[0].what


def test_no_flipped_byte_goes_unnoticed(folder, segment):
    """Every byte of a segment in turn: found, or without any effect on what was received (a spare bit of zstd)."""
    whole = segment.read_bytes()
    sound = [payload for chunk in open_recording([folder]).chunks() for payload in chunk.block.payload_list()]
    stored = [span(block) for block in blocks_in(segment)]
    for offset in range(len(whole)):
        flip(segment, offset)
        try:
            verdict = verify([folder])
        except CaptureError:
            verdict = None
        if verdict is not None and verdict.ok:
            assert any(block.start <= offset < block.stop for block in stored), f"byte {offset}"
            chunks = open_recording([folder]).chunks()
            assert [payload for chunk in chunks for payload in chunk.block.payload_list()] == sound, f"byte {offset}"
        segment.write_bytes(whole)


def test_no_cut_goes_unnoticed(folder, segment):
    """However short a sealed segment was cut, it is not sound; what is whole is still counted."""
    whole = segment.read_bytes()
    ends = [span(block).stop for block in blocks_in(segment)]
    for size in range(0, len(whole), 7):
        segment.write_bytes(whole[:size])
        try:
            verdict = verify([folder])
        except CaptureError:
            assert size < ends[0]
            continue
        check(verdict, records=sum(n for n, end in zip(RECORDS, ends, strict=True) if end <= size), lost=None)


def test_a_cut_footer_is_a_cut_segment(folder, segment):
    """Every block is there; that there was no more cannot be known."""
    edit(segment, lambda content: content.__delitem__(slice(span(blocks_in(segment)[-1]).stop, None)))
    check(verify([folder]), records=TOTAL, lost=None)


@pytest.mark.parametrize("number", range(4))
def test_an_overwritten_block_is_missing_and_the_index_says_what_it_held(number, folder, segment):
    """Zeros where a block was, such as a hole of the file system: the rest stays in its place, the loss is exact."""
    place = span(blocks_in(segment)[number])
    edit(segment, lambda content: content.__setitem__(place, bytes(place.stop - place.start)))
    check(verify([folder]), records=TOTAL - RECORDS[number], lost=RECORDS[number], missing=1)


@pytest.mark.parametrize("number", range(3))
def test_a_dropped_block_is_missing(number, folder, segment):
    """The sequence shows it, and the footer, which moved with what follows, says what it held."""
    edit(segment, lambda content: content.__delitem__(span(blocks_in(segment)[number])))
    check(verify([folder]), records=TOTAL - RECORDS[number], lost=RECORDS[number], missing=1)


def test_a_dropped_last_block_is_found(folder, segment):
    """No later block shows that one is missing; the footer that moved does."""
    edit(segment, lambda content: content.__delitem__(span(blocks_in(segment)[3])))
    check(verify([folder]), records=TOTAL - RECORDS[3], lost=RECORDS[3], missing=1)


@pytest.mark.parametrize("number", range(4))
def test_a_doubled_block_is_counted_once(number, folder, segment):
    """The second copy is passed over, and named."""
    place = span(blocks_in(segment)[number])
    edit(segment, lambda content: content.__setitem__(slice(place.stop, place.stop), bytes(content[place])))
    verdict = verify([folder])
    check(verdict, records=TOTAL, lost=0)
    assert any(finding.offset == place.stop for finding in verdict.findings)


def test_swapped_blocks_are_out_of_order(folder, segment):
    """Of two blocks that changed places the later one is read and the other passed over; none is counted twice."""
    first, second = (span(block) for block in blocks_in(segment)[1:3])

    def change(content: bytearray) -> None:
        content[first.start : second.stop] = bytes(content[second]) + bytes(content[first])

    edit(segment, change)
    verdict = verify([folder])
    check(verdict, records=TOTAL - RECORDS[1], lost=RECORDS[1], missing=1)
    assert {finding.offset for finding in verdict.findings} >= {first.start}


@pytest.mark.parametrize("number", range(4))
def test_a_block_of_another_capture_is_foreign(number, folder, segment, tmp_path):
    """A block in the right place with the right number, but another capture's: not counted, and said to be foreign."""
    (other,) = write(tmp_path / "other", FOREIGN)
    own, theirs = span(blocks_in(segment)[number]), span(blocks_in(other)[number])
    assert own == theirs
    edit(segment, lambda content: content.__setitem__(own, other.read_bytes()[theirs]))
    verdict = verify([folder])
    check(verdict, records=TOTAL - RECORDS[number], lost=RECORDS[number], missing=1)
    assert any(FOREIGN.capture_id in finding.what for finding in verdict.findings)


def test_joined_segments_are_found(folder):
    """Two files made into one: what stands behind the first footer is no part of that segment."""
    first, second = write(folder, segments=2)
    first.write_bytes(first.read_bytes() + second.read_bytes())
    second.unlink()
    assert not verify([folder]).ok


def test_a_missing_segment_in_the_middle_is_found(folder):
    """Numbers and sequences show how many blocks are gone; what they held nobody knows."""
    paths = write(folder, segments=3)
    paths[1].unlink()
    check(verify([folder]), records=2 * TOTAL, lost=None, missing=4)


def test_a_missing_first_segment_is_found(folder):
    """A recording that does not begin with segment 0 is not whole."""
    paths = write(folder, segments=2)
    paths[0].unlink()
    check(verify([folder]), records=TOTAL, lost=None, missing=4)


def test_one_segment_named_alone_is_judged_alone(folder):
    """A file, unlike a folder, is what the user asked about: those beside it were not named."""
    paths = write(folder, segments=3)
    assert verify([paths[1]]) == Verdict(files=1, blocks=4, records=TOTAL)


def test_a_segment_that_is_there_twice_is_counted_once(folder):
    """A copy under another name is named as a double; nothing is lost by it."""
    paths = write(folder, segments=2)
    paths[0].with_name("copy.hcap.zst").write_bytes(paths[0].read_bytes())
    verdict = verify([folder])
    check(verdict, records=2 * TOTAL, lost=0)
    assert verdict.files == 3


def test_a_segment_in_the_place_of_another_is_found(folder, tmp_path):
    """Segment 1 of another capture does not continue this one."""
    paths = write(folder, segments=3)
    others = write(tmp_path / "other", FOREIGN, segments=3)
    paths[1].write_bytes(others[1].read_bytes())
    verdict = verify([folder])
    assert not verdict.ok
    assert verdict.lost_records is None


def test_a_segment_that_was_never_sealed_lost_nothing_by_it(folder):
    """A writer that stopped leaves a `.part`: complete up to its last whole block, and reported as not sealed."""
    with pytest.raises(KeyboardInterrupt), CaptureWriter(folder, HEAD, fsync=False) as writer:
        writer.add(b"x", 1)
        raise KeyboardInterrupt
    check(verify([folder]), records=1, lost=0)


def forge(path: Path, number: int, change: Callable[[BlockHeader], BlockHeader]) -> None:
    """Rewrite the header of a block, its checksum included, and the index entry with it, as a wrong writer would."""
    block = blocks_in(path)[number]
    header = change(block.header)
    begin = block.offset + FRAME.size
    edit(path, lambda content: content.__setitem__(slice(begin, begin + BLOCK_HEADER_BYTES), header.pack()))
    footer = footer_of(path)
    entries = [*footer.entries]
    entries[number] = IndexEntry.of(block.offset, header)
    put_footer(path, replace(footer, entries=tuple(entries)))


def footer_of(path: Path) -> Footer:
    (footer,) = (part for part in Decoder().feed(path.read_bytes()) if isinstance(part, Footer))
    return footer


def put_footer(path: Path, footer: Footer) -> None:
    """Put another footer, itself whole, in the place of a segment's own."""
    end = span(blocks_in(path)[-1]).stop
    edit(path, lambda content: content.__setitem__(slice(end, None), footer.pack(end)))


@pytest.mark.parametrize("name", ["min_mono_ns", "max_mono_ns", "min_recv_ns", "max_recv_ns"])
def test_a_header_that_lies_about_its_times_is_found(name, folder, segment):
    """Seeking believes headers and index: they must say what the columns say. The records are sound."""
    block = blocks_in(segment)[2]
    forge(segment, 2, lambda header: structs.replace(header, **{name: getattr(header, name) + 1}))
    verdict = verify([folder])
    assert (verdict.records, verdict.lost_records) == (TOTAL, 0)
    assert verdict.findings[0].offset == block.offset
    assert verdict.findings[0].what.startswith(f"block 2: header says {name[4:8]} times")


@pytest.mark.parametrize("name", ["offset", "min_recv_ns", "max_mono_ns", "records", "raw_bytes"])
def test_an_index_that_lies_about_a_block_is_found(name, folder, segment):
    """Each entry is held against the block in its place."""
    footer = footer_of(segment)
    wrong = structs.replace(footer.entries[1], **{name: getattr(footer.entries[1], name) + 1})
    put_footer(segment, replace(footer, entries=(footer.entries[0], wrong, *footer.entries[2:])))
    verdict = verify([folder])
    assert (verdict.records, verdict.lost_records) == (TOTAL, 0)
    assert "a block is not what the footer's index says of it, the first is 1" in what(verdict)


def test_an_index_without_a_block_is_found(folder, segment):
    """A block that the index leaves out would never be sought."""
    footer = footer_of(segment)
    put_footer(segment, replace(footer, entries=(footer.entries[0], *footer.entries[2:])))
    verdict = verify([folder])
    assert (verdict.records, verdict.lost_records, verdict.missing_blocks) == (TOTAL, 0, 0)
    assert "a block is not in the footer's index, the first is 1" in what(verdict)
    assert "lists block 2 where 1 is due" in what(verdict)


def test_an_index_of_more_blocks_than_there_are_tells_what_is_missing(folder, segment):
    """The footer is believed: it has its checksum."""
    footer = footer_of(segment)
    more = structs.replace(footer.entries[3], sequence=4, records=7)
    put_footer(segment, replace(footer, entries=(*footer.entries, more)))
    verdict = verify([folder])
    assert (verdict.records, verdict.lost_records, verdict.missing_blocks) == (TOTAL, 7, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("records", TOTAL + 1),
        ("payload_bytes", 0),
        ("by_kind", {"ws_text": TOTAL - 1, "rest": 1}),
        ("losses", 3),
        ("first_recv_ns", None),
        ("last_recv_ns", 5),
    ],
)
def test_totals_that_lie_are_found(name, value, folder, segment):
    """Each total of the footer is what its blocks add up to."""
    footer = footer_of(segment)
    put_footer(segment, replace(footer, totals=footer.totals | {name: value}))
    verdict = verify([folder])
    assert (verdict.records, verdict.lost_records) == (TOTAL, 0)
    (finding,) = verdict.findings
    assert finding.what.startswith(f"the footer says {name} {value}, its blocks have ")


def test_kinds_that_did_not_occur_may_be_left_out(folder, segment):
    """Another writer may not list them."""
    footer = footer_of(segment)
    put_footer(segment, replace(footer, totals=footer.totals | {"by_kind": {"ws_text": TOTAL}}))
    assert verify([folder]).ok


def test_losses_that_were_noted_are_no_damage(folder):
    """What the recorder lost is counted by stats; here its sum must agree with the notes."""
    with CaptureWriter(folder, HEAD, fsync=False) as writer:
        writer.add(b"x", 1)
        writer.note({"note": "loss", "count": 5})
    assert verify([folder]) == Verdict(files=1, blocks=1, records=1)


def test_a_second_preamble_that_differs_from_the_first_is_found(folder, segment):
    """The footer's copy stands in for a damaged preamble, so it must say the same."""
    footer = footer_of(segment)
    put_footer(segment, replace(footer, preamble=replace(footer.preamble, market="usdm")))
    assert what(verify([folder])) == "the footer's copy of the preamble is not the preamble"
    put_footer(segment, replace(footer, preamble=None))
    assert verify([folder]).ok


def test_the_footer_of_another_capture_is_not_believed(folder, segment):
    """Whole and in its place, but it says whose it is: what is lost is then unknown."""
    footer = footer_of(segment)
    put_footer(segment, replace(footer, preamble=replace(footer.preamble, capture_id=FOREIGN.capture_id)))
    verdict = verify([folder])
    check(verdict, records=TOTAL, lost=None)
    assert f"footer of another capture, {FOREIGN.capture_id}" in what(verdict)


def test_the_first_block_of_a_recording_that_is_missing_is_found(folder, segment):
    """A first segment that does not begin with block 0 is not the beginning, by whatever name it is given."""
    footer = footer_of(segment)
    blocks = blocks_in(segment)
    preamble = replace(footer.preamble, previous_sequence=2)
    rest = b"".join(segment.read_bytes()[span(block)] for block in blocks[3:])
    begin = preamble.pack()
    entry = structs.replace(footer.entries[3], offset=len(begin))
    end = len(begin) + len(rest)
    segment.write_bytes(begin + rest + replace(footer, entries=(entry,), preamble=preamble).pack(end))
    for named in (folder, segment):
        verdict = verify([named])
        assert "blocks 0 to 2 are missing before this segment" in what(verdict)
        assert (verdict.missing_blocks, verdict.lost_records) == (3, None)


def test_an_unsealed_segment_is_a_finding_unless_it_is_being_written(folder):
    """As long as a writer holds the folder its segment need not be whole; after that its writer stopped."""
    with pytest.raises(KeyboardInterrupt), CaptureWriter(folder, HEAD, fsync=False, block_bytes=1) as writer:
        writer.add(b"x", 1)
        (path,) = folder.iterdir()
        whole = path.read_bytes()
        assert verify([folder]) == verify([path]) == Verdict(files=1, blocks=1, records=1)
        path.write_bytes(whole + whole[-50:])  # the next block, half written
        assert verify([folder]) == Verdict(files=1, blocks=1, records=1)
        raise KeyboardInterrupt
    verdict = verify([folder])
    assert [finding.offset for finding in verdict.findings] == [len(whole), len(whole) + 50]
    assert what(verdict).endswith("not sealed: its writer stopped")
    path.write_bytes(whole)
    check(verify([folder]), records=1, lost=0)


@pytest.mark.parametrize("size", [0, 20, 200, 350])
def test_a_file_without_a_beginning_does_not_hide_the_others(size, folder):
    """A segment cut in its preamble, or before: listed, what it held is unknown, and the others are judged."""
    paths = write(folder, segments=3)
    paths[1].write_bytes(bytes(8) + paths[1].read_bytes()[8:size])
    verdict = verify([folder])
    check(verdict, records=2 * TOTAL, lost=None, missing=4)
    assert Finding(paths[1], 0, "this segment has no whole preamble: passed over") in verdict.findings
    assert verdict.files == 3


def test_a_segment_torn_when_it_was_begun_held_nothing(folder):
    """A crash between creating a `.part` and its first write costs no record."""
    paths = write(folder, segments=2)
    (folder / "20990101T000000Z-00112233-000002.hcap.zst.part").touch()
    check(verify([folder]), records=2 * TOTAL, lost=0)
    assert verify(paths).ok


def test_findings_come_by_file_and_byte(folder):
    """Whoever reads them goes through the files from front to back."""
    paths = write(folder, segments=3)
    for path in paths:
        flip(path, span(blocks_in(path)[3]).stop - 3)
    flip(paths[1], 60)
    places = [(finding.path, finding.offset) for finding in verify(paths[::-1]).findings]
    assert places == sorted(places)
    assert len(places) == 4


def test_a_whole_header_tells_what_a_torn_block_held(folder, segment):
    """Bytes taken out of a block of an unsealed segment: no index, but the header is whole."""
    end = span(blocks_in(segment)[-1]).stop
    path = segment.rename(segment.with_name(segment.name + ".part"))
    place = span(blocks_in(path)[1])
    edit(path, lambda content: content.__delitem__(slice(end, None)))
    edit(path, lambda content: content.__delitem__(slice(place.stop - 20, place.stop - 10)))
    check(verify([folder]), records=TOTAL - RECORDS[1], lost=RECORDS[1], missing=1)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"time,price\n1,2\n", NotACapture), (b"", NotACapture), (b"\x28\xb5\x2f\xfd\x00\x00", NotACapture)],
    ids=["text", "empty", "zstd"],
)
def test_what_is_no_capture_is_refused_as_such(tmp_path, content, error):
    """Not damaged: something else."""
    path = tmp_path / "file.hcap.zst"
    path.write_bytes(content)
    for named in (path, tmp_path):
        with pytest.raises(error, match="file"):
            verify([named])


def test_what_is_not_there_is_refused_as_such(tmp_path):
    """A missing path and a folder without captures are named."""
    with pytest.raises(Unreadable, match="nowhere"):
        verify([tmp_path / "nowhere"])
    with pytest.raises(NoSegments):
        verify([tmp_path])


def test_a_newer_format_is_refused_by_name(folder, segment):
    """An intact preamble of a later version is not damage."""

    def change(content: bytearray) -> None:
        end = 8 + 16 + int.from_bytes(content[8 + 12 : 8 + 16], "little")
        content[16:18] = (7).to_bytes(2, "little")
        content[end : end + 4] = zlib.crc32(content[8:end]).to_bytes(4, "little")

    edit(segment, change)
    with pytest.raises(NewerFormat, match="7"):
        verify([folder])
