"""A replay as a user means it: recordings through the kernel at a pace, once or again and again, counted on the way.

recordings --> run --chunks--> pacer --pieces, when due--> kernel --batches--> stats, report, output
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hftcap.capture.reader import Recording
from hftcap.kernel import Result, Selection
from hftcap.kernel.gathered import Gathered
from hftcap.pacing import Pacer
from hftcap.pipeline import GATHERED, Batch, Run
from hftcap.stats.collect import Stats, add, finish
from hftcap.timings import Timings

PIECES_KEPT = 256
"""So many pieces are counted at last, rest or no rest: gathering them takes 4 ms."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of the recordings: from and to an instant of the timeline, both included, and which records."""

    selection: Selection
    start_ns: int | None = None
    until_ns: int | None = None

    def __bool__(self) -> bool:
        return bool(self.selection) or self.start_ns is not None or self.until_ns is not None


class Replay:
    """Passes over recordings.

    Pieces come when they are due, and what is done for each delays the next; `sinks` take them gathered, when the
    pacer rests or there are enough of them, for what need not be at once, as the counting itself.

    `open_again` gives the recordings anew for each pass, `passes` says how many there are, None for no end. `stats`
    counts over all passes, its symbols and books are of the last alone. `run` and `held` are the last pass's, too:
    `held` is what changed the books when nothing was waited for any more.
    """

    def __init__(
        self,
        open_again: Callable[[], list[Recording]],
        pacer: Pacer,
        part: Part,
        *,
        passes: int | None = 1,
        levels: bool = False,
        jobs: int = 1,
        timings: Timings | None = None,
    ) -> None:
        self.sinks: list[Callable[[Gathered], None]] = []
        self.stats = Stats()
        self.passes = 0
        self.held: Result | None = None
        self._open_again = open_again
        self._pacer = pacer
        self._part = part
        self._wanted = passes
        self._levels = levels
        self._jobs, self._timings = jobs, timings
        self._count = add if timings is None else timings.timed("counting", add)
        self._pieces: list[Batch] = []
        self._records = 0
        # As fast as it goes there is nothing to be late for, and merging gives pieces of a few records each.
        paced = pacer.schedule.pace.rate is not None
        self._most, self._ahead = (PIECES_KEPT, 0) if paced else (GATHERED, GATHERED)
        self._pacer.at_rest = self._settle
        self.run = self._new_run()

    def batches(self, progress: Callable[[int], None] | None = None) -> Iterator[Batch]:
        """Yield every batch when it is due; at the end `stats` is complete."""
        part, stats = self._part, self.stats
        while True:
            run = self.run
            for piece in run.batches(
                part.until_ns, progress, start_ns=part.start_ns, pieces=self._pacer.pieces, ahead=self._ahead
            ):
                self._pieces.append(piece)
                self._records += piece.records
                yield piece
                if self._records >= GATHERED or len(self._pieces) >= self._most:
                    self._settle()  # now, and not when the next piece is due
            self._settle()
            self.held = run.finish()
            self.passes += 1
            if self._pacer.stopped() or self.passes == self._wanted:
                break
            if part.start_ns is not None:
                self._pacer.pause()  # the way to the part is no silence in it
            self.run = self._new_run()
            stats.symbols = {}
        finish(stats, self.run)

    def _settle(self) -> None:
        if not self._pieces:
            return
        rows = Gathered(self._pieces)
        self._pieces, self._records = [], 0
        self._count(self.stats, rows, self.run)
        for sink in self.sinks:
            sink(rows)

    def _new_run(self) -> Run:
        return Run(
            self._open_again(),
            selection=self._part.selection,
            levels=self._levels,
            jobs=self._jobs,
            timings=self._timings,
            stopped=self._pacer.stopped,
        )
