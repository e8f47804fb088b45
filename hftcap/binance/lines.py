"""Redundant connections of one feed as one: what is new, what another line brought first, what is to be waited for.

A *line* is one connection. Two lines carry the same events, each in order, at times of their own; an event counts when
it first arrives. What makes two events the same is the venue's numbering, never equality of bytes:

    prints       the id, one more each time; one that comes late fills the hole it left
    bookTicker   the update id, rising but not dense: nothing that is not newer counts
    diffs        the update ids: see `DiffMerge`
    the rest     no numbering: the payload itself, seen within the last few of its stream, from another line

Source: protocol notes, section 6.5.
"""

from collections import deque
from collections.abc import Callable, Mapping
from enum import IntEnum
from hashlib import blake2b
from typing import Self

from hftcap.binance.ids import SeenIds
from hftcap.binance.messages import DepthDiff

HOLD_NS = 1_000_000_000
"""How long a diff waits for one that another line may still bring, in receive time."""
HELD_KEPT = 1_024
LINE_ALIVE_NS = 60_000_000_000
"""A line that has brought nothing for so long is not waited for."""
CONTENT_KEPT = 64

Origin = tuple[str, int, int, int]
"""Where a payload is: capture id, block sequence, record in it; and when it was received, wall clock ns."""
NOWHERE: Origin = ("", -1, -1, 0)
"""The origin of a message that is in no capture."""


class Arrival(IntEnum):
    """What an event is to the feed merged from all lines."""

    FIRST = 0
    COPY = 1
    """Another line brought it before."""
    REPEAT = 2
    """Its own line brought it, or a newer one, before."""


class PrintMerge:
    """The prints of one symbol and numbering."""

    __slots__ = ("_latest", "_seen")

    def __init__(self) -> None:
        self._seen = SeenIds()
        self._latest: dict[int, int] = {}

    def take(self, line: int, number: int) -> Arrival:
        """Take the id of a print."""
        seen = self._seen
        if number == seen.last + 1 and seen.first is not None:
            seen.last = number
            self._latest[line] = number
            return Arrival.FIRST
        new = seen.take(number)
        latest = self._latest.get(line, -1)
        if number > latest:
            self._latest[line] = number
        if new:
            return Arrival.FIRST
        return Arrival.COPY if number > latest else Arrival.REPEAT

    def dump(self) -> tuple[tuple[int | None, int, int, list[int], list[int]], dict[int, int]]:
        """Return all there is to know, to be taken up by `load`."""
        return self._seen.dump(), dict(self._latest)

    @classmethod
    def load(cls, seen: tuple[int | None, int, int, list[int], list[int]], latest: dict[int, int]) -> Self:
        """Return what `dump` returned."""
        merge = cls()
        merge._seen, merge._latest = SeenIds.load(*seen), dict(latest)
        return merge


class QuoteMerge:
    """The bookTickers of one symbol."""

    __slots__ = ("latest", "newest_id")

    def __init__(self, newest_id: int = -1, latest: dict[int, int] | None = None) -> None:
        self.newest_id = newest_id
        self.latest = latest or {}

    def take(self, line: int, update_id: int) -> Arrival:
        """Take the update id of a bookTicker."""
        if update_id > self.newest_id:
            self.newest_id = self.latest[line] = update_id
            return Arrival.FIRST
        if update_id > self.latest.get(line, -1):
            self.latest[line] = update_id
            return Arrival.COPY
        return Arrival.REPEAT


class ContentMerge:
    """One stream whose events have no numbering. Only another line makes a copy of an equal payload."""

    __slots__ = ("_lines", "_order")

    def __init__(self) -> None:
        self._order: deque[bytes] = deque()
        self._lines: dict[bytes, list[int]] = {}

    def take(self, line: int, payload: bytes) -> Arrival:
        """Take a payload."""
        digest = blake2b(payload, digest_size=8).digest()
        brought = self._lines.get(digest)
        if brought is None:
            self._lines[digest] = [line]
            self._order.append(digest)
            if len(self._order) > CONTENT_KEPT:
                del self._lines[self._order.popleft()]
            return Arrival.FIRST
        if line in brought:
            return Arrival.FIRST  # one line may well say the same twice: a quiet minute's candle
        brought.append(line)
        return Arrival.COPY

    def dump(self) -> list[tuple[bytes, list[int]]]:
        """Return all there is to know, to be taken up by `load`."""
        return [(digest, self._lines[digest]) for digest in self._order]

    @classmethod
    def load(cls, kept: list[tuple[bytes, list[int]]]) -> Self:
        """Return what `dump` returned."""
        merge = cls()
        merge._order.extend(digest for digest, _ in kept)
        merge._lines = {digest: list(lines) for digest, lines in kept}
        return merge


