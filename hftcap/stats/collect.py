"""One pass over a recording that counts everything `stats` reports."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hftcap.binance.lines import Arrival
from hftcap.capture.folder import is_being_written
from hftcap.capture.format import Kind
from hftcap.capture.reader import Chunk, Recording
from hftcap.kernel import Columns, SymbolBook
from hftcap.kernel.columns import NULL, ODDITIES, TYPE_CODE, TYPES, Side
from hftcap.kernel.gathered import Gathered
from hftcap.latency.histogram import Histogram
from hftcap.pipeline import GATHERED, Run, gathered
from hftcap.stats.peaks import WindowPeak
from hftcap.stats.prints import PrintCount
from hftcap.timings import Timings

RAW_STREAM = "(raw)"
"""Records without an envelope are counted under this name."""

_WINDOWS = {"1s": 1_000_000_000, "100ms": 100_000_000, "10ms": 10_000_000}
_PRINT_TYPES = ("trade", "aggTrade")


@dataclass(slots=True)
class SymbolStats:
    """What the feed said of one symbol; `book` is None where it had neither quotes nor depth."""

    messages: Counter[str] = field(default_factory=Counter)
    prints: dict[str, PrintCount] = field(default_factory=lambda: {name: PrintCount() for name in _PRINT_TYPES})
    book: SymbolBook | None = None


@dataclass(slots=True)
class Stats:
    """Counts over a recording. Times are epoch nanoseconds of this host's clock, latencies nanoseconds.

    `wall_offsets` has the offset of each recording's last block; `clock_steps` counts how often one changed.
    """

    records: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    by_stream: Counter[str] = field(default_factory=Counter)
    by_type: Counter[str] = field(default_factory=Counter)
    oddities: Counter[str] = field(default_factory=Counter)
    first_recv_ns: int | None = None
    last_recv_ns: int | None = None
    raw_bytes: int = 0
    file_bytes: int = 0
    peaks: dict[str, WindowPeak] = field(
        default_factory=lambda: {name: WindowPeak(width) for name, width in _WINDOWS.items()}
    )
    latency: dict[str, Histogram] = field(default_factory=dict)
    rx_lag: Histogram = field(default_factory=Histogram)
    losses: int = 0
    clock_steps: int = 0
    wall_offsets: dict[bytes, int] = field(default_factory=dict)
    truncated: bool = False
    damaged: list[str] = field(default_factory=list)
    being_written: bool = False
    symbols: dict[str, SymbolStats] = field(default_factory=dict)

    @property
    def gaps(self) -> int:
        """Holes in the updates of all symbols."""
        return sum(symbol.book.sync.gaps for symbol in self.symbols.values() if symbol.book is not None)

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be lost: no loss noted, no segment cut, no block damaged."""
        return not self.unsound

    @property
    def unsound(self) -> list[str]:
        """What is wrong with the storage, in words. A segment without footer is as it should be while it is written."""
        found = list(self.damaged)
        if self.truncated and not self.being_written:
            found.append("a segment has no footer: it was cut, or its writer did not end in good order")
        if self.losses:
            found.append(f"{self.losses:,} records are noted as lost")
        return found


def collect(
    recordings: Recording | Sequence[Recording],
    progress: Callable[[int], None] | None = None,
    *,
    jobs: int = 1,
    timings: Timings | None = None,
) -> Stats:
    """Read recordings, merged by timeline, to their end and count; `jobs` and `timings` are as for a `Run`."""
    run = Run(recordings, jobs=jobs, timings=timings)
    stats = Stats()
    count = add if timings is None else timings.timed("counting", add)
    for rows in gathered(run.batches(progress=progress, ahead=GATHERED)):
        count(stats, rows, run)
    run.finish()
    finish(stats, run)
    return stats


