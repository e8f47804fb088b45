"""Blocks through the kernel to whoever consumes columns, as fast as they can be taken.

recordings --merged chunks--> kernel --columns--> consumer, in timeline order

A run over one recording may begin in the middle: the kernel takes up a state from the sidecar before that place and
replays the rest of the way.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from hftcap.binance.endpoints import Market
from hftcap.capture.ahead import opening
from hftcap.capture.block import decode_block
from hftcap.capture.merge import merged
from hftcap.capture.reader import Chunk, Finding, Place, Recording
from hftcap.checkpoints import Head, SidecarWriter, open_sidecar, parser_digest
from hftcap.errors import MarketsDiffer, MarketUnknown, NothingSelected
from hftcap.kernel import Columns, Kernel, Result, Selection
from hftcap.kernel.gathered import Gathered
from hftcap.timings import Timings

GATHERED = 4_096
"""Records counted at once: what a count costs is then little beside what a record does."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of a block's records, and what the kernel made of those of them that were selected."""

    chunk: Chunk
    result: Result

    @property
    def columns(self) -> Columns:
        """A row for each selected record."""
        return self.result.columns

    @property
    def rows(self) -> NDArray[np.intp]:
        """Where each row of `columns` stands in the block."""
        return self.result.rows

    @property
    def records(self) -> int:
        """Number of selected records."""
        return len(self.result.rows)


def _grouped(chunks: Iterable[Chunk], least: int) -> Iterator[list[Chunk]]:
    """Yield chunks together until there are so many records; with 0 each alone, and before the next is asked for."""
    group: list[Chunk] = []
    records = 0
    for chunk in chunks:
        group.append(chunk)
        records += chunk.records
        if records >= least:
            yield group
            group, records = [], 0
    if group:
        yield group


def gathered(batches: Iterable[Batch], least: int = GATHERED) -> Iterator[Gathered]:
    """Yield batches gathered until there are at least so many records, in order; none is left out."""
    pieces: list[Batch] = []
    records = 0
    for batch in batches:
        pieces.append(batch)
        records += batch.records
        if records >= least:
            yield Gathered(pieces)
            pieces, records = [], 0
    if pieces:
        yield Gathered(pieces)


