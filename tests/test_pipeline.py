"""A run takes a recording through the kernel: batch by batch, as far as asked, with the books as they stand there."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import open_recording, open_recordings
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.errors import MarketsDiffer
from hftcap.kernel import Columns
from hftcap.kernel.columns import TYPE_CODE
from hftcap.market.walk import START_NS, SYMBOL, Walk
from hftcap.pipeline import Batch, Run, gathered, span, write_sidecars

HEAD = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, True, START_NS, "0.1.0")


def write(folder: Path, head: CaptureHead = HEAD, *, seed: int = 1, late_ns: int = 0) -> list[int]:
    """Write a small market in two segments of several blocks; return its stamps."""
    frames = list(Walk(seed).frames(2))
    with CaptureWriter(folder, head, block_bytes=4_000, fsync=False) as writer:
        for number, frame in enumerate(frames):
            if number == len(frames) // 2:
                writer.begin_segment()
            note = {"note": "rest", "symbol": SYMBOL} if frame.is_snapshot else None
            kind = Kind.REST if frame.is_snapshot else Kind.WS_TEXT
            writer.add(frame.payload, frame.recv_ns + late_ns, kind=kind, note=note)
    return [frame.recv_ns + late_ns for frame in frames]


def run_of(folder: Path) -> Run:
    return Run(open_recording([folder]))


def rows(batches: list[Batch]) -> dict[str, list[int]]:
    """Return every column of all batches."""
    return {
        field.name: np.concatenate([getattr(batch.columns, field.name) for batch in batches]).tolist()
        for field in fields(Columns)
    }


@pytest.fixture
def folder(tmp_path) -> Path:
    write(tmp_path / "capture")
    return tmp_path / "capture"


@pytest.mark.parametrize("at", [0, 1, 30, 31, 120, -1, None])
def test_a_run_begins_with_the_first_record_at_or_behind_the_instant(at, folder):
    """What is before it is in the books and in no batch and no count; behind the end there is nothing."""
    stamps = write(folder.parent / "again")
    start_ns = stamps[-1] + 1 if at is None else stamps[at]
    left_out = sum(stamp < start_ns for stamp in stamps)
    whole, part = run_of(folder), run_of(folder)
    expected = rows(list(whole.batches()))
    found = list(part.batches(start_ns=start_ns))
    assert sum(batch.records for batch in found) == len(stamps) - left_out
    if found:
        assert rows(found) == {name: values[left_out:] for name, values in expected.items()}
    (book,), (all_of_it,) = part.kernel.books.values(), whole.kernel.books.values()
    assert book.book.sha256() == all_of_it.book.sha256()
    assert book.updates == sum(batch.columns.type.tolist().count(TYPE_CODE["depthUpdate"]) for batch in found)


def test_every_block_is_a_batch_in_record_order(folder):
    """Nothing is left out: as many rows as records, block after block, segment after segment."""
    chunks = list(open_recording([folder]).chunks())
    batches = list(run_of(folder).batches())
    assert [(batch.chunk.path, batch.chunk.position) for batch in batches] == [
        (chunk.path, chunk.position) for chunk in chunks
    ]
    assert [batch.records for batch in batches] == [len(batch.columns) for batch in batches]
    assert [batch.records for batch in batches] == [chunk.block.records for chunk in chunks]
    assert len(batches) > 4


def test_columns_are_those_of_the_kernel_block_by_block(folder):
    """The run adds nothing to what the kernel says."""
    run, other = run_of(folder), run_of(folder)
    whole = rows(list(run.batches()))
    alone = [Batch(chunk, other.kernel.run(chunk.block)) for chunk in other.recording.chunks()]
    assert rows(alone) == whole


@pytest.mark.parametrize("least", [1, 40, 10**6])
def test_batches_are_gathered_until_there_are_enough(least, folder):
    """Each record once and in order, at least so many at a time but for the last, and no batch more than it takes."""
    came = [(batch.chunk.position, int(row)) for batch in run_of(folder).batches() for row in batch.rows]
    groups = list(gathered(run_of(folder).batches(), least))
    assert [place for rows in groups for place in zip(rows.block.tolist(), rows.record.tolist(), strict=True)] == came
    assert all(len(rows) >= least for rows in groups[:-1])
    assert all(len(rows) - len(rows.pieces[-1].rows) < least for rows in groups)


@pytest.mark.parametrize("at", [0, 1, 30, 31, 120, -2, -1])
def test_a_run_stops_behind_the_last_record_at_or_before_the_instant(at, folder):
    """The longest prefix whose timeline is at or before it: columns of that prefix, and the book as it stands there."""
    stamps = write(folder.parent / "again")
    until = stamps[at]
    upto = sum(stamp <= until for stamp in stamps)
    whole = rows(list(run_of(folder).batches()))
    run = run_of(folder)
    batches = list(run.batches(until))
    assert sum(batch.records for batch in batches) == upto
    assert rows(batches) == {name: values[:upto] for name, values in whole.items()}
    book = run.kernel.books.get(SYMBOL)
    if book is not None and book.book.n_bids:
        assert book.book.touch()[0] == whole["bid_px_e8"][upto - 1]


def test_an_instant_between_records_and_beyond_the_ends(folder):
    """Before the first record there is none, behind the last there are all, between two the first of them counts."""
    stamps = write(folder.parent / "again")
    counts = {
        until: sum(batch.records for batch in run_of(folder).batches(until))
        for until in (0, stamps[0] - 1, stamps[5] + 1, stamps[-1] + 1)
    }
    assert list(counts.values()) == [0, 0, sum(stamp <= stamps[5] + 1 for stamp in stamps), len(stamps)]


def test_records_of_one_instant_are_taken_together(tmp_path):
    """Stamps that are equal, or run backwards, share an instant of the timeline: all of them or none."""
    with CaptureWriter(tmp_path / "c", HEAD, block_bytes=4, fsync=False) as writer:
        for stamp in (10, 20, 20, 15, 20, 30):
            writer.add(b"{}", START_NS + stamp)
    found = [sum(batch.records for batch in run_of(tmp_path / "c").batches(START_NS + at)) for at in (19, 20, 29, 30)]
    assert found == [1, 5, 5, 6]


def test_progress_adds_up_to_the_blocks(folder):
    """Each block is told once, with its stored bytes, when it is done."""
    told: list[int] = []
    list(run_of(folder).batches(progress=told.append))
    chunks = list(open_recording([folder]).chunks())
    assert told == [chunk.block.header.block_bytes for chunk in chunks]


def test_a_block_of_notes_alone_is_a_batch_without_rows(tmp_path):
    """Its notes are the consumer's to count."""
    with CaptureWriter(tmp_path / "c", HEAD, fsync=False) as writer:
        writer.note({"note": "loss", "count": 2})
    (batch,) = run_of(tmp_path / "c").batches()
    assert (batch.records, len(batch.columns), len(batch.chunk.block.notes)) == (0, 0, 1)


