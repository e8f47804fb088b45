"""Write a report's tables as Parquet, streamed in row groups, under temporary names until all are whole."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from hftcap import __version__
from hftcap.errors import ReportExists, WriteFailed
from hftcap.kernel import Kernel, Result
from hftcap.kernel.changes import Gap, LevelColumns
from hftcap.kernel.gathered import Gathered
from hftcap.report.arrays import in_order_of_appearance
from hftcap.report.gaps import GapTable
from hftcap.report.latency import LatencyTable
from hftcap.report.schema import NAME, SCHEMA_VERSION, TABLES
from hftcap.report.tables import Locate, Source, bbo, book_touches, book_updates, messages, trades

ROW_GROUP = 65_536
"""Rows of a row group: what bounds a report's memory."""
_WAITING_MOST = 3
"""So many row groups wait to be written at most, of all tables together."""


class Report:
    """The tables of one run, written to a folder. Leaving the context by an exception leaves no table behind.

    The bytes of a table depend on the records alone, not on how they come in batches. `kernel` is the one the results
    are of, `locate` says in which file a block stands. With `threads`, row groups are written on another one.

    Raises:
        ReportExists: the folder has tables already, and `force` is not set.
        WriteFailed: the operating system refused.
    """

    def __init__(
        self,
        folder: Path,
        capture_ids: list[str],
        kernel: Kernel,
        locate: Locate,
        *,
        interval_ns: int,
        part: str = "",
        force: bool = False,
        threads: bool = False,
    ) -> None:
        self._work = _Behind() if threads else _AtOnce()
        self.folder = folder
        self._interrupted = False
        self._kept = False
        self._kernel = kernel
        self._locate = locate
        self.rows = dict.fromkeys(TABLES, 0)
        self._replaces = any((folder / f"{name}.parquet").exists() for name in TABLES)
        if self._replaces and not force:
            raise ReportExists(folder)
        self._made = not folder.exists()
        self._latency = LatencyTable(interval_ns)
        self._gaps = GapTable()
        self._tables: dict[str, _Table] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, schema in TABLES.items():
                self._tables[name] = _Table(folder, name, schema, capture_ids, part, self._work)
        except OSError as error:
            self._discard()
            raise WriteFailed(folder, error.strerror or str(error)) from error

    def take(self, rows: Gathered) -> None:
        """Take records in their places, and what the kernel made of them."""
        source = Source(rows, self._kernel)
        self._latency.add(source)
        self._gaps.add(source)
        self._write("messages", messages(source))
        self._write("trades", trades(source))
        self._write("bbo", bbo(source, self._locate))
        self._write("latency", self._latency.take())
        self._add_changes(rows.gaps, rows.levels)

    def end(self, held: Result | None, *, interrupted: bool = False) -> None:
        """Say that the run is over; `held` is what happened to the books because nothing was waited for any more.

        An interrupted run's tables say so in their metadata, and do not take the place of an earlier report.
        """
        self._interrupted = interrupted
        self._kept = interrupted and self._replaces
        if held is None:
            return
        self._write("bbo", book_touches(held.touches, self._kernel, self._locate))
        self._add_changes(held.gaps, held.levels)

    @property
    def said(self) -> str:
        """What was written, in a line."""
        if self._kept:
            return f"interrupted: the earlier report in {self.folder} stays as it is"
        rows = ", ".join(f"{name} {rows:,} rows" for name, rows in self.rows.items())
        return f"{rows} in {self.folder}{', which are of a part: interrupted' if self._interrupted else ''}"

    def _add_changes(self, gaps: list[Gap], levels: LevelColumns) -> None:
        kernel = self._kernel
        self._gaps.add_updates(gaps, kernel.symbols, kernel.streams, self._locate)
        self._write("gaps", self._gaps.take())
        if len(levels):
            self._write("book_updates", book_updates(levels, kernel, self._locate))

    def _write(self, name: str, rows: pa.Table) -> None:
        try:
            self._tables[name].add(rows)
        except OSError as error:
            raise WriteFailed(self.folder, os.strerror(error.errno) if error.errno else str(error)) from error
        self.rows[name] += rows.num_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        whole = False
        try:
            if error is None and not self._kept:
                self._latency.finish()
                self._gaps.finish()
                self._write("latency", self._latency.take())
                self._write("gaps", self._gaps.take())
                self._publish()
                whole = True
        finally:
            if not whole:
                self._discard()

    def _discard(self) -> None:
        with suppress(Exception):  # what went wrong there is of no interest any more
            self._work.settle()
        for table in self._tables.values():
            table.discard()
        if self._made:
            with suppress(OSError):  # not there, or somebody put something into it
                self.folder.rmdir()

    def _publish(self) -> None:
        try:
            for table in self._tables.values():
                table.finish()
            self._work.settle()
            for table in self._tables.values():
                table.close(interrupted=self._interrupted)
            for table in self._tables.values():
                table.publish()
        except OSError as failure:
            raise WriteFailed(self.folder, os.strerror(failure.errno) if failure.errno else str(failure)) from failure


