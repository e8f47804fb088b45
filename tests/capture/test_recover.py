import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.capture.columns import BlockColumns
from hftcap.capture.decode import Decoder, StoredBlock
from hftcap.capture.folder import FolderLock
from hftcap.capture.footer import Footer
from hftcap.capture.format import FRAME, NONE_NS, Kind, TimeBase
from hftcap.capture.reader import Chunk, Recording, Segment, open_recording
from hftcap.capture.recover import UNKNOWN, Salvage, recover
from hftcap.capture.segment_writer import SegmentWriter, WallOffset
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.errors import AlreadyExists, CaptureError, DamagedPart, NotACapture, SeveralRecordings
from hftcap.verify import verify

HEAD = CaptureHead(
    "00112233445566ff",
    "usdm",
    TimeBase.MONOTONIC,
    True,
    1_723_161_600_000_000_000,
    "0.0.7",
    urls=["wss://example.test/stream"],
    streams=["btcusdt@trade"],
    symbols=["BTCUSDT"],
    host="recorder",
    boot_id="boot one",
)
FOREIGN = replace(HEAD, capture_id="ffeeddccbbaa9988")
KINDS = [kind.name.lower() for kind in Kind]


def write(folder: Path, head: CaptureHead = HEAD, *, segments: int = 1, blocks: int = 4) -> list[Path]:
    """Write `blocks` blocks a segment, three records each: text, text with a note, REST; return the segments."""
    with CaptureWriter(folder, head, fsync=False) as writer:
        writer.wall = WallOffset(1000, 5)
        for number in range(segments * blocks):
            if number % blocks == 0:
                writer.begin_segment({"tool": "other"})
            writer.wall = WallOffset(1000 + number, 5)
            writer.add(b"%d a" % number, number * 100, conn=3, flags=1, rx_lag_ns=7)
            writer.add(b"%d b" % number, number * 100 + 10, conn=4, note={"note": "odd", "block": number})
            writer.add(b"%d c" % number, number * 100 + 20, kind=Kind.REST, note={"note": "rest", "status": 200})
            writer.note({"note": "clock", "block": number})
    return writer.sealed


def spans(path: Path) -> list[tuple[int, int]]:
    """Return where each block of a sound segment begins and ends."""
    parts = Decoder().feed(path.read_bytes())
    return [(part.offset, part.offset + part.header.block_bytes) for part in parts if isinstance(part, StoredBlock)]


def footer_at(path: Path) -> int:
    """Return where the footer of a sound segment begins."""
    return path.stat().st_size - len(footer_of(path).pack(0))


def footer_of(path: Path) -> Footer:
    (footer,) = (part for part in Decoder().feed(path.read_bytes()) if isinstance(part, Footer))
    return footer


def is_loss(chunk: Chunk) -> bool:
    """Say whether a block is one that `recover` puts where something is lost."""
    return any(str(note.get("cause", "")).startswith("recovered: ") for note in chunk.block.notes)


def content(chunk: Chunk) -> tuple[object, ...]:
    """Return all that a block says, its number apart."""
    block = chunk.block
    columns = block.columns
    lists = (columns.time_ns, columns.rx_lag_ns, columns.kind, columns.conn, columns.flags, block.recv_ns)
    wall = (block.header.wall_offset_ns, block.header.wall_error_ns)
    return (
        tuple(block.payload_list()),
        wall,
        json.dumps(block.notes),
        *(tuple(column.tolist()) for column in lists),
    )


def read(path: Path) -> list[Chunk]:
    """Return the blocks of a sound capture."""
    recording = open_recording([path])
    chunks = list(recording.chunks())
    assert recording.findings == []
    return chunks


def losses(chunks: list[Chunk]) -> list[dict[str, object]]:
    return [note for chunk in chunks if is_loss(chunk) for note in chunk.block.notes]


def merged_copy(path: Path, copy: Path) -> None:
    """Write a copy of a segment in which one block stands for all blocks of it."""
    blocks = [chunk.block for chunk in read(path)]
    writer = SegmentWriter(copy, Segment(path).preamble, sequence=0)
    names = BlockColumns.__dataclass_fields__
    columns = BlockColumns(*(np.concatenate([getattr(block.columns, name) for block in blocks]) for name in names))
    writer.add_block(columns, b"".join(block.payloads for block in blocks), [], span=len(blocks))
    writer.seal(fsync=False)


def kept_of(folder: Path) -> list[tuple[object, ...]]:
    return [content(chunk) for chunk in read(folder) if not is_loss(chunk)]


