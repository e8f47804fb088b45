"""One symbol's book as the feed goes by: joining, levels, the bookTicker check, and the counts of all three."""

from hftcap.binance.depth_sync import BookState, Change, DepthSync, Outcome
from hftcap.binance.messages import BookTicker, DepthDiff, RestDepth
from hftcap.book.check import TouchCheck
from hftcap.book.levels import Levels
from hftcap.fixed import INT64_MAX


class SymbolBook:
    """The state of one symbol. Counts: `updates` and `levels` are of all updates, stale ones included.

    `first_update_id` and `final_update_id` are the feed's; `book_update_id` is the id the book stands at.
    `borders` are the lowest bid and highest ask of the snapshot the book was joined with. `crossed` counts states
    after an update in which the best bid was at or above the best ask.
    """

    __slots__ = (
        "book",
        "book_update_id",
        "borders",
        "check",
        "crossed",
        "first_update_id",
        "levels",
        "removals",
        "snapshots",
        "sync",
        "updates",
    )

    def __init__(self, *, futures: bool, expects_snapshot: bool) -> None:
        self.sync = DepthSync(futures=futures, expects_snapshot=expects_snapshot)
        self.book = Levels()
        self.check = TouchCheck()
        self.updates = 0
        self.levels = 0
        self.removals = 0
        self.snapshots = 0
        self.crossed = 0
        self.first_update_id: int | None = None
        self.book_update_id: int | None = None
        self.borders: tuple[int, int] | None = None

    @property
    def beyond_snapshot(self) -> int:
        """Number of levels outside the snapshot's borders: real, but others may exist there that never changed."""
        return 0 if self.borders is None else self.book.beyond(*self.borders)

    @property
    def has_depth(self) -> bool:
        """Whether any update or snapshot of this symbol has been seen."""
        return self.updates > 0 or self.snapshots > 0

    def diff(self, diff: DepthDiff) -> tuple[Outcome, int]:
        """Take an update; return its outcome, and how many of its levels are removals."""
        removals = sum([not size for _, size in diff.bids]) + sum([not size for _, size in diff.asks])
        self.updates += 1
        self.levels += diff.levels
        self.removals += removals
        if self.first_update_id is None:
            self.first_update_id = diff.first_update_id
        outcome = self.sync.update(diff)
        for change in outcome.changes:
            self._apply(change)
        return outcome, removals

    def snapshot(self, snapshot: RestDepth) -> Outcome:
        """Take a REST snapshot; return what it was to the book."""
        self.snapshots += 1
        outcome = self.sync.snapshot(snapshot)
        for change in outcome.changes:
            self._apply(change)
        return outcome

    def quote(self, quote: BookTicker) -> None:
        """Take a bookTicker, to be held against the book once that reaches its update id."""
        self.check.quoted(quote.update_id, (quote.bid_px_e8, quote.bid_sz_e8, quote.ask_px_e8, quote.ask_sz_e8))

    def finish(self) -> None:
        """Say that the feed is over: settle comparisons that waited for a later quote."""
        self.check.finish()

    def _apply(self, change: Change) -> None:
        self.book_update_id = change.final_update_id
        if change.reset:
            self.book = Levels(change.bids, change.asks)
            lowest = min((price for price, _ in change.bids), default=0)
            highest = max((price for price, _ in change.asks), default=INT64_MAX)
            self.borders = lowest, highest
            return
        self.book.apply(change.bids, change.asks)
        touch = self.book.touch()
        self.crossed += touch[0] >= touch[2]
        if self.sync.state is BookState.SYNCED:
            self.check.advanced(change.final_update_id, touch)
