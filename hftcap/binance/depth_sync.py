"""Join a REST snapshot to the diff stream of one symbol: a pure state machine, spot and futures.

Two judgements are kept apart.

Continuity of the feed. With `p` the last accepted update id, kept in every state, an update is STALE where
`u <= p`; it continues the feed where spot `U <= p + 1` or futures `pu <= p`; otherwise a GAP lies before it. Either
way but the first, `p` becomes `u`. Snapshots do not move `p`.

State of the book.

    PARTIAL     no snapshot so far and none is waited for: diffs are applied from an empty book
    BUFFERING   a snapshot is expected and none has joined: no levels
    SYNCED      a snapshot joined and no update has been missed since
    GAP         an update was missed after joining: diffs are still applied, not to be trusted

    PARTIAL, BUFFERING, GAP  --snapshot that joins--> SYNCED          SYNCED --gap--> GAP
    PARTIAL, BUFFERING, GAP  --gap--> the same, what was buffered before it is dropped

A snapshot with id L joins where it is not older than the buffer of updates kept since the last gap. Joining sets
the book to the snapshot and applies the buffered updates behind it: on spot those with `u > L`, the first of which
must have `U <= L + 1`; on futures those with `u >= L`, the first of which must have `U <= L` or `pu <= L`. A snapshot
ahead of the whole buffer joins at once, and the next update is held to the same rule. L = -1 is the snapshot of a
symbol without history: the feed's first update follows it, none once updates are missing. A later snapshot while
SYNCED changes nothing.

Source: binance-spot-api-docs a5e0bc3, web-socket-streams.md, "How to manage a local order book correctly", with the
edges of protocol notes 6.1 to 6.3; tardis-node for `pu == L`.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import Self

import msgspec

from hftcap.binance.lines import NOWHERE, Origin
from hftcap.binance.messages import DepthDiff, Level, RestDepth

EVENTS_KEPT = 4_096
LEVELS_KEPT = 24_576


class BookState(StrEnum):
    """How far a rebuilt book is to be believed."""

    PARTIAL = "partial"
    BUFFERING = "buffering"
    SYNCED = "synced"
    GAP = "gap"


class Verdict(Enum):
    """What an update or a snapshot is to the feed and the book."""

    STALE = "stale"
    FOLLOWS = "follows"
    GAP = "gap"
    JOINS = "joins"
    TOO_OLD = "too old"
    COMPARED = "compared"
    COPY = "copy"
    """Another line brought it before; never said of a single line."""
    HELD = "held"
    """It leaves a hole that another line may fill, and waits for that; never said of a single line."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """Levels to apply to the book, the update id they end at, and the message they are from.

    `reset` says that the book is to be emptied first: the levels are a snapshot's. `origin` is where the message
    stands, as it was handed in with it; it may be an earlier one than the message that led to the change.
    """

    bids: Sequence[Level]
    asks: Sequence[Level]
    final_update_id: int
    event: DepthDiff | RestDepth
    origin: Origin
    reset: bool = False


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The verdict, and what to do to the book, in order."""

    verdict: Verdict
    changes: tuple[Change, ...] = ()


_STALE = Outcome(Verdict.STALE)
_COMPARED = Outcome(Verdict.COMPARED)
_TOO_OLD = Outcome(Verdict.TOO_OLD)