def add(stats: Stats, rows: Gathered, run: Run) -> None:
    """Count records."""
    for piece in rows.pieces:
        _add_block(stats, piece.chunk, records=len(piece.result.rows))
    if not len(rows):
        return
    columns, kind, recv_ns = rows.columns, rows.kind, rows.recv_ns
    stats.records += len(rows)
    stats.raw_bytes += int(rows.length.sum())
    first, last = int(recv_ns.min()), int(recv_ns.max())
    stats.first_recv_ns = first if stats.first_recv_ns is None else min(stats.first_recv_ns, first)
    stats.last_recv_ns = last if stats.last_recv_ns is None else max(stats.last_recv_ns, last)
    _count(stats.by_kind, kind, {each.value: each.name.lower() for each in Kind})
    _count(stats.by_type, columns.type, dict(enumerate(TYPES)))
    _count(stats.oddities, columns.oddity, dict(enumerate(ODDITIES)))
    _count(stats.by_stream, columns.stream, {-1: RAW_STREAM} | dict(enumerate(run.kernel.streams)))
    from_socket = kind != Kind.REST.value
    timeline = rows.timeline_ns[from_socket]
    for peak in stats.peaks.values():
        peak.add(timeline)
    stats.rx_lag.add(rows.rx_lag_ns[rows.rx_lag_ns != NULL])
    _count_latency(stats, columns, recv_ns, from_socket)
    _count_symbols(stats, columns, from_socket & (columns.arrival != Arrival.COPY), run.kernel.symbols)


def _add_block(stats: Stats, chunk: Chunk, *, records: int) -> None:
    """Count what is a block's own: losses noted, with its first run of records, and steps of the wall clock."""
    header = chunk.block.header
    if chunk.first == 0:
        notes = chunk.block.notes
        stats.losses += sum(int(note.get("count", 0)) for note in notes if note.get("note") == "loss")
    if records:
        offset_ns = header.wall_offset_ns
        stats.clock_steps += stats.wall_offsets.get(header.capture_id, offset_ns) != offset_ns
        stats.wall_offsets[header.capture_id] = offset_ns


def finish(stats: Stats, run: Run) -> None:
    """Take over what is known only at the end: books, and what the reader found wrong. `run` must be finished."""
    stats.oddities.pop("", None)
    for symbol, book in run.kernel.books.items():
        stats.symbols.setdefault(symbol, SymbolStats()).book = book
    stats.file_bytes = run.file_bytes
    stats.truncated = run.truncated
    stats.being_written = all(
        is_being_written(segment.path.parent)
        for recording in run.recordings
        for segment in recording.segments
        if segment.truncated
    )
    stats.damaged = [f"{found.path.name} at byte {found.offset}: {found.what}" for found in run.findings]


def _count(counter: Counter[str], codes: NDArray[np.integer], names: dict[int, str]) -> None:
    for code, count in zip(*np.unique(codes, return_counts=True), strict=True):
        counter[names[int(code)]] += int(count)


def _count_latency(stats: Stats, columns: Columns, recv_ns: NDArray[np.int64], from_socket: NDArray[np.bool_]) -> None:
    timed = from_socket & (columns.event_ns != NULL)
    for code in np.unique(columns.type[timed]):
        mine = timed & (columns.type == code)
        histogram = stats.latency.setdefault(TYPES[int(code)], Histogram())
        histogram.add(recv_ns[mine] - columns.event_ns[mine])


def _count_symbols(stats: Stats, columns: Columns, counted: NDArray[np.bool_], symbols: list[str]) -> None:
    named = counted & (columns.symbol >= 0)
    pairs = columns.symbol[named].astype(np.int64) * len(TYPES) + columns.type[named]
    for pair, count in zip(*np.unique(pairs, return_counts=True), strict=True):
        symbol, code = divmod(int(pair), len(TYPES))
        stats.symbols.setdefault(symbols[symbol], SymbolStats()).messages[TYPES[code]] += int(count)
    for name in _PRINT_TYPES:
        prints = named & (columns.type == TYPE_CODE[name])
        for index in np.unique(columns.symbol[prints]):
            mine = prints & (columns.symbol == index)
            stats.symbols[symbols[int(index)]].prints[name].add(
                columns.final_id[mine],
                columns.size_e8[mine],
                columns.side[mine] == Side.SELL.value,
                columns.market_print[mine] == 1,
            )