class Run:
    """One pass over recordings. `kernel` has the books as they stand after the batches taken so far.

    `selection` says which records count, `levels` asks for the changes of the books, and with `books_only` nothing
    else is looked at; see `Kernel`. With several `jobs`, blocks are opened ahead on as many threads less one, and what
    comes out is the same. Where the time goes is added up in `timings`. `stopped` is asked on the way to where a run
    begins, block by block; once True, the run has nothing.

    Raises:
        MarketsDiffer: the recordings are of more than one market, whose symbols and rules are not the same.
        MarketUnknown: a damaged recording no longer says which market it is of.
    """

    def __init__(
        self,
        recordings: Recording | Sequence[Recording],
        *,
        books_only: bool = False,
        selection: Selection | None = None,
        levels: bool = False,
        jobs: int = 1,
        timings: Timings | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.recordings = [recordings] if isinstance(recordings, Recording) else list(recordings)
        if not self.recordings:
            raise NothingSelected("an empty list of captures")
        markets = {recording.preamble.market for recording in self.recordings}
        if len(markets) > 1:
            raise MarketsDiffer(tuple(sorted(markets)))
        (market,) = markets
        if market not in set(Market):
            raise MarketUnknown(self.recordings[0].segments[0].path, market)
        self.market = Market(market)
        # One recording that waited for snapshots is enough: joining is judged by symbol, and it says so.
        expects = any(recording.preamble.expects_snapshots for recording in self.recordings)
        self.kernel = Kernel(
            self.market, expects_snapshots=expects, books_only=books_only, selection=selection, levels=levels
        )
        decode = decode_block
        self._timings = timings
        if timings is not None:
            decode = timings.timed("opening", decode_block)
            self.kernel.time_updates(timings.now)
        open_blocks = opening(jobs, decode)
        for recording in self.recordings:
            recording.opening = open_blocks
        self._stopped = stopped
        self._places: dict[tuple[str, int], tuple[str, int]] = {}
        self._whole = not selection  # a sidecar has the state of a replay of all records, and serves no other

    @property
    def recording(self) -> Recording:
        """The recording of a run over one."""
        (recording,) = self.recordings
        return recording

    @property
    def file_bytes(self) -> int:
        """Size of all files."""
        return sum(recording.file_bytes for recording in self.recordings)

    @property
    def findings(self) -> list[Finding]:
        """What the reading so far found wrong."""
        return [finding for recording in self.recordings for finding in recording.findings]

    @property
    def truncated(self) -> bool:
        """Whether a segment without footer was met."""
        return any(recording.truncated for recording in self.recordings)

    def batches(
        self,
        until_ns: int | None = None,
        progress: Callable[[int], None] | None = None,
        start: Place | None = None,
        *,
        start_ns: int | None = None,
        pieces: Callable[[Iterator[Chunk]], Iterator[Chunk]] = iter,
        ahead: int = 0,
    ) -> Iterator[Batch]:
        """Yield every batch of what lies between two instants of the timeline, both included.

        What lies before `start_ns` goes through the kernel unseen: the books are what they are there, and the counts
        begin. `pieces` may cut chunks and hold them back. `progress` is called with the stored bytes of each block
        taken. `start` is what `take_up` returned, if it was called. What is held at the end is taken by `finish`.

        Of several recordings the kernel may be some `ahead` records further than the batch that is yielded, which
        makes quick work of the short runs that merging gives.
        """
        most = ahead if len(self.recordings) > 1 else 0
        for chunks in _grouped(pieces(self.chunks(until_ns, start, start_ns=start_ns)), most):
            for chunk, result in zip(chunks, self._run(chunks), strict=True):
                if chunk.records or chunk.block.notes:
                    yield Batch(chunk, result)
                if progress is not None and chunk.stop == chunk.block.records:
                    progress(chunk.block.header.block_bytes)

    def chunks(
        self, until_ns: int | None = None, start: Place | None = None, *, start_ns: int | None = None
    ) -> Iterator[Chunk]:
        """Return what `batches` takes, not yet taken: by the first chunk the kernel stands before `start_ns`."""
        if start is None and start_ns is not None:
            start = self.take_up(start_ns - 1)
        chunks = self._chunks(start, until_ns)
        return chunks if start_ns is None else self._warm_up(chunks, start_ns)

    def find_beyond(self, symbol: str, update_id: int) -> tuple[Chunk, int] | None:
        """Return the record that takes a symbol's book beyond an update id, as chunk and index; None if none does."""
        scout = Run(self.recordings, books_only=True)
        for batch in scout.batches():
            if symbol in scout.kernel.symbols:
                mine = batch.columns.symbol == scout.kernel.symbols.index(symbol)
                found = np.flatnonzero(mine & (batch.columns.book_id > update_id))
                if len(found):
                    return batch.chunk, int(batch.rows[found[0]])
        return None

    def batches_before(self, beyond: tuple[Chunk, int]) -> Iterator[Batch]:
        """Yield every batch up to, not including, a record that `find_beyond` found."""
        end, record = beyond
        for chunk in self._chunks(self.take_up(int(end.timeline_ns[record]) - 1), None):
            is_last = (chunk.path, chunk.position) == (end.path, end.position) and chunk.first <= record < chunk.stop
            part = replace(chunk, stop=record) if is_last else chunk
            yield Batch(part, self._run([part])[0])
            if is_last:
                return

    def finish(self) -> Result:
        """Say that the feed is over; return what changed because nothing is waited for any more."""
        return self.kernel.finish()

    def _chunks(self, start: Place | None, until_ns: int | None) -> Iterator[Chunk]:
        for chunk in merged(self.recordings) if start is None else self.recording.chunks(start):
            stop = chunk.stop if until_ns is None else chunk.upto(until_ns)
            yield chunk if stop == chunk.stop else replace(chunk, stop=stop)
            if stop < chunk.stop:
                return

    def _warm_up(self, chunks: Iterator[Chunk], start_ns: int) -> Iterator[Chunk]:
        """Take what is before an instant; return the rest."""
        for chunk in chunks:
            if self._stopped():
                break
            first = chunk.upto(start_ns - 1)
            self._run([replace(chunk, stop=first)])
            if first < chunk.stop:
                self.kernel.restart_counts()
                return chain([replace(chunk, first=first)], chunks)
        self.kernel.restart_counts()
        return iter(())

    def locate(self, capture_id: str, sequence: int) -> tuple[str, int]:
        """Return the file and position of a block that was taken, or that a state taken up is of.

        Raises:
            KeyError: no recording has such a block.
        """
        place = self._places.get((capture_id, sequence))
        if place is not None:
            return place
        for recording in self.recordings:
            for segment in recording.segments if recording.preamble.capture_id == capture_id else ():
                if any(entry.sequence == sequence for entry in segment.index()):
                    return segment.path.name, segment.position(sequence)
        raise KeyError(capture_id, sequence)

    def _run(self, chunks: list[Chunk]) -> list[Result]:
        for chunk in chunks:
            header = chunk.block.header
            self._places[header.capture_id.hex(), header.sequence] = chunk.path.name, chunk.position
        runs = [(chunk.block, chunk.first, chunk.stop) for chunk in chunks]
        if self._timings is None:
            return self.kernel.run_together(runs)
        begin, (updating_ns, updates) = self._timings.now(), self.kernel.updating
        results = self.kernel.run_together(runs)
        spent_ns, (updated_ns, updated) = self._timings.now() - begin, self.kernel.updating
        self._timings.add("updating", updated_ns - updating_ns, 2 * (updated - updates))
        self._timings.add("parsing", spent_ns - (updated_ns - updating_ns))
        return results

    def take_up(self, timeline_ns: int) -> Place | None:
        """Load the kernel with the last state kept before an instant; return where to go on, None for the start.

        Sidecars that are missing or stale are made first, which costs a replay up to that segment's end, once. Where
        they cannot be written, or the run is over several recordings or a selection, the replay begins at the start.
        """
        if len(self.recordings) > 1 or not self._whole:
            return None
        target = self.recording.seek(timeline_ns)
        if target is None:
            return None
        for wanted in (False, True):
            if wanted and not write_sidecars(self.recording, target.segment, self._stopped):
                return None
            place = self._from_sidecar(target)
            if place is not None:
                return place
        return None

    def _from_sidecar(self, target: Place) -> Place | None:
        """Load the state before `target` from its own segment's sidecar, or from the segment before an unsealed one."""
        for number in range(target.segment, -1, -1):
            head = _head(self.recording, number)
            if head is None:
                continue  # not sealed: the segment before has the last state there can be
            segment = self.recording.segments[number]
            sidecar = open_sidecar(segment.path, head)
            entries = segment.index()
            last = target.entry if number == target.segment else entries[-1]
            found = None if sidecar is None else sidecar.before(segment.position(last.sequence))
            if found is None:
                return None
            position, state = found
            self.kernel.load(state)
            return self.recording.place(number, position)
        return None


def _head(recording: Recording, number: int) -> Head | None:
    """Return what a sidecar of a sealed segment must say, None where the segment is not sealed."""
    segment = recording.segments[number]
    crc = segment.footer_crc()
    if crc is None:
        return None
    preamble = segment.preamble
    return Head(preamble.capture_id, preamble.segment, crc, parser_digest())


def write_sidecars(recording: Recording, upto_segment: int, stopped: Callable[[], bool] = lambda: False) -> bool:
    """Replay from the start and write the sidecar of every sealed segment up to one; False where one cannot be."""
    run = Run(recording)
    by_path = {segment.path: number for number, segment in enumerate(recording.segments)}
    writer: SidecarWriter | None = None
    current = -1
    try:
        for chunk in recording.chunks():
            if stopped():
                if writer is not None:
                    writer.discard()
                return False
            number = by_path[chunk.path]
            if number != current:
                if writer is not None and not writer.finish():
                    return False
                if number > upto_segment:
                    return True
                current = number
                head = _head(recording, number)
                writer = None if head is None else SidecarWriter(chunk.path, head)
            if writer is not None:
                writer.reach(chunk.position, chunk.block.header.payloads_raw, run.kernel)
            run.kernel.run(chunk.block)
        return writer is None or writer.finish()
    except BaseException:
        if writer is not None:
            writer.discard()
        raise


def span(recordings: Sequence[Recording]) -> tuple[int | None, int | None]:
    """Return the timeline's first and last instant, None where the recordings are empty; opens two blocks of each."""
    spans = [found for recording in recordings if (found := recording.span()) is not None]
    return min((first for first, _ in spans), default=None), max((last for _, last in spans), default=None)
