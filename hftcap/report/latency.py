"""The `latency` table: per stream and interval, quantiles of each measure.

Two measures: `feed`, our receive time minus the venue's event time, which holds the error of our clock and the whole
way between; and `publish`, event time minus transaction time, both the venue's own. Intervals are cut on the
timeline, which never goes backwards. A quantile is by nearest rank, exact, and null where the interval has fewer
messages than it takes to have one beyond it (10 for p90, 100 for p99, …).
"""

import math
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hftcap.capture.format import Kind
from hftcap.fixed import INT64_MAX
from hftcap.kernel.columns import NULL
from hftcap.report.arrays import changes
from hftcap.report.schema import LATENCY
from hftcap.report.tables import Source

MEASURES = ("feed", "publish")
_QUANTILES = (("p50", 0.5, 1), ("p90", 0.9, 10), ("p99", 0.99, 100), ("p999", 0.999, 1_000), ("p9999", 0.9999, 10_000))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the payload behind a row's maximum is."""

    recv_ns: int
    symbol: str | None
    file: str
    block: int
    record: int


@dataclass(slots=True)
class _Series:
    """One measure of one stream in the interval that is open."""

    interval: int
    values: list[NDArray[np.int64]] = field(default_factory=list)
    max_value: int = NULL
    max_place: _Place | None = None
    jitter: float = 0.0
    last: int | None = None

    def add(self, values: NDArray[np.int64]) -> None:
        """Take values in arrival order; the jitter runs on across intervals."""
        self.values.append(values)
        before = values[:1] if self.last is None else np.array([self.last], dtype=np.int64)
        jitter = self.jitter
        for step in np.abs(np.diff(values, prepend=before)).tolist():
            jitter += (step - jitter) / 16
        self.jitter = jitter
        self.last = int(values[-1])


class LatencyTable:
    """Gather messages interval by interval; rows come out when an interval is over."""

    def __init__(self, interval_ns: int) -> None:
        self.interval_ns = interval_ns
        self._series: dict[tuple[str, str], _Series] = {}
        self._rows: list[dict[str, object]] = []

    def add(self, source: Source) -> None:
        """Take records."""
        rows, columns = source.rows, source.rows.columns
        recv, event, trade = rows.recv_ns, columns.event_ns, columns.trade_ns
        intervals = rows.timeline_ns // self.interval_ns
        timed = (rows.kind != Kind.REST.value) & (event != NULL) & (columns.stream >= 0)
        samples = {"feed": (timed, recv - event), "publish": (timed & (trade != NULL), event - trade)}
        found: list[tuple[int, str, int, int, NDArray[np.intp]]] = []
        for measure, (present, _) in samples.items():
            mine = np.flatnonzero(present)
            mine = mine[np.argsort(columns.stream[mine], kind="stable")]
            # The timeline never goes backwards, so an interval's records of a stream now follow each other.
            begins = np.flatnonzero(changes(columns.stream[mine]) | changes(intervals[mine]))
            for part in np.split(mine, begins[1:]) if len(mine) else ():
                opens = int(part[0])
                found.append((opens, measure, int(columns.stream[opens]), int(intervals[opens]), part))
        # By the record that opens it, so that rows come in the same order in whatever pieces the records do.
        for _, measure, stream, interval, mine in sorted(found, key=lambda each: each[:2]):
            self._add(source, measure, source.names.streams[stream], interval, mine, samples[measure][1][mine])

    def _add(
        self,
        source: Source,
        measure: str,
        stream: str,
        interval: int,
        rows: NDArray[np.int64],
        values: NDArray[np.int64],
    ) -> None:
        series = self._series.get((measure, stream))
        if series is None:
            series = self._series[measure, stream] = _Series(interval)
        elif series.interval != interval:
            self._close(measure, stream, series)
            series.interval = interval
        series.add(values)
        highest = int(values.argmax())
        if series.max_place is None or int(values[highest]) > series.max_value:
            record = int(rows[highest])
            gathered = source.rows
            symbol = int(gathered.columns.symbol[record])
            series.max_value = int(values[highest])
            series.max_place = _Place(
                int(gathered.recv_ns[record]),
                source.names.symbols[symbol] if symbol >= 0 else None,
                gathered.files[int(gathered.file[record])],
                int(gathered.block[record]),
                int(gathered.record[record]),
            )

    def _close(self, measure: str, stream: str, series: _Series) -> None:
        values = np.sort(np.concatenate(series.values))
        place = series.max_place
        assert place is not None  # noqa: S101  a series is made for its first value
        count = len(values)
        quantiles = {
            name: int(values[max(math.ceil(q * count), 1) - 1]) if count >= enough else None
            for name, q, enough in _QUANTILES
        }
        self._rows.append(
            {
                "ts_recv": place.recv_ns,
                "symbol": place.symbol,
                "stream": stream,
                "file": place.file,
                "block": place.block,
                "record": place.record,
                "measure": measure,
                "ts_start": series.interval * self.interval_ns,
                "interval_ns": self.interval_ns,
                "count": count,
                "min": int(values[0]),
                **quantiles,
                "max": int(values[-1]),
                "mean": (2 * _sum(values) + count) // (2 * count),
                "jitter": round(series.jitter),
            }
        )
        series.values = []
        series.max_place = None

    def finish(self) -> None:
        """Close every open interval."""
        for (measure, stream), series in sorted(self._series.items()):
            if series.values:
                self._close(measure, stream, series)

    def take(self) -> pa.Table:
        """Return the rows of the intervals closed since the last call."""
        rows, self._rows = self._rows, []
        return pa.Table.from_pylist(rows, schema=LATENCY)


def _sum(values: NDArray[np.int64]) -> int:
    """Return the exact sum of values that are sorted."""
    largest = max(-int(values[0]), int(values[-1]))
    return int(values.sum()) if largest < INT64_MAX // len(values) else sum(values.tolist())
