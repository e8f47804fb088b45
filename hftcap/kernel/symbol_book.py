"""One symbol's book as the feed goes by: joining, levels, the bookTicker check, and the counts of all three."""

from collections.abc import Mapping

from hftcap.binance.depth_sync import BookState, Change, DepthSync, Verdict
from hftcap.binance.lines import NOWHERE, Arrival, DiffMerge, Origin
from hftcap.binance.messages import BookTicker, DepthDiff, RestDepth
from hftcap.book.check import TouchCheck
from hftcap.book.levels import Levels
from hftcap.fixed import INT64_MAX
from hftcap.kernel.changes import ChangeLog

_NO_LINE = -1

Taken = tuple[Verdict, int | None, Arrival]
"""What a diff was to the feed, the update id the book came to stand at because of it, and whether it was a copy."""


class SymbolBook:
    """The state of one symbol. Counts: `updates` and `levels` are of all updates, stale ones included.

    `first_update_id` and `final_update_id` are the feed's; `book_update_id` is the id the book stands at.
    `borders` are the lowest bid and highest ask of the snapshot the book was joined with. `crossed` counts states
    after an update in which the best bid was at or above the best ask. What redundant lines bring twice counts once.

    `line` is the connection the diffs came over so far, `lines` what merges them once there is a second, and `feed_ns`
    the receive time of the last accepted update; `closed` says when lines were closed. With a `log`, what changes the
    book is written there.
    """

    __slots__ = (
        "_closed",
        "book",
        "book_update_id",
        "borders",
        "check",
        "crossed",
        "feed_ns",
        "first_update_id",
        "levels",
        "line",
        "lines",
        "removals",
        "snapshots",
        "sync",
        "updates",
    )

    def __init__(self, *, futures: bool, expects_snapshot: bool, closed: Mapping[int, int] | None = None) -> None:
        self._closed = closed
        self.sync = DepthSync(futures=futures, expects_snapshot=expects_snapshot)
        self.book = Levels()
        self.check = TouchCheck()
        self.line = _NO_LINE
        self.lines: DiffMerge | None = None
        self.feed_ns = 0
        self.book_update_id: int | None = None
        self.borders: tuple[int, int] | None = None
        self.restart_counts()

    def restart_counts(self) -> None:
        """Set all counts to 0 and forget the first id: the book stays, what is counted begins here."""
        self.updates = 0
        self.levels = 0
        self.removals = 0
        self.snapshots = 0
        self.crossed = 0
        self.first_update_id: int | None = None
        self.sync.gaps = self.sync.stale = 0
        self.check.checked = self.check.equal = 0

    @property
    def beyond_snapshot(self) -> int:
        """Number of levels outside the snapshot's borders: real, but others may exist there that never changed."""
        return 0 if self.borders is None else self.book.beyond(*self.borders)

    @property
    def has_depth(self) -> bool:
        """Whether any update or snapshot of this symbol has been seen."""
        return self.sync.feed_id is not None or self.snapshots > 0 or self.book_update_id is not None

    @property
    def trusted(self) -> bool:
        """Whether the book is what the venue has: a snapshot joined, and no update has been missed since."""
        return self.sync.state is BookState.SYNCED

    def diff(self, diff: DepthDiff, line: int = 0, origin: Origin = NOWHERE, log: ChangeLog | None = None) -> Taken:
        """Take an update that came over `line`; with more than one line it may be a copy, or have to wait."""
        if line != self.line and self.lines is None:
            if self.line == _NO_LINE:
                self.line = line
            else:
                self.lines = DiffMerge.of_one_line(self.line, self.sync.feed_id, self.feed_ns, self._closed)
        if self.lines is None:
            return *self._accept(diff, origin, log), Arrival.FIRST
        return self._merge(self.lines, diff, line, origin, log)

    def _merge(self, lines: DiffMerge, diff: DepthDiff, line: int, origin: Origin, log: ChangeLog | None) -> Taken:
        arrival, due = lines.take(line, diff, origin, self.sync.feed_id, self.sync.follows)
        verdict = Verdict.HELD if arrival is Arrival.FIRST else Verdict.COPY
        book_id: int | None = None
        for each, place in due:
            said, reached = self._accept(each, place, log)
            if each is diff:
                verdict = said
            if reached is not None:
                book_id = reached
        return verdict, book_id, arrival

    def _accept(self, diff: DepthDiff, origin: Origin, log: ChangeLog | None) -> tuple[Verdict, int | None]:
        """Take the next update of the merged feed; return its verdict, and the id the book came to stand at."""
        sync = self.sync
        self.updates += 1
        self.levels += len(diff.bids) + len(diff.asks)
        self.removals += removals_of(diff)
        if self.first_update_id is None:
            self.first_update_id = diff.first_update_id
        last_id, last_ns = sync.feed_id, self.feed_ns
        outcome = sync.update(diff, origin)
        verdict = outcome.verdict
        if verdict is not Verdict.STALE:
            self.feed_ns = origin[3]
            if verdict is Verdict.GAP and log is not None and last_id is not None:
                log.gap(diff, origin, last_id, last_ns)
        for change in outcome.changes:
            self._apply(change, log)
        return verdict, self.book_update_id if outcome.changes else None

    def snapshot(
        self, snapshot: RestDepth, origin: Origin = NOWHERE, log: ChangeLog | None = None
    ) -> tuple[Verdict, int | None]:
        """Take a REST snapshot; return what it was to the book, and the id the book came to stand at because of it."""
        self.snapshots += 1
        outcome = self.sync.snapshot(snapshot, origin)
        for change in outcome.changes:
            self._apply(change, log)
        return outcome.verdict, self.book_update_id if outcome.changes else None

    def quote(self, quote: BookTicker) -> None:
        """Take a bookTicker, to be held against the book once that reaches its update id."""
        self.check.quoted(quote.update_id, (quote.bid_px_e8, quote.bid_sz_e8, quote.ask_px_e8, quote.ask_sz_e8))

    def finish(self, log: ChangeLog | None = None) -> None:
        """Say that the feed is over: take updates that waited for another line, settle comparisons under way."""
        if self.lines is not None:
            for diff, origin in self.lines.finish():
                self._accept(diff, origin, log)
        self.check.finish()

    def _apply(self, change: Change, log: ChangeLog | None) -> None:
        if log is not None:
            log.change(change, self.book, trusted=self.sync.state is BookState.SYNCED)
        self.book_update_id = change.final_update_id
        if change.reset:
            self.book = type(self.book)(change.bids, change.asks)
            lowest = min((price for price, _ in change.bids), default=0)
            highest = max((price for price, _ in change.asks), default=INT64_MAX)
            self.borders = lowest, highest
        else:
            self.book.apply(change.bids, change.asks)
            touch = self.book.touch()
            self.crossed += touch[0] >= touch[2]
            if self.sync.state is BookState.SYNCED:
                self.check.advanced(change.final_update_id, touch)
        if log is not None:
            log.touch(change, self.book, self.sync.state)


def removals_of(diff: DepthDiff) -> int:
    """Count the levels of an update that remove a price."""
    return sum([not size for _, size in diff.bids]) + sum([not size for _, size in diff.asks])
