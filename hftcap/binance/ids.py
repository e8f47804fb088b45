"""Ids that rise by one per event: which have been seen, which are missing."""

from bisect import bisect_right
from typing import Self

HOLES_KEPT = 65_536
"""Holes remembered so that a late id can fill one. Beyond it, an id that comes late counts as seen before."""


class SeenIds:
    """The ids of one numbering. `missing` is how many between the first and the last were never seen."""

    __slots__ = ("_ends", "_starts", "first", "last", "missing")

    def __init__(self) -> None:
        self.first: int | None = None
        self.last = -1
        self.missing = 0
        self._starts: list[int] = []
        self._ends: list[int] = []

    def take(self, number: int) -> bool:
        """Take an id; return whether it is seen for the first time."""
        last = self.last
        if number == last + 1 and self.first is not None:
            self.last = number
            return True
        if self.first is None:
            self.first = self.last = number
            return True
        if number > last:
            self.missing += number - last - 1
            if len(self._starts) < HOLES_KEPT:
                self._starts.append(last + 1)
                self._ends.append(number - 1)
            self.last = number
            return True
        if number < self.first:
            self._before_first(number, self.first)
            return True
        return self._filled(number)

    def run_on(self, last: int) -> None:
        """Take all ids up to `last`, each one more than the one before it."""
        self.last = last

    def dump(self) -> tuple[int | None, int, int, list[int], list[int]]:
        """Return all there is to know, to be taken up by `load`."""
        return self.first, self.last, self.missing, self._starts, self._ends

    @classmethod
    def load(cls, first: int | None, last: int, missing: int, starts: list[int], ends: list[int]) -> Self:
        """Return what `dump` returned."""
        seen = cls()
        seen.first, seen.last, seen.missing = first, last, missing
        seen._starts, seen._ends = list(starts), list(ends)
        return seen

    def _before_first(self, number: int, first: int) -> None:
        if number + 1 < first and len(self._starts) < HOLES_KEPT:
            self._starts.insert(0, number + 1)
            self._ends.insert(0, first - 1)
        self.missing += first - number - 1
        self.first = number

    def _filled(self, number: int) -> bool:
        """Say whether an id that comes late was missing, and take it out of its hole."""
        at = bisect_right(self._starts, number) - 1
        if at < 0 or number > self._ends[at]:
            return False
        start, end = self._starts.pop(at), self._ends.pop(at)
        for begin, finish in ((number + 1, end), (start, number - 1)):
            if begin <= finish and len(self._starts) < HOLES_KEPT:
                self._starts.insert(at, begin)
                self._ends.insert(at, finish)
        self.missing -= 1
        return True
