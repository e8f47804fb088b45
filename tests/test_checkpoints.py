"""Sidecars: a run that takes one up goes on as one from the start; a sidecar that cannot be trusted is made anew."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hftcap import checkpoints
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.checkpoints import open_sidecar, sidecar_path
from hftcap.kernel.columns import Columns
from hftcap.market.walk import SYMBOL, Walk
from hftcap.pipeline import Run, write_sidecars

HEAD = CaptureHead("00000000000000a0", "spot", TimeBase.WALL, True, 0, "test", symbols=[SYMBOL])


@pytest.fixture(autouse=True)
def spacing(monkeypatch):
    monkeypatch.setattr(checkpoints, "SPACING_BYTES", 8_000)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Write a market of ten seconds in three segments of small blocks, the last one unsealed."""
    writer = CaptureWriter(tmp_path / "c", HEAD, block_bytes=3_000, fsync=False)
    frames = list(Walk(3).frames(10))
    for number, frame in enumerate(frames):
        if number in (len(frames) // 3, 2 * len(frames) // 3):
            writer.begin_segment()
        kind, note = (Kind.REST, {"note": "rest", "symbol": SYMBOL}) if frame.is_snapshot else (Kind.WS_TEXT, None)
        writer.add(frame.payload, frame.recv_ns, kind=kind, note=note)
    writer.__exit__(RuntimeError, RuntimeError(), None)
    return tmp_path / "c"


def book_at(folder: Path, instant: int, *, seek: bool) -> tuple[str, str, int | None]:
    run = Run(open_recording([folder]), books_only=seek)
    start = run.take_up(instant) if seek else None
    for _ in run.batches(instant, start=start):
        pass
    book = run.kernel.books.get(SYMBOL) or run.kernel.feed.new_book()
    return book.book.sha256(), str(book.sync.state), book.book_update_id


def test_books_at_random_instants_are_those_of_a_full_replay(folder):
    """Digest, state and update id, in sealed segments and in the unsealed one behind them."""
    first, last = open_recording([folder]).span()
    for instant in random.Random(7).sample(range(first - 10**9, last + 10**9), 40):
        assert book_at(folder, instant, seek=True) == book_at(folder, instant, seek=False)
    assert len(list(folder.glob("*.books"))) == 2


def test_a_run_that_takes_up_a_state_gives_the_same_columns_and_counts(folder):
    """Not the books alone: every column of every later record, and what was counted."""
    recording = open_recording([folder])
    write_sidecars(recording, 2)
    whole = Run(recording)
    columns = {(b.chunk.path, b.chunk.position): b.columns for b in whole.batches()}
    first, last = recording.span()
    run = Run(open_recording([folder]))
    start = run.take_up(first + (last - first) * 3 // 4)
    assert start is not None and start.segment > 0
    for batch in run.batches(start=start):
        expected = columns[batch.chunk.path, batch.chunk.position]
        for name in Columns.__dataclass_fields__:
            assert np.array_equal(getattr(batch.columns, name), getattr(expected, name)), name
    ours, theirs = run.kernel.books[SYMBOL], whole.kernel.books[SYMBOL]
    for book in (ours, theirs):
        book.finish()
    assert (ours.updates, ours.crossed, ours.check.checked, ours.check.equal) == (
        theirs.updates,
        theirs.crossed,
        theirs.check.checked,
        theirs.check.equal,
    )


def spoil(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    match how:
        case "empty":
            content.clear()
        case "cut":
            del content[len(content) // 2 :]
        case "flipped":
            for at in range(0, len(content), 97):
                content[at] ^= 0x10
        case "text":
            content[:] = b"not a sidecar\n"
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["empty", "cut", "flipped", "text", "absent"])
def test_a_sidecar_that_is_damaged_is_made_anew(folder, how):
    """Whatever is wrong with it, the book is right, and the sidecar is whole afterwards."""
    first, last = open_recording([folder]).span()
    middle = (first + last) // 2
    truth = book_at(folder, middle, seek=False)
    book_at(folder, middle, seek=True)
    for path in folder.glob("*.books"):
        whole = path.read_bytes()
        if how == "absent":
            path.unlink()
        else:
            spoil(path, how)
    assert book_at(folder, middle, seek=True) == truth
    assert path.read_bytes() == whole


def test_a_sidecar_of_other_bytes_or_another_parser_is_stale(folder, monkeypatch):
    """It says which footer and which parser it was made with; anything else is as good as absent."""
    recording = open_recording([folder])
    write_sidecars(recording, 0)
    segment = recording.segments[0]
    preamble = segment.preamble
    digest = checkpoints.parser_digest()
    head = checkpoints.Head(preamble.capture_id, preamble.segment, segment.footer_crc(), digest)
    assert open_sidecar(segment.path, head) is not None
    for other in (
        checkpoints.Head(preamble.capture_id, preamble.segment, segment.footer_crc() ^ 1, digest),
        checkpoints.Head(preamble.capture_id, preamble.segment, segment.footer_crc(), "other"),
        checkpoints.Head("f" * 16, preamble.segment, segment.footer_crc(), digest),
    ):
        assert open_sidecar(segment.path, other) is None


def test_where_a_sidecar_cannot_be_written_the_book_is_right_all_the_same(folder):
    """A folder in its place, say: the replay begins at the start."""
    for path in folder.glob("*.hcap.zst"):
        sidecar_path(path).mkdir()
    first, last = open_recording([folder]).span()
    middle = (first + last) // 2
    assert book_at(folder, middle, seek=True) == book_at(folder, middle, seek=False)
    assert not list(folder.glob("*.writing"))
    assert not list(folder.glob(".*.writing"))


def test_several_recordings_are_replayed_from_their_start(folder, tmp_path):
    """A sidecar knows one recording; merged ones have no place to begin but the first record."""
    other = tmp_path / "other"
    with CaptureWriter(other, replace(HEAD, capture_id="00000000000000b0"), fsync=False) as writer:
        writer.add(b"{}", 1)
    run = Run([open_recording([folder]), open_recording([other])])
    assert run.take_up(2) is None