def test_nothing_is_told_of_what_lies_behind_the_instant(tmp_path):
    """Blocks behind the one a run stops in are not even opened, so their notes and sizes are not counted."""
    with CaptureWriter(tmp_path / "c", HEAD, block_bytes=1, fsync=False) as writer:
        for number in range(5):
            writer.add(b"{}", START_NS + number, note={"note": "x"})
    told: list[int] = []
    batches = list(run_of(tmp_path / "c").batches(START_NS + 1, progress=told.append))
    assert sum(batch.records for batch in batches) == len(told) == 2
    assert len(batches) <= 3


@pytest.mark.parametrize(("expects", "state"), [(True, "buffering"), (False, "partial")])
def test_whether_a_snapshot_is_waited_for_is_the_captures_to_say(expects, state, tmp_path):
    """A recording waits for its snapshot; an import may never have one."""
    with CaptureWriter(tmp_path / "c", replace(HEAD, expects_snapshots=expects), fsync=False) as writer:
        event = b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":1,"b":[],"a":[]}'
        writer.add(b'{"stream":"btcusdt@depth","data":' + event + b"}", START_NS)
    run = run_of(tmp_path / "c")
    list(run.batches())
    assert run.kernel.books[SYMBOL].sync.state == state


@pytest.mark.parametrize(("market", "gaps"), [("spot", 1), ("usdm", 0), ("coinm", 0)])
def test_the_market_decides_the_rule_of_continuity(market, gaps, tmp_path):
    """An update that jumps in U but follows by pu is a gap on spot only."""
    with CaptureWriter(tmp_path / "c", replace(HEAD, market=market), fsync=False) as writer:
        for first, last, previous in ((1, 5, 0), (9, 12, 5)):
            ids = f'"U":{first},"u":{last}' + ("" if market == "spot" else f',"pu":{previous}')
            event = f'{{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT",{ids},"b":[],"a":[]}}'
            writer.add(f'{{"stream":"btcusdt@depth","data":{event}}}'.encode(), START_NS)
    run = run_of(tmp_path / "c")
    list(run.batches())
    assert run.kernel.books[SYMBOL].sync.gaps == gaps


def test_recordings_of_two_markets_are_not_mixed(folder, tmp_path):
    """The same symbol is another instrument there, under other rules."""
    write(tmp_path / "other", replace(HEAD, capture_id="ffeeddccbbaa9988", market="usdm"))
    with pytest.raises(MarketsDiffer):
        Run([open_recording([folder]), open_recording([tmp_path / "other"])])