Held = tuple[DepthDiff, Origin, int]
"""A diff that waits, where it is from, and the receive time it came at."""


class DiffMerge:
    """The diffs of one symbol over several lines: which go to the book, in which order.

    A diff that continues the feed goes at once, whichever line it came on; quantities are absolute, so the overlap of
    lines whose diffs have other borders does no harm. One that is wholly behind the feed is a copy. One that is ahead
    leaves a hole that another line may fill: it is held until a line does, or none can any more, because every line
    that is alive stands behind the hole, or because it was held for `HOLD_NS`. Then it goes, and the hole is a gap.

    Receive times are of the recording host's wall clock; a step of it ends the wait early, and nothing else. `closed`
    has, by line, when it is known to have been closed; others may add to it.
    """

    __slots__ = ("_alive", "_closed", "_held", "_latest")

    def __init__(self, closed: Mapping[int, int] | None = None) -> None:
        self._closed = {} if closed is None else closed
        self._latest: dict[int, int] = {}
        self._alive: dict[int, int] = {}
        self._held: list[Held] = []

    def take(
        self,
        line: int,
        diff: DepthDiff,
        origin: Origin,
        feed_id: int | None,
        follows: Callable[[DepthDiff, int], bool],
    ) -> tuple[Arrival, list[tuple[DepthDiff, Origin]]]:
        """Take a diff; return what it is to the feed, and the diffs that are due now, in order.

        `feed_id` is where the feed stands, `follows` says whether a diff continues a feed that stands at an id.
        """
        final, now_ns = diff.final_update_id, origin[3]
        latest = self._latest.get(line)
        rises = latest is None or final > latest
        if rises:
            self._latest[line] = final
        self._alive[line] = now_ns
        seen = Arrival.COPY if rises else Arrival.REPEAT
        due: list[tuple[DepthDiff, Origin]] = []
        arrival = Arrival.FIRST
        if feed_id is not None and final <= feed_id:
            arrival = seen
            if arrival is Arrival.REPEAT:
                return arrival, [(diff, origin)]  # stale, as it would be on one line
        elif feed_id is None or follows(diff, feed_id):
            due.append((diff, origin))
            feed_id = final
        elif any(held.final_update_id == final for held, _, _ in self._held):
            arrival = seen
        else:
            self._held.append((diff, origin, now_ns))
            self._held.sort(key=_by_final)
        if feed_id is not None:
            self._release(due, feed_id, now_ns, follows)
        return arrival, due

    def finish(self) -> list[tuple[DepthDiff, Origin]]:
        """Say that nothing more comes: return what is held."""
        held, self._held = self._held, []
        return [(diff, origin) for diff, origin, _ in held]

    def _release(
        self,
        due: list[tuple[DepthDiff, Origin]],
        feed_id: int,
        now_ns: int,
        follows: Callable[[DepthDiff, int], bool],
    ) -> None:
        held = self._held
        while held:
            diff, origin, since_ns = held[0]
            if diff.final_update_id > feed_id:
                waited = abs(now_ns - since_ns) >= HOLD_NS or len(held) > HELD_KEPT
                if not (follows(diff, feed_id) or waited or self._hopeless(feed_id, now_ns)):
                    return
                due.append((diff, origin))
                feed_id = diff.final_update_id
            held.pop(0)

    def _hopeless(self, feed_id: int, now_ns: int) -> bool:
        """Say whether every line that is alive has passed the hole behind `feed_id`."""
        return all(
            self._latest[line] > feed_id
            or now_ns - seen_ns > LINE_ALIVE_NS
            or now_ns >= self._closed.get(line, now_ns + 1)
            for line, seen_ns in self._alive.items()
        )

    def dump(self) -> tuple[dict[int, int], dict[int, int], list[Held]]:
        """Return all there is to know, to be taken up by `load`."""
        return dict(self._latest), dict(self._alive), list(self._held)

    @classmethod
    def load(
        cls,
        latest: dict[int, int],
        alive: dict[int, int],
        held: list[Held],
        closed: Mapping[int, int] | None = None,
    ) -> Self:
        """Return what `dump` returned."""
        merge = cls(closed)
        merge._latest, merge._alive = dict(latest), dict(alive)
        merge._held = [(diff, (origin[0], origin[1], origin[2], origin[3]), since) for diff, origin, since in held]
        return merge

    @classmethod
    def of_one_line(cls, line: int, feed_id: int | None, now_ns: int, closed: Mapping[int, int] | None = None) -> Self:
        """Return a merge that has so far had one line, which stands at `feed_id`."""
        merge = cls(closed)
        if feed_id is not None:
            merge._latest[line] = feed_id
            merge._alive[line] = now_ns
        return merge


def _by_final(held: Held) -> int:
    return held[0].final_update_id