class _Table:
    """One Parquet file while it is written."""

    def __init__(
        self, folder: Path, name: str, schema: pa.Schema, capture_ids: list[str], part: str, work: "_AtOnce | _Behind"
    ) -> None:
        self._work = work
        self.path = folder / f"{name}.parquet"
        self._temporary = folder / f".{name}.parquet.{os.getpid()}.writing"  # two may write at once: the last one wins
        described = schema.with_metadata(
            {
                "hftcap.schema_version": str(SCHEMA_VERSION),
                "hftcap.version": __version__,
                "hftcap.capture_ids": ",".join(capture_ids),
                "hftcap.part": part,
                "hftcap.units": "times and _ns: ns since the Unix epoch, UTC; _e8: scaled by 1e8",
            }
        )
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._published = False
        self._schema = described
        self._writer = pq.ParquetWriter(
            self._temporary,
            described,
            compression="zstd",
            compression_level=1,
            use_dictionary=[field.name for field in schema if field.type == NAME],
        )

    def add(self, rows: pa.Table) -> None:
        """Gather rows and write them when they fill a row group."""
        if not rows.num_rows:
            return
        self._pending.append(rows)
        self._pending_rows += rows.num_rows
        if self._pending_rows >= ROW_GROUP:
            gathered = pa.concat_tables(self._pending)
            while gathered.num_rows >= ROW_GROUP:
                self._work.do(self._flush, gathered.slice(0, ROW_GROUP))
                gathered = gathered.slice(ROW_GROUP)
            self._pending, self._pending_rows = [gathered], gathered.num_rows

    def _flush(self, rows: pa.Table) -> None:
        """Write a row group in one form, whatever batches it came in: one chunk, names in the order they appear."""
        arrays = [
            in_order_of_appearance(column) if column.type == NAME else column.combine_chunks()
            for column in rows.itercolumns()
        ]
        self._writer.write_table(pa.table(arrays, schema=self._schema), row_group_size=rows.num_rows)

    def finish(self) -> None:
        """Write what is left."""
        if self._pending_rows:
            self._work.do(self._flush, pa.concat_tables(self._pending))
            self._pending, self._pending_rows = [], 0

    def close(self, *, interrupted: bool) -> None:
        """Write the Parquet footer."""
        if interrupted:
            self._writer.add_key_value_metadata({"hftcap.interrupted": "true"})
        self._writer.close()

    def publish(self) -> None:
        """Give the file its name."""
        self._temporary.rename(self.path)
        self._published = True

    def discard(self) -> None:
        """Remove the file, also where it has its name already."""
        with suppress(OSError):  # the error that brought us here is the one to tell
            self._writer.close()
        with suppress(OSError):
            (self.path if self._published else self._temporary).unlink(missing_ok=True)


class _AtOnce:
    """Does work when it is asked for."""

    def do(self, work: Callable[[pa.Table], None], rows: pa.Table) -> None:
        """Do something."""
        work(rows)

    def settle(self) -> None:
        """Wait for nothing."""


class _Behind:
    """Does work on another thread, in the order in which it is asked for; what goes wrong is raised by a later call."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._waiting: deque[Future[None]] = deque()

    def do(self, work: Callable[[pa.Table], None], rows: pa.Table) -> None:
        """Have something done, once what waits is not too much."""
        while len(self._waiting) >= _WAITING_MOST:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(work, rows))

    def settle(self) -> None:
        """Wait until all is done."""
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            for each in self._waiting:
                each.cancel()
            self._waiting.clear()
            self._thread.submit(int).result()  # what had begun is over
