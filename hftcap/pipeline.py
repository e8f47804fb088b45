"""Blocks through the kernel to whoever consumes columns, as fast as they can be taken.

recording --chunks--> kernel --columns--> consumer, in record order
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hftcap.binance.endpoints import Market
from hftcap.capture.reader import Chunk, Recording
from hftcap.kernel import Columns, Kernel


@dataclass(slots=True)
class Batch:
    """One block of a recording with what the kernel made of it.

    `records` may be less than the block's where a run stops inside it; `columns` has that many rows.
    """

    chunk: Chunk
    columns: Columns
    records: int


class Run:
    """One pass over a recording. `kernel` has the books as they stand after the batches taken so far."""

    def __init__(self, recording: Recording) -> None:
        preamble = recording.preamble
        self.recording = recording
        self.market = Market(preamble.market)
        self.kernel = Kernel(self.market, expects_snapshots=preamble.expects_snapshots)

    def batches(self, until_ns: int | None = None, progress: Callable[[int], None] | None = None) -> Iterator[Batch]:
        """Yield every block's batch, up to the last record whose timeline is at or before `until_ns`.

        `progress` is called with the stored bytes of each block taken.
        """
        for chunk in self.recording.chunks():
            records = chunk.block.records if until_ns is None else chunk.upto(until_ns)
            yield Batch(chunk, self.kernel.run(chunk.block, records), records)
            if progress is not None:
                progress(chunk.block.header.block_bytes)
            if records < chunk.block.records:
                return


def span(recording: Recording) -> tuple[int | None, int | None]:
    """Return the timeline's first and last instant, None where the recording is empty; reads it to its end."""
    first: int | None = None
    last: int | None = None
    for chunk in recording.chunks():
        if len(chunk.timeline_ns):
            first = int(chunk.timeline_ns[0]) if first is None else first
            last = int(chunk.timeline_ns[-1])
    return first, last