class DepthSync:
    """The state of one symbol's book.

    `futures` picks the rule; `expects_snapshot` says whether one was asked for (a recording) or none may ever come
    (an import). Updates kept for joining are bounded by number and by levels; at the bound the oldest go, so a
    snapshot as old as those no longer joins.
    """

    __slots__ = (
        "_buffer",
        "_buffered_levels",
        "_missed",
        "_snapshot_id",
        "feed_id",
        "futures",
        "gaps",
        "stale",
        "state",
    )

    def __init__(self, *, futures: bool, expects_snapshot: bool) -> None:
        self.futures = futures
        self.state = BookState.BUFFERING if expects_snapshot else BookState.PARTIAL
        self.feed_id: int | None = None
        self.gaps = 0
        self.stale = 0
        self._buffer: deque[tuple[DepthDiff, Origin]] = deque()
        self._buffered_levels = 0
        self._missed = False  # set once an update was lost, or has left the buffer without having been joined
        self._snapshot_id: int | None = None  # set until the first update behind a snapshot has been accepted

    def update(self, diff: DepthDiff, origin: Origin = NOWHERE) -> Outcome:
        """Take one update of the feed, and where it stands."""
        final = diff.final_update_id
        feed_id = self.feed_id
        if feed_id is not None and final <= feed_id:
            self.stale += 1
            return _STALE
        follows = feed_id is None or self.follows(diff, feed_id)
        self.feed_id = final
        if not follows:
            self.gaps += 1
            self._missed = True
            self._forget()
        verdict = Verdict.FOLLOWS if follows else Verdict.GAP
        if self.state is BookState.SYNCED:
            return self._update_synced(diff, origin, verdict)
        self._keep(diff, origin)
        if self.state is BookState.BUFFERING:
            return Outcome(verdict)
        return Outcome(verdict, (Change(diff.bids, diff.asks, final, diff, origin),))

    def _update_synced(self, diff: DepthDiff, origin: Origin, verdict: Verdict) -> Outcome:
        change = Change(diff.bids, diff.asks, diff.final_update_id, diff, origin)
        snapshot_id = self._snapshot_id
        if snapshot_id is not None:
            if self._behind(diff, snapshot_id):
                return Outcome(verdict)
            if self._anchors(diff, snapshot_id):
                # The snapshot was ahead of the feed, so a hole in the feed before this update is filled by it.
                self._snapshot_id = None
                return Outcome(verdict, (change,))
            self._snapshot_id = None
            self.state = BookState.GAP
        elif verdict is Verdict.GAP:
            self.state = BookState.GAP
        if self.state is BookState.GAP:
            self._keep(diff, origin)
        return Outcome(verdict, (change,))

    def snapshot(self, snapshot: RestDepth, origin: Origin = NOWHERE) -> Outcome:
        """Take a REST snapshot; TOO_OLD means another is needed, and that the buffer was kept for it."""
        if self.state is BookState.SYNCED:
            return _COMPARED
        at = snapshot.update_id
        following = [kept for kept in self._buffer if not self._behind(kept[0], at)]
        if following and not self._anchors(following[0][0], at):
            return _TOO_OLD
        self.state = BookState.SYNCED
        self._snapshot_id = None if following else at
        self._forget()
        changes = [Change(snapshot.bids, snapshot.asks, at, snapshot, origin, reset=True)]
        changes += (Change(diff.bids, diff.asks, diff.final_update_id, diff, origin) for diff, origin in following)
        return Outcome(Verdict.JOINS, tuple(changes))

    def dump(self) -> tuple[int | None, int | None, bool, list[tuple[DepthDiff, Origin]]]:
        """Return the last id of the feed, the snapshot id yet to be followed, whether any was missed, the buffer."""
        return self.feed_id, self._snapshot_id, self._missed, list(self._buffer)

    @classmethod
    def load(
        cls,
        futures: bool,
        state: BookState,
        feed_id: int | None,
        snapshot_id: int | None,
        missed: bool,
        buffer: list[tuple[DepthDiff, Origin]],
    ) -> Self:
        """Return a machine that goes on from what `dump` returned, its counts at 0."""
        sync = cls(futures=futures, expects_snapshot=False)
        sync.state, sync.feed_id, sync._snapshot_id = state, feed_id, snapshot_id
        for diff, origin in buffer:
            sync._keep(diff, origin)
        sync._missed = missed
        return sync

    def follows(self, diff: DepthDiff, feed_id: int) -> bool:
        """Say whether an update continues a feed whose last id is `feed_id`."""
        if self.futures and diff.prev_final_update_id is not None:
            return diff.prev_final_update_id <= feed_id
        return diff.first_update_id <= feed_id + 1

    def _behind(self, diff: DepthDiff, snapshot_id: int) -> bool:
        """Say whether a snapshot already holds all of an update."""
        return diff.final_update_id < snapshot_id if self.futures else diff.final_update_id <= snapshot_id

    def _anchors(self, diff: DepthDiff, snapshot_id: int) -> bool:
        """Say whether an update that is not behind a snapshot may be the first one applied to it."""
        if snapshot_id == -1:
            return not self._missed
        if not self.futures:
            return diff.first_update_id <= snapshot_id + 1
        previous = diff.prev_final_update_id
        return diff.first_update_id <= snapshot_id or (previous is not None and previous <= snapshot_id)

    def _keep(self, diff: DepthDiff, origin: Origin) -> None:
        self._buffer.append((diff, origin))
        self._buffered_levels += diff.levels
        while len(self._buffer) > EVENTS_KEPT or (self._buffered_levels > LEVELS_KEPT and len(self._buffer) > 1):
            self._buffered_levels -= self._buffer.popleft()[0].levels
            self._missed = True

    def _forget(self) -> None:
        self._buffer.clear()
        self._buffered_levels = 0