def replace_bytes(path: Path, change: Callable[[bytearray], object]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def flip(path: Path, at: int) -> None:
    replace_bytes(path, lambda data: data.__setitem__(at, data[at] ^ 1))


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_an_intact_capture_is_copied_with_nothing_lost(source, out):
    """Records, notes, timeline, preambles and segments are those of the source, and the copy is sound."""
    paths = write(source, segments=3)
    salvage = recover([source], out)
    assert salvage.complete and salvage.findings == []
    assert salvage.kept == {"ws_text": 24, "ws_binary": 0, "rest": 12}
    assert (salvage.lost_records, salvage.lost_blocks, set(salvage.lost.values())) == (0, 0, {0})
    assert verify([out]).ok
    before, after = read(source), read(out)
    assert [content(chunk) for chunk in before] == [content(chunk) for chunk in after]
    assert [chunk.timeline_ns.tolist() for chunk in before] == [chunk.timeline_ns.tolist() for chunk in after]
    assert [Segment(path).preamble for path in paths] == [Segment(path).preamble for path in salvage.segments]
    assert [path.name for path in paths] == [path.name for path in salvage.segments]
    assert [footer_of(path).totals for path in paths] == [footer_of(path).totals for path in salvage.segments]


def test_the_source_is_not_touched(source, out):
    """Recovering reads; not one byte of the damaged capture changes."""
    (path,) = write(source)
    flip(path, spans(path)[1][1] - 9)
    before = path.read_bytes()
    recover([source], out)
    assert path.read_bytes() == before
    assert list(source.iterdir()) == [path]


def test_a_damaged_block_is_noted_in_its_place_with_its_count(source, out):
    """Between the blocks around it stands a note with the number of its records, which the header still told."""
    (path,) = write(source)
    pristine = kept_of(source)
    flip(path, spans(path)[1][1] - 9)
    salvage = recover([source], out)
    assert (salvage.lost_records, salvage.lost_blocks) == (3, 1)
    assert salvage.lost == {"ws_text": 2, "ws_binary": 0, "rest": 1, UNKNOWN: 0}
    chunks = read(out)
    assert [is_loss(chunk) for chunk in chunks] == [False, True, False, False]
    assert losses(chunks) == [{"note": "loss", "count": 3, "cause": "recovered: block 1 is missing or damaged"}]
    assert kept_of(out) == [pristine[0], *pristine[2:]]
    assert footer_of(salvage.segments[0]).totals["losses"] == 3


def test_a_damaged_header_costs_what_the_index_says(source, out):
    """Where the header of a block is gone, the footer still has its count."""
    (path,) = write(source)
    flip(path, spans(path)[3][0] + 30)
    salvage = recover([source], out)
    assert (salvage.lost_records, salvage.lost["ws_text"], salvage.lost["rest"]) == (3, 2, 1)


def test_without_footer_a_damaged_header_leaves_the_count_unknown(source, out):
    """Nothing tells how many records a block had: at least one is noted, and the sum is unknown."""
    (path,) = write(source)
    part = path.rename(path.with_name(path.name + ".part"))
    begin, _ = spans(part)[2]
    replace_bytes(part, lambda data: data.__delitem__(slice(-len(footer_of(part).pack(0)), None)))
    flip(part, begin + 30)
    salvage = recover([source], out)
    assert (salvage.lost_records, salvage.lost_blocks, salvage.lost[UNKNOWN]) == (None, 1, 0)
    (note,) = losses(read(out))
    assert (note["count"], note["at_least"]) == (1, True)


def test_what_was_written_but_not_sealed_is_sealed_with_nothing_lost(source, out):
    """A crashed recording is whole up to its last block: that is no loss."""
    (path,) = write(source)
    pristine = kept_of(source)
    part = path.rename(path.with_name(path.name + ".part"))
    replace_bytes(part, lambda data: data.__delitem__(slice(footer_at(part), None)))
    salvage = recover([part], out)
    assert salvage.complete and salvage.findings == []
    assert kept_of(out) == pristine
    assert verify([out]).ok


@pytest.mark.parametrize(("bytes_of_block", "lost"), [(200, 3), (136, 3), (135, None), (1, None)])
def test_a_torn_tail_costs_its_block(source, out, bytes_of_block, lost):
    """What a crash tore is counted where its header is whole, and unknown otherwise."""
    (path,) = write(source)
    part = path.rename(path.with_name(path.name + ".part"))
    begin, _ = spans(part)[3]
    replace_bytes(part, lambda data: data.__delitem__(slice(begin + bytes_of_block, None)))
    salvage = recover([source], out)
    assert salvage.lost_records == lost and not salvage.complete
    assert salvage.kept["ws_text"] == 6


def test_a_cut_sealed_segment_may_have_held_more(source, out):
    """Cut between two blocks nothing says that anything is missing, or how much: the note says at least none."""
    (path,) = write(source)
    replace_bytes(path, lambda data: data.__delitem__(slice(spans(path)[1][1], None)))
    salvage = recover([source], out)
    assert salvage.lost_records is None
    (note,) = losses(read(out))
    assert (note["count"], note["at_least"]) == (0, True)


def test_the_next_segment_tells_what_a_cut_one_lost(source, out):
    """Blocks missing between two segments are known by number; records only where an index lists them."""
    first, _ = write(source, segments=2)
    replace_bytes(first, lambda data: data.__delitem__(slice(spans(first)[1][1], None)))
    salvage = recover([source], out)
    assert (salvage.lost_blocks, salvage.lost_records) == (2, None)
    assert [is_loss(chunk) for chunk in read(out)] == [False, False, True, False, False, False, False]


def test_a_lost_footer_alone_costs_nothing_where_a_segment_follows(source, out):
    """The numbers go on without a gap, so nothing but the index is gone."""
    first, _ = write(source, segments=2)
    pristine = kept_of(source)
    replace_bytes(first, lambda data: data.__delitem__(slice(-40, None)))
    salvage = recover([source], out)
    assert salvage.complete and salvage.findings != []
    assert kept_of(out) == pristine


def test_a_missing_segment_is_noted_where_it_was(source, out):
    """The note stands between the segments around it; the copy's segments are numbered without a gap."""
    paths = write(source, segments=3)
    paths[1].unlink()
    salvage = recover([source], out)
    assert (salvage.lost_blocks, salvage.lost_records) == (4, None)
    assert [is_loss(chunk) for chunk in read(out)] == [*[False] * 4, True, *[False] * 4]
    assert [Segment(path).preamble.segment for path in salvage.segments] == [0, 1]
    assert verify([out]).ok


def test_a_segment_of_which_every_block_is_lost_keeps_its_place(source, out):
    """Its preamble is kept, with the note in it."""
    paths = write(source, segments=3, blocks=1)
    flip(paths[1], spans(paths[1])[0][1] - 9)
    salvage = recover([source], out)
    assert (len(salvage.segments), salvage.lost_records) == (3, 3)
    assert [is_loss(chunk) for chunk in read(out)] == [False, True, False]


def test_a_doubled_block_is_kept_once(source, out):
    """Its records are not counted twice, and nothing is lost: the index, out of its place, tells that."""
    (path,) = write(source)
    pristine = kept_of(source)
    begin, end = spans(path)[1]
    replace_bytes(path, lambda data: data.__setitem__(slice(end, end), data[begin:end]))
    salvage = recover([source], out)
    assert salvage.complete
    assert "doubled or out of order" in str(salvage.findings)
    assert kept_of(out) == pristine


def test_of_two_copies_of_a_block_the_whole_one_is_kept(source, out):
    """It does not matter which of them is damaged."""
    (path,) = write(source)
    pristine = kept_of(source)
    begin, end = spans(path)[1]
    replace_bytes(path, lambda data: data.__setitem__(slice(end, end), data[begin:end]))
    flip(path, end - 9)
    salvage = recover([source], out)
    assert salvage.complete
    assert kept_of(out) == pristine


def test_two_damaged_copies_of_a_segment_make_up_for_each_other(source, out):
    """What is whole in either file is kept."""
    (path,) = write(source)
    pristine = kept_of(source)
    copy = path.with_name("copy-" + path.name)
    copy.write_bytes(path.read_bytes())
    places = spans(path)
    flip(path, places[0][1] - 9)
    flip(copy, places[2][1] - 9)
    salvage = recover([source], out)
    assert salvage.complete and "here twice" in str(salvage.findings)
    assert kept_of(out) == pristine and len(salvage.segments) == 1


@pytest.mark.parametrize("name", ["a-copy.hcap.zst", "z-copy.hcap.zst"])
def test_an_intact_copy_tells_where_a_cut_one_ended(source, out, name):
    """Whichever is read first: the footer of one of them is enough."""
    (path,) = write(source)
    path.with_name(name).write_bytes(path.read_bytes())
    replace_bytes(path, lambda data: data.__delitem__(slice(spans(path)[1][1], None)))
    assert recover([source], out).complete


@pytest.mark.parametrize("name", ["0-copy.hcap.zst", "z-copy.hcap.zst"])
def test_the_footer_of_a_copy_tells_the_kinds_of_what_both_lost(source, out, name):
    """Of two damaged copies only one has its footer."""
    (path,) = write(source)
    flip(path, spans(path)[1][1] - 9)
    path.with_name(name).write_bytes(path.read_bytes())
    replace_bytes(path, lambda data: data.__delitem__(slice(-40, None)))
    salvage = recover([source], out)
    assert salvage.lost == {"ws_text": 2, "ws_binary": 0, "rest": 1, UNKNOWN: 0}


@pytest.mark.parametrize("name", ["0-copy.hcap.zst.part", "z-copy.hcap.zst.part"])
def test_a_copy_that_is_not_torn_tells_what_the_torn_one_held(source, out, name):
    """Of two copies of a recording that broke off, the last block is whole in one."""
    (path,) = write(source)
    part = unsealed(path)
    part.with_name(name).write_bytes(part.read_bytes())
    replace_bytes(part, lambda data: data.__delitem__(slice(spans(part)[3][0] + 50, None)))
    assert recover([source], out).complete


def test_a_compacted_copy_stands_in_for_blocks_it_spans(source, out):
    """One block of the copy holds what several of the original did; nothing is kept twice."""
    (path,) = write(source, blocks=4)
    copy = path.with_name("z-copy.hcap.zst")
    merged_copy(path, copy)
    flip(path, spans(path)[1][1] - 9)
    salvage = recover([source], out)
    assert salvage.complete and salvage.kept == {"ws_text": 8, "ws_binary": 0, "rest": 4}


@pytest.mark.parametrize("name", ["0-copy.hcap.zst", "z-copy.hcap.zst"])
def test_of_a_block_lost_in_two_sizes_the_smaller_one_is_counted(source, out, name):
    """What the compacted copy lost besides is whole in the original."""
    (path,) = write(source, blocks=4)
    copy = path.with_name(name)
    merged_copy(path, copy)
    flip(copy, spans(copy)[0][1] - 9)
    flip(path, spans(path)[0][1] - 9)
    salvage = recover([source], out)
    assert (salvage.lost_records, salvage.lost_blocks, salvage.kept["ws_text"]) == (3, 1, 6)


def test_a_lost_block_that_spans_more_than_is_missing_does_not_count_for_it(source, out):
    """Of the compacted copy's block only a part is missing: how much, its header cannot say."""
    (path,) = write(source, blocks=4)
    copy = path.with_name("0-copy.hcap.zst")
    merged_copy(path, copy)
    flip(copy, spans(copy)[0][1] - 9)
    begin, end = spans(path)[0]
    at = footer_at(path)
    replace_bytes(path, lambda data: data.__setitem__(slice(at, None), b""))
    replace_bytes(path, lambda data: data.__delitem__(slice(begin, end)))
    salvage = recover([source], out)
    assert (salvage.lost_records, salvage.lost[UNKNOWN], salvage.kept["ws_text"]) == (None, 0, 6)


def test_blocks_out_of_order_are_put_back_in_order(source, out):
    """Swapped blocks are whole, so they are kept, in the order in which they were recorded."""
    (path,) = write(source)
    pristine = kept_of(source)
    _, (one, two), (_, three), _ = spans(path)
    replace_bytes(path, lambda data: data.__setitem__(slice(one, three), data[two:three] + data[one:two]))
    salvage = recover([source], out)
    assert salvage.complete
    assert kept_of(out) == pristine


def test_a_foreign_block_is_left_out(source, out, tmp_path):
    """A block of another recording is named, and none of its records is mixed in."""
    (path,) = write(source)
    (other,) = write(tmp_path / "other", FOREIGN)
    pristine = kept_of(source)
    begin, end = spans(other)[2]
    at = spans(path)[1][0]
    replace_bytes(path, lambda data: data.__setitem__(slice(at, at), other.read_bytes()[begin:end]))
    salvage = recover([source], out)
    assert salvage.complete
    assert FOREIGN.capture_id in str(salvage.findings)
    assert kept_of(out) == pristine


def test_joined_files_become_segments_again(source, out):
    """A second preamble begins a segment."""
    first, second = write(source, segments=2)
    pristine = kept_of(source)
    preambles = [Segment(path).preamble for path in (first, second)]
    first.write_bytes(first.read_bytes() + second.read_bytes())
    second.unlink()
    salvage = recover([first], out)
    assert "files were joined" in str(salvage.findings)
    assert kept_of(out) == pristine
    assert [Segment(path).preamble for path in salvage.segments] == preambles


def test_a_joined_segment_without_its_preamble_is_known_by_its_footer(source, out):
    """The footer repeats which segment it seals, so that what stands before it is not taken for the first one's."""
    first, second = write(source, segments=2)
    pristine = kept_of(source)
    preambles = [Segment(path).preamble for path in (first, second)]
    first.write_bytes(first.read_bytes() + second.read_bytes()[spans(second)[0][0] :])
    second.unlink()
    salvage = recover([first], out)
    assert salvage.complete and kept_of(out) == pristine
    assert [Segment(path).preamble for path in salvage.segments] == preambles


def test_a_joined_segment_of_another_recording_is_left_out(source, out, tmp_path):
    """Its preamble begins no segment, and its footer says nothing of ours."""
    (path,) = write(source)
    _, other = write(tmp_path / "other", FOREIGN, segments=2, blocks=6)
    pristine = kept_of(source)
    path.write_bytes(path.read_bytes() + other.read_bytes())
    salvage = recover([path], out)
    assert salvage.complete and len(salvage.segments) == 1
    assert kept_of(out) == pristine


def test_a_footer_whose_sums_do_not_fit_tells_no_kinds(source, out):
    """What is lost is counted by the index, under unknown, where the totals contradict it."""
    (path,) = write(source)
    footer = footer_of(path)
    wrong = replace(footer, totals=footer.totals | {"by_kind": {"ws_text": 90, "ws_binary": 0, "rest": 4}})
    at = footer_at(path)
    flip(path, spans(path)[1][1] - 9)
    replace_bytes(path, lambda data: data.__setitem__(slice(at, None), wrong.pack(at)))
    salvage = recover([source], out)
    assert salvage.lost == {"ws_text": 0, "ws_binary": 0, "rest": 0, UNKNOWN: 3}


def test_a_torn_footer_is_no_torn_block(source, out):
    """The blocks before it are whole; that there were no others is likely and not known."""
    (path,) = write(source)
    replace_bytes(path, lambda data: data.__delitem__(slice(-40, None)))
    salvage = recover([source], out)
    (note,) = losses(read(out))
    assert (note["count"], salvage.lost_records, salvage.lost_blocks) == (0, None, 0)


def test_a_later_segment_alone_is_no_loss(source, out):
    """What was not given is not missed; the copy begins anew and keeps the timeline."""
    paths = write(source, segments=2)
    before = read(paths[1])
    salvage = recover([paths[1]], out)
    assert salvage.complete
    assert [chunk.timeline_ns.tolist() for chunk in before] == [chunk.timeline_ns.tolist() for chunk in read(out)]
    assert (Segment(salvage.segments[0]).preamble.segment, verify([out]).ok) == (0, True)


def test_an_old_preamble_without_first_offset_gets_the_one_its_timeline_had(source, out):
    """The timeline is that of the first block, also where it is lost."""
    source.mkdir()
    head = {name: getattr(HEAD, name) for name in CaptureHead.__dataclass_fields__}
    (written,) = write(source / "new")
    preamble = replace(Segment(written).preamble, timeline_offset_ns=None, **head)
    path = source / "old.hcap.zst"
    writer = SegmentWriter(path, preamble, sequence=0)
    for number in range(3):
        writer.wall = WallOffset(500 * number + 1000)
        writer.add(b"%d" % number, 10 * number)
        writer.cut()
    writer.seal(fsync=False)
    flip(path, spans(path)[0][1] - 9)
    recover([path], out)
    assert [chunk.timeline_ns.tolist() for chunk in read(out) if chunk.records] == [[1010], [1020]]


def test_another_boot_keeps_its_own_timeline(source, out):
    """Each boot counts from its own offset, in the copy too."""
    source.mkdir()
    (first,) = write(source / "a", blocks=1)
    with CaptureWriter(source / "b", replace(HEAD, boot_id="boot two"), fsync=False) as writer:
        writer._segment, writer._sequence = 1, 1  # a recording taken up again
        writer.wall = WallOffset(900_000, 1)
        writer.add(b"later", 7)
    paths = [first, *writer.sealed]
    before = [chunk.timeline_ns.tolist() for chunk in open_recording(paths).chunks()]
    recover(paths, out)
    assert [chunk.timeline_ns.tolist() for chunk in read(out)] == before


def test_a_lost_preamble_is_taken_from_the_footer(source, out):
    """All facts of the segment are kept, since the footer repeats them."""
    (path,) = write(source)
    preamble = Segment(path).preamble
    flip(path, 30)
    salvage = recover([source], out)
    assert salvage.complete
    assert Segment(salvage.segments[0]).preamble == preamble


def test_without_preamble_and_footer_the_time_base_is_taken_from_all_blocks(source, out):
    """A first block that holds notes alone says nothing of its clock; those behind it do."""
    with CaptureWriter(source, HEAD, fsync=False) as writer:
        writer.wall = WallOffset(1000, 5)
        writer.note({"note": "connect", "conn": 1})
        writer.begin_segment()
        writer.add(b"{}", 10)
        assert writer._writer is not None
        writer._writer.cut()
        writer.add(b"{}", 20)
    (path,) = writer.sealed
    part = path.rename(path.with_name(path.name + ".part"))
    replace_bytes(part, lambda data: data.__delitem__(slice(footer_at(part), None)))
    flip(part, 30)
    recover([source], out)
    assert [chunk.block.recv_ns.tolist() for chunk in read(out)] == [[1010], [1020]]


def unsealed(path: Path) -> Path:
    """Take the footer off a segment and name it as one being written."""
    part = path.rename(path.with_name(path.name + ".part"))
    replace_bytes(part, lambda data: data.__delitem__(slice(footer_at(part), None)))
    return part


def test_a_preamble_that_nothing_repeats_is_taken_from_the_segment_before(source, out):
    """Market, streams and the rest are those of the recording."""
    paths = write(source, segments=2)
    pristine = kept_of(source)
    facts = Segment(paths[0]).preamble
    flip(unsealed(paths[1]), 30)
    salvage = recover([source], out)
    assert salvage.complete and kept_of(out) == pristine
    later = Segment(salvage.segments[1]).preamble
    assert later == replace(facts, segment=1, previous_sequence=3)


def test_what_came_before_the_first_block_is_unknown_without_a_preamble(source, out):
    """Nothing says whether the recording began in this file."""
    (path,) = write(source)
    part = unsealed(path)
    begin, end = spans(part)[0]
    replace_bytes(part, lambda data: data.__delitem__(slice(begin, end)))
    flip(part, 30)
    salvage = recover([source], out)
    assert salvage.lost_records is None
    assert [is_loss(chunk) for chunk in read(out)] == [True, False, False, False]


def test_without_a_preamble_swapped_blocks_are_still_put_in_order(source, out):
    """The first block is the one of the least number, wherever it stands."""
    (path,) = write(source)
    pristine = kept_of(source)
    part = unsealed(path)
    (one, two), (_, three), *_ = spans(part)
    replace_bytes(part, lambda data: data.__setitem__(slice(one, three), data[two:three] + data[one:two]))
    flip(part, 30)
    assert recover([source], out).complete
    assert kept_of(out) == pristine


def test_a_torn_tail_that_hides_more_than_one_block_is_of_unknown_size(source, out):
    """The header of the first one still counts its records, not those of the blocks behind it."""
    (path,) = write(source)
    part = unsealed(path)
    *_, (begin, end), (last, _) = spans(part)
    flip(part, last + 30)
    replace_bytes(part, lambda data: data.__setitem__(slice(end - 9, end - 8), b""))
    salvage = recover([source], out)
    assert (salvage.lost_records, salvage.lost[UNKNOWN]) == (None, 3)
    assert salvage.kept["ws_text"] == 4
    assert begin < last


def test_a_segment_that_is_no_capture_is_passed_over_among_others(source, out):
    """The rest is kept; how much the unreadable file held is unknown."""
    write(source)
    pristine = kept_of(source)
    (source / "zzz.hcap.zst").write_bytes(b"nothing of ours")
    salvage = recover([source], out)
    assert salvage.lost_records is None
    assert kept_of(out) == pristine


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda data: data.clear(), NotACapture),
        (lambda data: data.__delitem__(slice(40, None)), DamagedPart),
        (lambda data: data.__delitem__(slice(FRAME.unpack_from(data)[1] + 20, None)), DamagedPart),
    ],
    ids=["empty", "torn preamble", "no block"],
)
def test_where_nothing_is_readable_no_folder_is_left_behind(source, tmp_path, damage, error):
    """Neither the folder nor the folders above it that were made for it."""
    (path,) = write(source)
    replace_bytes(path, damage)
    with pytest.raises(error):
        recover([source], tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


def test_a_recording_that_recorded_nothing_is_copied(source, out):
    """No record is no loss: a capture that never got one has a whole segment with its notes."""
    with CaptureWriter(source, HEAD, fsync=False) as writer:
        writer.note({"note": "connect", "conn": 1})
    pristine = kept_of(source)
    assert recover([source], out).complete
    assert kept_of(out) == pristine


def test_an_existing_capture_is_never_overwritten(source, out):
    """Nor the source itself, where it is named as the place to write to."""
    (path,) = write(source)
    write(out)
    before = [entry.read_bytes() for entry in (path, *out.iterdir())]
    for folder in (out, source):
        with pytest.raises(AlreadyExists):
            recover([source], folder)
    assert [entry.read_bytes() for entry in (path, *out.iterdir())] == before


def test_what_else_stands_in_the_folder_is_left_there(source, out):
    """A failure removes what was made, and nothing else."""
    (path,) = write(source)
    replace_bytes(path, lambda data: data.__delitem__(slice(FRAME.unpack_from(data)[1] + 20, None)))
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(DamagedPart):
        recover([source], out)
    assert [entry.name for entry in out.iterdir()] == ["notes.txt"]
    FolderLock(out).release()


def test_two_recordings_are_not_mixed(source, out, tmp_path):
    """Segments of two capture ids are refused, with both ids."""
    write(source)
    write(tmp_path / "other", FOREIGN)
    with pytest.raises(SeveralRecordings, match=FOREIGN.capture_id):
        recover([source, tmp_path / "other"], out)
    assert not out.exists()


def test_a_segment_still_being_written_can_be_recovered(source, out):
    """What is on the disk by then is kept; the writer is not disturbed."""
    with CaptureWriter(source, HEAD, block_bytes=1, fsync=False) as writer:
        writer.add(b"one", 1)
        writer.add(b"two", 2)
        assert recover([source], out).kept["ws_text"] == 2
        writer.add(b"three", 3)
    assert len(read(source)) == 3


def test_progress_counts_the_bytes_of_all_blocks(source, out):
    """What a progress bar is told adds up to the blocks in the files."""
    (path,) = write(source)
    told: list[int] = []
    recover([source], out, progress=told.append)
    assert sum(told) == sum(end - begin for begin, end in spans(path))


@dataclass
class Original:
    """A capture before it is damaged: for each block its bytes on disk and all that it says."""

    folder: Path
    paths: list[Path]
    stored: list[bytes]
    blocks: list[tuple[object, ...]]
    records: list[int]

    @classmethod
    def of(cls, folder: Path, paths: list[Path]) -> "Original":
        chunks = read(folder)
        stored = [path.read_bytes()[begin:end] for path in paths for begin, end in spans(path)]
        return cls(folder, paths, stored, [content(chunk) for chunk in chunks], [chunk.records for chunk in chunks])


small = st.integers(0, 3)


@st.composite
def captures(draw) -> Callable[[Path, CaptureHead], list[Path]]:
    """Draw a recording: what to do with a writer, step by step. Every payload and every note is unlike all others."""
    base = draw(st.sampled_from(TimeBase))
    step = st.tuples(
        st.sampled_from(["add", "add", "add", "cut", "note", "wall", "segment"]), small, st.binary(max_size=9)
    )
    steps = draw(st.lists(step, min_size=3, max_size=25))

    def write_it(folder: Path, head: CaptureHead) -> list[Path]:
        with CaptureWriter(folder, replace(head, time_base=base), fsync=False) as writer:
            for number, (what, small_one, noise) in enumerate(steps):
                if what == "add":
                    note = {"note": "about", "number": number} if small_one == 1 else None
                    kind = list(Kind)[small_one % 3]
                    lag = NONE_NS if base is TimeBase.WALL or small_one else 5
                    about = {"note": "rest", "number": number} if kind is Kind.REST else note
                    time_ns = number * 10 - 25 * (small_one == 2)
                    payload = b"%d %s" % (number, noise)
                    writer.add(payload, time_ns, kind=kind, conn=small_one, flags=small_one, rx_lag_ns=lag, note=about)
                elif what == "note":
                    writer.note({"note": "free", "number": number})
                elif what == "cut" and writer._writer is not None:
                    writer._writer.cut()
                elif what == "wall" and base is TimeBase.MONOTONIC:
                    writer.wall = WallOffset(1000 * small_one, small_one)
                elif what == "segment":
                    writer.begin_segment()
        return writer.sealed

    return write_it


def damage(draw: Callable, original: Original, foreign: bytes) -> tuple[Path, list[int]]:
    """Damage one file of a capture; return it, and which blocks may be whole although their bytes are not."""
    path = draw(st.sampled_from(original.paths))
    data = bytearray(path.read_bytes())
    places = spans(path)
    ways = ["flip", "cut"] + (["drop", "double", "foreign"] if places else []) + (["swap"] if len(places) > 1 else [])
    way = draw(st.sampled_from(ways))
    first = sum(len(spans(before)) for before in original.paths[: original.paths.index(path)])
    maybe: list[int] = []
    part = path == original.paths[-1] and draw(st.booleans())
    if way == "flip":
        at = draw(st.integers(0, len(data) - 1))
        data[at] ^= 1 << draw(st.integers(0, 7))
        maybe = [first + number for number, (begin, end) in enumerate(places) if begin <= at < end]
    elif way == "cut":
        end = draw(st.integers(0, len(data)))
        del data[end:]
        if part:
            # A recording that broke off ends in any block; those behind it were never written.
            written = first + sum(begin < end for begin, _ in places)
            for listed in (original.stored, original.blocks, original.records):
                del listed[written:]
    elif way == "swap":
        number = draw(st.integers(0, len(places) - 2))
        (begin, middle), (_, end) = places[number : number + 2]
        data[begin:end] = data[middle:end] + data[begin:middle]
    else:
        begin, end = draw(st.sampled_from(places))
        data[begin:end] = {"drop": b"", "double": 2 * data[begin:end], "foreign": data[begin:end] + foreign}[way]
    if part:
        path = path.rename(path.with_name(path.name + ".part"))
    path.write_bytes(data)
    return path, maybe


@given(captures(), st.data())
def test_every_whole_block_survives_any_damage_in_its_order(write_it, data):
    """Cut, flip, drop, double, swap or splice: the copy is sound and holds exactly the whole blocks, in order."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        original = Original.of(top / "source", write_it(top / "source", HEAD))
        other = write_it(top / "other", FOREIGN)
        foreign = next((path.read_bytes()[begin:end] for path in other for begin, end in spans(path)), b"")
        _, maybe = damage(data.draw, original, foreign)
        found = [path.read_bytes() for path in original.folder.iterdir()]
        whole = [number for number, stored in enumerate(original.stored) if any(stored in file for file in found)]
        try:
            salvage = recover([original.folder], top / "out")
        except CaptureError:
            assert not sum(original.records[number] for number in whole)
            assert not (top / "out").exists()
            return
        assert verify([top / "out"]).ok
        chunks = read(top / "out")
        kept = [original.blocks.index(content(chunk)) for chunk in chunks if not is_loss(chunk)]
        assert set(whole) <= set(kept) <= {*whole, *maybe}
        assert kept == sorted(kept)
        check_counts(original, kept, salvage, chunks)
        check_places(original, kept, chunks)
        check_timeline(open_recording([top / "out"]))
        again = recover([top / "out"], top / "again")
        assert again.complete and again.kept == salvage.kept
        assert [content(chunk) for chunk in read(top / "again")] == [content(chunk) for chunk in chunks]


def check_counts(original: Original, kept: list[int], salvage: Salvage, chunks: list[Chunk]) -> None:
    """What is kept and what is lost make up the original, where the loss is known; else it is a lower bound."""
    before, after = sum(original.records), sum(original.records[number] for number in kept)
    assert sum(salvage.kept.values()) == after
    assert sum(salvage.lost.values()) <= before - after
    if salvage.lost_records is not None:
        assert salvage.lost_records == sum(salvage.lost.values()) == before - after
        assert sum(note["count"] for note in losses(chunks)) == before - after
    assert salvage.complete or len(losses(chunks)) > 0
    if len(kept) < len(original.blocks):
        assert not salvage.complete
    assert not any(note.get("at_least") for note in losses(chunks)) or salvage.lost_records is None


def check_places(original: Original, kept: list[int], chunks: list[Chunk]) -> None:
    """Between two blocks stands a note exactly where blocks are missing between them, with their records."""
    noted: dict[int, list[dict[str, object]]] = {}
    for chunk in chunks:
        if is_loss(chunk):
            before = [other for other in chunks[: chunks.index(chunk)] if not is_loss(other)]
            noted.setdefault(len(before), []).extend(chunk.block.notes)
    for place in range(1, len(kept)):
        lost = sum(original.records[kept[place - 1] + 1 : kept[place]])
        notes = noted.get(place, [])
        assert bool(notes) == (kept[place] > kept[place - 1] + 1)
        if notes and not any(note.get("at_least") for note in notes):
            assert sum(note["count"] for note in notes) == lost


def check_timeline(recording: Recording) -> None:
    """The timeline is that of the stamps from the recording's first offset on."""
    offset = recording.preamble.timeline_offset_ns or 0
    latest = NONE_NS
    for chunk in recording.chunks():
        times = chunk.block.columns.time_ns + (offset if chunk.block.time_base is TimeBase.MONOTONIC else 0)
        expected = np.maximum.accumulate(np.maximum(times, latest))
        assert chunk.timeline_ns.tolist() == expected.tolist()
        latest = int(expected[-1]) if len(expected) else latest
