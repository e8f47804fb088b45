"""The books at the record sent last, however far the kernel is behind."""

import json
from pathlib import Path

import pytest

from hftcap.capture.reader import open_recordings
from hftcap.pipeline import Run
from hftcap.serve import books
from hftcap.serve.books import LiveBooks
from tests.serve.made import usual_records, write_capture


@pytest.fixture
def capture(tmp_path) -> Path:
    return write_capture(tmp_path / "usual", usual_records(200))


def live(capture: Path) -> LiveBooks:
    return LiveBooks(lambda: Run(open_recordings([capture]), books_only=True))


def pieces(capture: Path, size: int):
    from dataclasses import replace

    for chunk in Run(open_recordings([capture])).chunks():
        for first in range(0, chunk.records, size):
            yield replace(chunk, first=first, stop=min(first + size, chunk.records))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_book_stands_at_the_record_taken_last(capture, size):
    """Settled on the way or not."""
    found = live(capture)
    assert found.book("BTCUSDT") is None
    last = 0
    for number, piece in enumerate(pieces(capture, size)):
        found.take(piece)
        if number % 3 == 0:
            found.settle(2)
        for payload in piece.block.payload_list(piece.first, piece.stop):
            body = json.loads(payload)
            last = body.get("data", {}).get("u", last) if "depth" in body.get("stream", "") else last
        if number % 5 == 0 and last:
            book = found.book("BTCUSDT")
            assert book is not None
            assert book.book_update_id == last
    assert not found.settle()


def test_what_waits_too_long_is_let_go_and_sought(capture, monkeypatch):
    """The book is the same; what is sent while it is sought is not missed."""
    monkeypatch.setattr(books, "BACKLOG_BYTES", 1)
    found = live(capture)
    parts = list(pieces(capture, 11))
    for piece in parts[:30]:
        found.take(piece)
    assert found.lost
    monkeypatch.setattr(books, "BACKLOG_BYTES", 1 << 30)
    seek = found.seek()
    assert not found.lost
    for piece in parts[30:40]:
        found.take(piece)
        assert not found.settle()
    found.found(seek())
    expected = live(capture)
    for piece in parts[:40]:
        expected.take(piece)
    mine, other = found.book("BTCUSDT"), expected.book("BTCUSDT")
    assert mine is not None
    assert other is not None
    assert (mine.book_update_id, mine.book.sha256()) == (other.book_update_id, other.book.sha256())
