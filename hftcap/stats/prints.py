"""Trades of one symbol and one numbering: which ids are missing, how much was traded."""

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

HOLES_KEPT = 65_536
"""Holes remembered so that a late print can fill one. Beyond it, an id that comes late counts as a duplicate."""


class PrintCount:
    """Count prints whose ids rise by one per symbol; a hole in the ids is a loss.

    `missing` is how many ids between the first and the last were never seen; `duplicates` how many were seen again.
    `size_e8` is the exact sum of all sizes, whatever their number.
    """

    def __init__(self) -> None:
        self.n = 0
        self.first_id: int | None = None
        self.last_id: int | None = None
        self.missing = 0
        self.duplicates = 0
        self.size_e8 = 0
        self.buyer_is_maker = 0
        self.off_market = 0
        self._hole_starts: list[int] = []
        self._hole_ends: list[int] = []

    def add(
        self, ids: NDArray[np.int64], size_e8: NDArray[np.int64], sold: NDArray[np.bool_], market: NDArray[np.bool_]
    ) -> None:
        """Take prints in arrival order: ids, sizes, whether the taker sold, whether it is a print of the market."""
        if not len(ids):
            return
        self.n += len(ids)
        # Halves, because a block's sizes may add up to more than 64 bits.
        self.size_e8 += (int((size_e8 >> 32).sum()) << 32) + int((size_e8 & 0xFFFFFFFF).sum())
        self.buyer_is_maker += int(sold.sum())
        self.off_market += int((~market).sum())
        if self.last_id is None:
            self.first_id = int(ids[0])
            self.last_id = self.first_id - 1
        if int(ids[0]) == self.last_id + 1 and (np.diff(ids) == 1).all():
            self.last_id = int(ids[-1])
            return
        for number in ids.tolist():
            self._follow(number)

    def _follow(self, number: int) -> None:
        assert self.first_id is not None and self.last_id is not None  # noqa: S101  set by add
        if number > self.last_id:
            if number > self.last_id + 1:
                self.missing += number - self.last_id - 1
                if len(self._hole_starts) < HOLES_KEPT:
                    self._hole_starts.append(self.last_id + 1)
                    self._hole_ends.append(number - 1)
            self.last_id = number
        elif number < self.first_id:
            self._before_first(number)
        elif not self._filled(number):
            self.duplicates += 1

    def _before_first(self, number: int) -> None:
        assert self.first_id is not None  # noqa: S101  set by add
        if number + 1 < self.first_id and len(self._hole_starts) < HOLES_KEPT:
            self._hole_starts.insert(0, number + 1)
            self._hole_ends.insert(0, self.first_id - 1)
        self.missing += self.first_id - number - 1
        self.first_id = number

    def _filled(self, number: int) -> bool:
        """Say whether an id that comes late was missing, and take it out of its hole."""
        at = bisect_right(self._hole_starts, number) - 1
        if at < 0 or number > self._hole_ends[at]:
            return False
        start, end = self._hole_starts.pop(at), self._hole_ends.pop(at)
        for begin, finish in ((number + 1, end), (start, number - 1)):
            if begin <= finish and len(self._hole_starts) < HOLES_KEPT:
                self._hole_starts.insert(at, begin)
                self._hole_ends.insert(at, finish)
        self.missing -= 1
        return True
