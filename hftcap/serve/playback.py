"""The one market clock: which records of a capture are due by now, and what time it is there. Pure.

    waiting --begin--> running --last record sent--> ended (or, in a loop, the next pass)

Due times are those of `pacing`: one anchor, so that nothing adds up. Times are monotonic nanoseconds, handed in.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace

from hftcap.capture.reader import Chunk
from hftcap.pacing import Pace, Schedule

PIECE_RECORDS = 256
"""No piece has more records: what is written for a client at once, and how long the loop is kept from other work."""


class Playback:
    """Passes over a capture.

    `open_pass` gives the chunks of a pass anew. `sent` counts the records handed out, `passes` the passes that ended.
    `first_ns` is the timeline before anything was sent.
    """

    def __init__(self, open_pass: Callable[[], Iterator[Chunk]], pace: Pace, first_ns: int, *, loop: bool) -> None:
        self.sent = 0
        self.passes = 0
        self.ended = False
        self._open_pass = open_pass
        self._pace = pace
        self._schedule = Schedule(pace)
        self._loop = loop
        self._chunks: Iterator[Chunk] = iter(())
        self._chunk: Chunk | None = None
        self._due: list[int] = []
        self._at = 0
        self._last_ns = first_ns
        self._last_due = 0
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether the market clock runs, or ran."""
        return self._begun

    @property
    def paced(self) -> bool:
        """Whether records wait for their time."""
        return self._pace.rate is not None

    def begin(self, mono_ns: int) -> None:
        """Let the first record be due at an instant."""
        self._begun = True
        self._schedule.begin(mono_ns)
        self._last_due = mono_ns
        self._start_pass()

    def _start_pass(self) -> None:
        self._schedule.next_pass()
        self._chunks = self._open_pass()
        self._next_chunk()

    def _next_chunk(self) -> None:
        self._at = 0
        for chunk in self._chunks:
            if chunk.records or chunk.block.notes:
                self._chunk = chunk
                self._due = self._places(chunk)
                return
        self._chunk, self._due = None, []
        self.passes += 1
        self.ended = not self._loop or not self.sent

    def _places(self, chunk: Chunk) -> list[int]:
        if self._pace.rate is None or not chunk.records:
            return []
        due: list[int] = self._schedule.due_ns(self._schedule.place(chunk.timeline_ns[chunk.rows])).tolist()
        return due

    def next_ns(self) -> int | None:
        """When the next record is due; None where there is none."""
        if self._chunk is None or self.ended:
            return None
        return self._due[self._at] if self._due else self._last_due

    @property
    def at_pass_end(self) -> bool:
        """Whether a pass is over and the next has not begun."""
        return self._begun and self._chunk is None and not self.ended

    def next_pass(self) -> None:
        """Begin the next pass of a loop."""
        self._start_pass()

    def due(self, now_ns: int) -> Chunk | None:
        """Return records that are due by now, in order, up to PIECE_RECORDS of them; None while there are none."""
        chunk = self._chunk
        if chunk is None:
            return None
        if not chunk.records:  # notes alone
            self._next_chunk()
            return chunk
        first = chunk.first + self._at
        if self._due:
            count = bisect_right(self._due, now_ns, self._at, min(self._at + PIECE_RECORDS, len(self._due))) - self._at
        else:
            count = min(PIECE_RECORDS, chunk.stop - first)
        if not count:
            return None
        piece = replace(chunk, first=first, stop=first + count)
        self.sent += count
        self._last_ns = int(chunk.timeline_ns[piece.stop - 1])
        if self._due:
            self._last_due = self._due[self._at + count - 1]
        self._at += count
        if piece.stop == chunk.stop:
            self._next_chunk()
        return piece

    def timeline_ns(self, now_ns: int) -> int:
        """Return the market's instant: that of the last record, and what has passed since, up to the next record."""
        rate = self._pace.speed
        if not self._begun or rate is None or self._pace.mps is not None:
            return self._last_ns
        passed = max(int((now_ns - self._last_due) * rate), 0)
        chunk = self._chunk
        if chunk is not None and self._at < len(self._due):
            ahead = int(chunk.timeline_ns[chunk.first + self._at])
            passed = min(passed, max(ahead - self._last_ns, 0))
        return self._last_ns + passed

    def coming(self) -> list[bytes]:
        """Return the payloads that are next, as far as their block has them."""
        chunk = self._chunk
        return [] if chunk is None else chunk.block.payload_list(chunk.first + self._at, chunk.stop)
