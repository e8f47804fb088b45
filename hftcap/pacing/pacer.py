"""Hand over records when they are due: sleep, then spin for the last stretch.

    chunks --pieces--> runs of records that are due by now, each with its lateness counted

Whoever consumes slowly makes lateness grow; every record is handed over, in order, whatever happens. Sleeping on the
machine the figures below are from (2 cores of a shared virtual host, Linux 6.18, timer slack 50 us) overshoots by

    asked       20 us … 1 ms       20 ms
    p50         56 … 85 us         163 us
    p99         85 … 125 us        580 us
    max         0.2 … 3 ms         0.8 ms

so the last stretch is as long as the overshoot of a short sleep, and a long sleep ends early enough for a short one.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, compress

import numpy as np
from numpy.typing import NDArray

from hftcap.capture.reader import Chunk
from hftcap.clock import Clock
from hftcap.latency.histogram import Histogram
from hftcap.pacing.timeline import Pace, Schedule

SPIN_NS = 200_000
"""This long before the due time sleeping ends: more than a short sleep overshoots by in 99 of 100 cases."""
SHORT_NS = 1_000_000
"""A long sleep ends this long before the due time, and one of less than this follows."""
SLICE_NS = 40_000_000
"""No sleep is longer, so that a stop is obeyed within this."""
PIECE_RECORDS = 256
"""No piece has more records, so that a backlog is handed over with a fresh time, and a stop obeyed, every so many."""
PIECE_LEAST = 4
"""A piece may have so many in any case, or a consumer with a fixed cost of a millisecond would never catch up."""
PIECE_NS = 1_000_000
"""Nor so many that the consumer needs longer, going by the piece before: all of a piece count as handed over at once,
and this bounds what that leaves out."""

REST_NS = 5_000_000
"""A wait this long is a rest: time for what can wait, as folding the lateness into its histogram, up to 2.5 ms."""
_ASKED_ABOUT = 64
"""Of so many records at a time `counts` is asked: it may parse them, which for a block took up to 20 ms and made all
that was due meanwhile late."""
_UNCOUNTED = 65_536
"""So many values may wait for that (512 KiB); then they are counted between two pieces, and it shows as lateness."""


def _never() -> bool:
    return False


class Pacer:
    """One paced replay over any number of passes.

    `stopped` is asked before each piece and at least every 40 ms; once True, nothing more is handed over. `ready` is
    called, once, before the first record; the pace begins when it returns. `counts` says of each record of a chunk
    whether it is one of those that are wanted: at a fixed rate the others take no time, and their lateness is not
    counted.

    `at_rest` is called in waits of more than REST_NS, for work that takes a few milliseconds and can wait for that.

    `planned_ns` and `actual_ns` are from the beginning to when the last record handed over was due and was handed
    over; pauses are left out. Both are 0 where nothing waits.
    """

    def __init__(
        self,
        pace: Pace,
        clock: Clock,
        *,
        stopped: Callable[[], bool] = _never,
        ready: Callable[[], object] | None = None,
        counts: Callable[[Chunk], NDArray[np.bool_]] | None = None,
    ) -> None:
        self.schedule = Schedule(pace)
        self.planned_ns = 0
        self.actual_ns = 0
        self.at_rest: Callable[[], object] | None = None
        self._clock = clock
        self.stopped = stopped
        self._ready = ready
        self._counts = counts
        self._begun = False
        self._paused_ns: int | None = None
        self._most = PIECE_LEAST  # records that the next piece may have
        self._lateness = Histogram()
        self._uncounted = array("q")

    @property
    def lateness(self) -> Histogram:
        """The lateness of every record handed over so far, nanoseconds, never negative; empty where nothing waits."""
        self._count()
        return self._lateness

    def spent_ns(self) -> int:
        """Return the time since the pace began, pauses left out; 0 before."""
        return self._clock.mono_ns() - self.schedule.begin_ns if self._begun else 0

    def pieces(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Yield the records of one pass when they are due, in order; notes without records pass at once.

        A further pass begins when the plan of the one before ends.
        """
        self.schedule.next_pass()
        for chunk in chain.from_iterable(map(self._parts, chunks)):
            if self.stopped():
                return
            if not chunk.records:
                yield chunk
                continue
            if not self._begun and not self._begin():
                return
            if self._paused_ns is not None:
                self.schedule.hold(self._clock.mono_ns() - self._paused_ns)
                self._paused_ns = None
            if self.schedule.pace.rate is None:
                yield chunk
            else:
                yield from self._paced(chunk)

    def pause(self) -> None:
        """Leave out of the plan what passes from now until the next record is there, as a way through records unseen.

        Before the beginning there is nothing to leave out.
        """
        if self._begun:
            self._paused_ns = self._clock.mono_ns()

    def _begin(self) -> bool:
        if self._ready is not None:
            self._ready()
        self._begun = True
        self.schedule.begin(self._clock.mono_ns())
        return not self.stopped()

    def _parts(self, chunk: Chunk) -> list[Chunk]:
        """Cut a chunk to what is placed at a time."""
        if self._counts is None or self.schedule.pace.rate is None or not chunk.records:
            return [chunk]
        firsts = range(chunk.first, chunk.stop, _ASKED_ABOUT)
        return [replace(chunk, first=first, stop=min(first + _ASKED_ABOUT, chunk.stop)) for first in firsts]

    def _paced(self, chunk: Chunk) -> Iterator[Chunk]:
        schedule = self.schedule
        counted = None if self._counts is None else self._counts(chunk)
        positions = schedule.place(chunk.timeline_ns[chunk.rows], counted)
        # A list: one bisection and one look-up a piece are quicker there than in an array.
        due = schedule.due_ns(positions).tolist()
        at = 0
        while at < len(due):
            now = self._wait(due[at])
            if now is None:
                return
            stop = bisect_right(due, now, at, min(at + self._most, len(due)))
            piece = replace(chunk, first=chunk.first + at, stop=chunk.first + stop)
            handed = self._clock.mono_ns()
            late = [handed - each for each in due[at:stop]]
            self._uncounted.extend(late if counted is None else compress(late, counted[at:stop].tolist()))
            self.planned_ns, self.actual_ns = due[stop - 1] - schedule.begin_ns, handed - schedule.begin_ns
            at = stop
            yield piece
            taken_ns = max(self._clock.mono_ns() - handed, 1)
            self._most = min(max(PIECE_NS * piece.records // taken_ns, PIECE_LEAST), PIECE_RECORDS)

    def _wait(self, due_ns: int) -> int | None:
        """Return the time once `due_ns` is reached, None when told to stop before."""
        clock = self._clock
        if self.stopped():
            return None
        if len(self._uncounted) >= _UNCOUNTED:
            self._count()
        now = clock.mono_ns()
        rested = False
        while (left := due_ns - now) > SPIN_NS:
            if left > REST_NS and self._uncounted:
                self._count()
            elif left > REST_NS and self.at_rest is not None and not rested:
                rested = True
                self.at_rest()
            else:
                clock.sleep(min(left - (SHORT_NS if left > 2 * SHORT_NS else SPIN_NS), SLICE_NS))
            if self.stopped():
                return None
            now = clock.mono_ns()
        while now < due_ns:
            now = clock.mono_ns()
        return now

    def _count(self) -> None:
        if self._uncounted:
            self._lateness.add(np.frombuffer(self._uncounted, np.int64))
            self._uncounted = array("q")
