"""One symbol's book as the feed goes by: joining, levels, the bookTicker check, and the counts of all three."""

from hftcap.binance.depth_sync import BookState, Change, DepthSync, Verdict
from hftcap.binance.messages import BookTicker, DepthDiff, RestDepth
from hftcap.book.check import TouchCheck
from hftcap.book.levels import Levels

NOT_CHECKED, CHECKED, AGREED = 0, 1, 2


class SymbolBook:
    """The state of one symbol. Counts: `updates` and `levels` are of all updates, stale ones included.

    `first_update_id` and `final_update_id` are the feed's; `book_update_id` is the id the book stands at.
    `crossed` counts states after an update in which the best bid was at or above the best ask.
    """

    __slots__ = (
        "book",
        "book_update_id",
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

    @property
    def has_depth(self) -> bool:
        """Whether any update or snapshot of this symbol has been seen."""
        return self.updates > 0 or self.snapshots > 0

    def diff(self, diff: DepthDiff) -> tuple[Verdict, int, int]:
        """Take an update; return its verdict, how many of its levels are removals, and the check's result."""
        removals = sum([not size for _, size in diff.bids]) + sum([not size for _, size in diff.asks])
        self.updates += 1
        self.levels += diff.levels
        self.removals += removals
        if self.first_update_id is None:
            self.first_update_id = diff.first_update_id
        outcome = self.sync.update(diff)
        checked = NOT_CHECKED
        for change in outcome.changes:
            checked = self._apply(change)
        return outcome.verdict, removals, checked

    def snapshot(self, snapshot: RestDepth) -> Verdict:
        """Take a REST snapshot; return what it was to the book."""
        self.snapshots += 1
        outcome = self.sync.snapshot(snapshot)
        for change in outcome.changes:
            self._apply(change)
        return outcome.verdict

    def quote(self, quote: BookTicker) -> None:
        """Take a bookTicker, to be held against the book once that reaches its update id."""
        self.check.quoted(quote.update_id, (quote.bid_px_e8, quote.bid_sz_e8, quote.ask_px_e8, quote.ask_sz_e8))

    def _apply(self, change: Change) -> int:
        self.book_update_id = change.final_update_id
        if change.reset:
            self.book = Levels(change.bids, change.asks)
            return NOT_CHECKED
        self.book.apply(change.bids, change.asks)
        touch = self.book.touch()
        self.crossed += touch[0] >= touch[2]
        trusted = self.sync.state is BookState.SYNCED
        agree = self.check.advanced(change.final_update_id, touch if trusted else None)
        if agree is None:
            return NOT_CHECKED
        return AGREED if agree else CHECKED
