"""Write a report's tables as Parquet, streamed in row groups, under temporary names until all are whole."""

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from hftcap import __version__
from hftcap.capture.reader import Chunk
from hftcap.errors import ReportExists, WriteFailed
from hftcap.kernel import Columns
from hftcap.report.latency import LatencyTable
from hftcap.report.schema import DICTIONARY_COLUMNS, SCHEMA_VERSION, TABLES
from hftcap.report.tables import Source, bbo, messages

ROW_GROUP = 131_072
"""Rows gathered before a row group is written: what bounds a report's memory."""


class Report:
    """The tables of one run, written to a folder. Leaving the context by an exception leaves no table behind.

    Raises:
        ReportExists: the folder has tables already, and `force` is not set.
        WriteFailed: the operating system refused.
    """

    def __init__(self, folder: Path, capture_ids: list[str], *, interval_ns: int, force: bool = False) -> None:
        self.folder = folder
        self.rows = dict.fromkeys(TABLES, 0)
        if not force and any((folder / f"{name}.parquet").exists() for name in TABLES):
            raise ReportExists(folder)
        self._latency = LatencyTable(interval_ns)
        self._tables: dict[str, _Table] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, schema in TABLES.items():
                self._tables[name] = _Table(folder, name, schema, capture_ids)
        except OSError as error:
            for table in self._tables.values():
                table.discard()
            raise WriteFailed(folder, error.strerror or str(error)) from error

    def add(self, chunk: Chunk, columns: Columns, symbols: list[str], streams: list[str]) -> None:
        """Take one batch: a block in its place, its columns, and the tables of names they point into."""
        source = Source(chunk.path.name, chunk.position, chunk.block, columns, symbols, streams, chunk.first)
        self._latency.add(source, chunk.timeline_ns)
        for name, rows in (("messages", messages(source)), ("bbo", bbo(source)), ("latency", self._latency.take())):
            self._write(name, rows)

    def _write(self, name: str, rows: pa.Table) -> None:
        try:
            self._tables[name].add(rows)
        except OSError as error:
            raise WriteFailed(self.folder, str(error)) from error
        self.rows[name] += rows.num_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        whole = False
        try:
            if error is None:
                self._latency.finish()
                self._write("latency", self._latency.take())
                self._publish()
                whole = True
        finally:
            if not whole:
                for table in self._tables.values():
                    table.discard()

    def _publish(self) -> None:
        try:
            for table in self._tables.values():
                table.close()
            for table in self._tables.values():
                table.publish()
        except OSError as failure:
            raise WriteFailed(self.folder, str(failure)) from failure


class _Table:
    """One Parquet file while it is written."""

    def __init__(self, folder: Path, name: str, schema: pa.Schema, capture_ids: list[str]) -> None:
        self.path = folder / f"{name}.parquet"
        self._temporary = folder / f".{name}.parquet.writing"
        described = schema.with_metadata(
            {
                "hftcap.schema_version": str(SCHEMA_VERSION),
                "hftcap.version": __version__,
                "hftcap.capture_ids": ",".join(capture_ids),
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
            use_dictionary=[name for name in DICTIONARY_COLUMNS if name in schema.names],
        )

    def add(self, rows: pa.Table) -> None:
        """Gather rows and write them when they fill a row group."""
        if not rows.num_rows:
            return
        self._pending.append(rows)
        self._pending_rows += rows.num_rows
        if self._pending_rows >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            gathered = (
                pa.concat_tables(self._pending).unify_dictionaries().replace_schema_metadata(self._schema.metadata)
            )
            self._writer.write_table(gathered, row_group_size=gathered.num_rows)
        self._pending = []
        self._pending_rows = 0

    def close(self) -> None:
        """Write what is left and the Parquet footer."""
        self._flush()
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