def test_two_recordings_are_one_feed_by_timeline(folder, tmp_path):
    """All records of both, in timeline order, through one kernel."""
    stamps = write(tmp_path / "other", replace(HEAD, capture_id="ffeeddccbbaa9988"), seed=2, late_ns=500)
    recordings = [open_recording([folder]), open_recording([tmp_path / "other"])]
    run = Run(recordings)
    found = [int(at) for batch in run.batches() for at in batch.chunk.timeline_ns[batch.chunk.rows]]
    assert found == sorted([*write(tmp_path / "again"), *stamps])
    assert run.file_bytes == sum(recording.file_bytes for recording in recordings)


def test_the_span_is_of_the_timeline(folder, tmp_path):
    """First and last instant over all recordings; none of an empty one."""
    stamps = write(tmp_path / "other", replace(HEAD, capture_id="ffeeddccbbaa9988"), late_ns=5 * 10**9)
    own = write(tmp_path / "again")
    assert span([open_recording([folder])]) == (own[0], own[-1])
    assert span([open_recording([folder]), open_recording([tmp_path / "other"])]) == (own[0], stamps[-1])
    with CaptureWriter(tmp_path / "empty", HEAD, fsync=False):
        pass
    assert span([open_recording([tmp_path / "empty"])]) == (None, None)


def test_the_kernel_may_be_ahead_of_what_is_handed_over(tmp_path):
    """Merged recordings give the same batches whether runs are taken one by one or many at once."""
    write(tmp_path / "one")
    write(tmp_path / "two", replace(HEAD, capture_id="8899aabbccddeeff"), late_ns=1_000_000)
    found = []
    for ahead in (0, 7, 100, 10**6):
        run = Run(open_recordings([tmp_path / "one", tmp_path / "two"]), levels=True)
        batches = list(run.batches(ahead=ahead))
        assert len(batches) > 20
        places = [(b.chunk.path, b.chunk.position, b.chunk.first, b.rows.tolist()) for b in batches]
        levels = [b.result.levels.price_e8.tolist() for b in batches]
        touches = [(b.result.touches.at.tolist(), b.result.touches.update_id.tolist()) for b in batches]
        found.append((places, rows(batches), levels, touches, run.kernel.books[SYMBOL].book.sha256()))
    assert all(each == found[0] for each in found)


def test_a_batch_is_handed_over_before_the_next_is_asked_for(folder):
    """What holds pieces back until they are due must not hold back those before."""
    asked = 0

    def counted(chunks):
        nonlocal asked
        for chunk in chunks:
            asked += 1
            yield chunk

    for number, _ in enumerate(run_of(folder).batches(pieces=counted), start=1):
        assert asked == number


def diff(symbol: str, first: int, last: int) -> bytes:
    event = {"e": "depthUpdate", "E": 1, "s": symbol, "U": first, "u": last, "b": [["1", str(last)]], "a": []}
    return json.dumps({"stream": f"{symbol.lower()}@depth", "data": event}).encode()


@pytest.mark.parametrize(("update_id", "record"), [(0, 1), (4, 1), (5, 3), (8, 3), (9, None)])
def test_a_book_is_taken_up_to_an_update_id(update_id, record, tmp_path):
    """The record that goes beyond it, of that symbol alone, and the books as they stand before that record."""
    head = replace(HEAD, expects_snapshots=False)
    payloads = [diff("ETHUSDT", 90, 99), diff("BTCUSDT", 1, 5), diff("ETHUSDT", 100, 101), diff("BTCUSDT", 6, 9)]
    with CaptureWriter(tmp_path / "c", head, fsync=False) as writer:
        for number, payload in enumerate(payloads):
            writer.add(payload, START_NS + number)
    run = run_of(tmp_path / "c")
    beyond = run.find_beyond("BTCUSDT", update_id)
    assert (None if beyond is None else beyond[1]) == record
    assert run.find_beyond("SOLUSDT", 0) is None
    if beyond is not None:
        assert sum(batch.records for batch in run.batches_before(beyond)) == record
        assert {name: book.sync.feed_id for name, book in run.kernel.books.items()} == (
            {"ETHUSDT": 99} if record == 1 else {"ETHUSDT": 101, "BTCUSDT": 5}
        )


def test_a_run_says_when_a_segment_is_cut(folder, tmp_path):
    """Once it has been met; a sealed capture is whole."""
    with pytest.raises(KeyboardInterrupt), CaptureWriter(tmp_path / "c", HEAD, block_bytes=1, fsync=False) as writer:
        writer.add(b"{}", START_NS)
        raise KeyboardInterrupt
    for path, cut in ((tmp_path / "c", True), (folder, False)):
        run = run_of(path)
        assert [batch.records for batch in run.batches()]
        assert run.truncated is cut


def test_making_sidecars_can_be_stopped(folder):
    """Before the first block and on the way: none is left half made."""
    for blocks in (0, 2):
        asked = iter([False] * blocks)
        before = sorted(folder.iterdir())
        assert write_sidecars(open_recording([folder]), 1, lambda asked=asked: next(asked, True)) is False
        assert sorted(folder.iterdir()) == before
