"""The book of each symbol as it stands at the record sent last, and as it stands before the market begins.

Records are taken when they are sent and put through the kernel later: when there is time, or when a book is asked for.
At full speed nobody may ask for long; then what waits is let go, and the book is sought anew: from the last state kept
beside the capture, and from there to the record.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from hftcap.binance.depth_sync import BookState
from hftcap.capture.reader import Chunk
from hftcap.kernel import SymbolBook
from hftcap.pipeline import Run

BACKLOG_BYTES = 32 << 20
"""So many bytes of blocks wait at most."""
SETTLE_RECORDS = 512
"""So many records are put through at once when there is time: a few milliseconds."""


class LiveBooks:
    """The books at the record taken last.

    `open_run` gives a run over the whole capture anew, `at` is where this begins within a pass.
    """

    def __init__(self, open_run: Callable[[], Run], start_ns: int | None = None) -> None:
        self._open_run = open_run
        self._start_ns = start_ns
        self._waiting: deque[Chunk] = deque()
        self._bytes = 0
        self._last: Chunk | None = None
        self.restart()

    def restart(self) -> None:
        """Stand before the first record of a pass."""
        self._run = self._open_run()
        if self._start_ns is not None:
            self._run.chunks(start_ns=self._start_ns)  # the kernel stands there when this returns
        self._waiting.clear()
        self._bytes = 0
        self._lost = False
        self._seeking = False
        self._last = None

    def take(self, piece: Chunk) -> None:
        """Take records that are sent."""
        self._last = piece
        if self._lost:
            return
        waiting = self._waiting
        before = waiting[-1] if waiting else None
        if before is not None and before.block is piece.block and before.stop == piece.first:
            waiting[-1] = replace(before, stop=piece.stop)
            return
        waiting.append(piece)
        self._bytes += len(piece.block.payloads)
        if self._bytes > BACKLOG_BYTES:
            waiting.clear()
            self._lost = True

    def settle(self, records: int | None = SETTLE_RECORDS) -> bool:
        """Put so many records through, or all; return whether some still wait."""
        waiting = self._waiting
        if self._seeking:
            return False
        while waiting and (records is None or records > 0):
            piece = waiting[0]
            stop = piece.stop if records is None else min(piece.stop, piece.first + records)
            self._run.kernel.run(piece.block, stop, first=piece.first)
            if records is not None:
                records -= max(stop - piece.first, 1)
            if stop < piece.stop:
                waiting[0] = replace(piece, first=stop)
            else:
                waiting.popleft()
                self._bytes -= len(piece.block.payloads)
        return bool(waiting)

    @property
    def lost(self) -> bool:
        """Whether `seek` must be called before books are asked for: too much was sent since anyone asked."""
        return self._lost

    def seek(self) -> Callable[[], Run]:
        """Return what finds the books at the record taken last, to be called where it may take its time.

        What is taken from now on waits again, for `found`.
        """
        last = self._last
        assert last is not None  # noqa: S101  something was sent, and lost
        self._lost = False
        self._bytes = 0
        self._seeking = True

        def find() -> Run:
            run = self._open_run()
            for _ in run.batches_before((last, last.stop - 1)):
                pass
            run.kernel.run(last.block, last.stop, first=last.stop - 1)
            return run

        return find

    def found(self, run: Run) -> None:
        """Go on from what `seek` found. Where too much was sent meanwhile, the books stay at that record for now."""
        self._run = run
        self._seeking = False

    def book(self, symbol: str) -> SymbolBook | None:
        """Return a symbol's book at the record taken last, None where nothing of it was sent."""
        self.settle(None)
        return self._run.kernel.books.get(symbol)

    @property
    def symbols(self) -> list[str]:
        """All symbols of which something was sent so far."""
        self.settle(None)
        return list(self._run.kernel.books)


def has_touch(book: SymbolBook | None) -> bool:
    """Say whether a book can be shown: it stands at an update, and both sides have levels."""
    if book is None or book.book_update_id is None or book.sync.state is BookState.BUFFERING:
        return False
    return bool(book.book.n_bids and book.book.n_asks)
