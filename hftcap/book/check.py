"""Hold a rebuilt book against the venue's own bookTicker.

Depth and bookTicker share one space of update ids. After a diff that ends at id u, the touch must equal the
bookTicker with the greatest update id at or below u. A bookTicker beyond u is newer than the book and waits: it
normally arrives before the diff that contains its id. Single mismatches are possible (a change of the touch for
which the venue sent no bookTicker, or a late one), so they are counted, not acted on.

Source: protocol notes, section 6.6 (spot 159/159, USD-M 744/744, COIN-M 1,785/1,788 equal on real captures).
"""

from collections import deque

Touch = tuple[int, int, int, int]
"""Best bid price and size, best ask price and size, scaled by 1e8."""

WAITING_MAX = 4_096
"""Quotes kept beyond the last diff. At the bound the check starts over: it misses comparisons, it never fakes one."""


class TouchCheck:
    """Count how often book and bookTicker agree, for one symbol."""

    __slots__ = ("_latest", "_newest_id", "_waiting", "checked", "equal")

    def __init__(self) -> None:
        self.checked = 0
        self.equal = 0
        self._latest: Touch | None = None
        self._newest_id = -1
        self._waiting: deque[tuple[int, Touch]] = deque()

    def quoted(self, update_id: int, touch: Touch) -> None:
        """Take a bookTicker; one that is not newer than those before (a redundant line) is ignored."""
        if update_id <= self._newest_id:
            return
        self._newest_id = update_id
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.clear()
            self._latest = None
        self._waiting.append((update_id, touch))

    def advanced(self, update_id: int, touch: Touch | None) -> bool | None:
        """Take the touch after the diff that ends at `update_id`; None means that the book is not to be trusted.

        Returns whether they agree, None where there was nothing to compare.
        """
        waiting = self._waiting
        while waiting and waiting[0][0] <= update_id:
            self._latest = waiting.popleft()[1]
        if touch is None or self._latest is None:
            return None
        self.checked += 1
        agree = self._latest == touch
        self.equal += agree
        return agree
