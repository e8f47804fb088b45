"""Several recordings as one, in timeline order.

Record order within a recording is never changed. Between recordings the earlier timeline comes first, and on ties the
recording named first, so the result is the same at every run.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hftcap.capture.format import NONE_NS
from hftcap.capture.reader import Chunk, Recording


def merged(recordings: Sequence[Recording]) -> Iterator[Chunk]:
    """Yield runs of records of all recordings by `timeline_ns`, each run as long as no other recording is due."""
    if len(recordings) == 1:
        yield from recordings[0].chunks()
        return
    streams = [recording.chunks() for recording in recordings]
    due: list[tuple[int, int, Chunk]] = []  # timeline of the next record, rank of the recording (unique), its chunk
    for rank, stream in enumerate(streams):
        _await_next(due, rank, stream, NONE_NS)
    while due:
        due_ns, rank, chunk = heapq.heappop(due)
        stop = chunk.stop
        if due:
            other_ns, other_rank, _ = due[0]
            # On a tie the recording named first goes first, with all of its records of that instant.
            upto = other_ns if rank < other_rank else other_ns - 1
            stop = chunk.upto(upto)
        yield replace(chunk, stop=stop)
        if stop < chunk.stop:
            heapq.heappush(due, (int(chunk.timeline_ns[stop]), rank, replace(chunk, first=stop)))
        else:
            latest_ns = int(chunk.timeline_ns[-1]) if len(chunk.timeline_ns) else due_ns
            _await_next(due, rank, streams[rank], latest_ns)


def _await_next(due: list[tuple[int, int, Chunk]], rank: int, stream: Iterator[Chunk], latest_ns: int) -> None:
    """Queue a recording's next chunk; one that has notes alone is due at once, where the recording stands."""
    chunk = next(stream, None)
    if chunk is not None:
        heapq.heappush(due, (int(chunk.timeline_ns[0]) if chunk.records else latest_ns, rank, chunk))
