"""Hold a rebuilt book against the venue's own bookTicker.

Depth and bookTicker share one space of update ids. After a diff that ends at id u, the touch must equal the
bookTicker with the greatest update id at or below u. Which one that is, is known once a bookTicker at or beyond u has
been seen: most arrive before the diff, some behind it, so a comparison may have to wait for the next quote. Single
mismatches are possible (a change of the touch for which the venue sent no bookTicker), so they are counted, not acted
on.

Source: protocol notes, section 6.6 (spot 159/159, USD-M 744/744, COIN-M 1,785/1,788 equal on real captures).
"""

from collections import deque
from typing import Self

Touch = tuple[int, int, int, int]
"""Best bid price and size, best ask price and size, scaled by 1e8."""

WAITING_MAX = 4_096
"""Quotes kept beyond the last diff, and diffs kept for the next quote. At the bound the oldest go unchecked: the check
misses comparisons, it never fakes one."""


class TouchCheck:
    """Count how often book and bookTicker agree, for one symbol."""

    __slots__ = ("_latest", "_newest_id", "_quotes", "_touches", "checked", "equal")

    def __init__(self) -> None:
        self.checked = 0
        self.equal = 0
        self._latest: Touch | None = None
        self._newest_id = -1
        self._quotes: deque[tuple[int, Touch]] = deque()
        self._touches: deque[tuple[int, Touch]] = deque()

    def quoted(self, update_id: int, touch: Touch) -> None:
        """Take a bookTicker; one that is not newer than those before (a redundant line) is ignored."""
        if update_id <= self._newest_id:
            return
        while self._touches and self._touches[0][0] < update_id:
            self._compare(*self._touches.popleft())
        self._newest_id = update_id
        if len(self._quotes) >= WAITING_MAX:
            # A diff that ends between the quotes dropped here and the next one has nothing to be held against.
            self._quotes.clear()
            self._latest = None
        self._quotes.append((update_id, touch))
        while self._touches and self._touches[0][0] == update_id:
            self._compare(*self._touches.popleft())

    def advanced(self, update_id: int, touch: Touch) -> None:
        """Take the touch after the diff that ends at `update_id`, of a book that is to be trusted."""
        if update_id <= self._newest_id:
            self._compare(update_id, touch)
            return
        if len(self._touches) >= WAITING_MAX:
            self._touches.popleft()
        self._touches.append((update_id, touch))

    def dump(self) -> tuple[Touch | None, int, list[tuple[int, Touch]], list[tuple[int, Touch]]]:
        """Return what is under way: the latest quote, the newest id, quotes and touches that wait."""
        return self._latest, self._newest_id, list(self._quotes), list(self._touches)

    @classmethod
    def load(
        cls, latest: Touch | None, newest_id: int, quotes: list[tuple[int, Touch]], touches: list[tuple[int, Touch]]
    ) -> Self:
        """Return a check that goes on from what `dump` returned, its counts at 0."""
        check = cls()
        check._latest, check._newest_id = latest, newest_id
        check._quotes.extend(quotes)
        check._touches.extend(touches)
        return check

    def finish(self) -> None:
        """Say that no more quotes follow: compare what waited for one with the latest there is."""
        while self._touches:
            self._compare(*self._touches.popleft())

    def _compare(self, update_id: int, touch: Touch) -> None:
        quotes = self._quotes
        while quotes and quotes[0][0] <= update_id:
            self._latest = quotes.popleft()[1]
        if self._latest is not None:
            self.checked += 1
            self.equal += self._latest == touch
