"""A report on disk: what other tools read from it is what was written, and a report is whole or not there."""

import errno
import json
import os
import resource
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hftcap import __version__
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import open_recordings
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.errors import ReportExists, WriteFailed
from hftcap.kernel.gathered import Gathered
from hftcap.market.walk import START_NS, SYMBOL, Walk
from hftcap.pipeline import GATHERED, Run, gathered
from hftcap.report import parquet
from hftcap.report.parquet import Report
from hftcap.report.schema import SCHEMA_VERSION, TABLES

SECOND_NS = 1_000_000_000
FIRST_ID, SECOND_ID = "00112233445566aa", "8899aabbccddeeff"


def write(folder: Path, capture_id: str = FIRST_ID, *, seed: int = 1, late_ns: int = 0) -> Path:
    """Write a small market as an import, in blocks of some records each, its stamps odd nanoseconds."""
    head = CaptureHead(capture_id, "spot", TimeBase.WALL, True, START_NS, "0.1.0")
    with CaptureWriter(folder, head, block_bytes=3_000, fsync=False) as writer:
        for number, frame in enumerate(Walk(seed).frames(1.5)):
            kind = Kind.REST if frame.is_snapshot else Kind.WS_TEXT
            note = {"note": "rest", "symbol": SYMBOL} if frame.is_snapshot else None
            writer.add(frame.payload, frame.recv_ns + late_ns + number % 997, kind=kind, note=note)
    return folder


def report_of(
    folders: list[Path],
    out: Path,
    *,
    force: bool = False,
    interval_ns: int = SECOND_NS,
    least: int = GATHERED,
    threads: bool = False,
) -> dict[str, int]:
    """Replay captures into a report, so many records at a time at least; return its numbers of rows."""
    recordings = open_recordings(folders)
    run = Run(recordings, levels=True)
    ids = [recording.preamble.capture_id for recording in recordings]
    with Report(out, ids, run.kernel, run.locate, interval_ns=interval_ns, force=force, threads=threads) as report:
        for rows in gathered(run.batches(), least):
            report.take(rows)
        report.end(run.finish())
    return report.rows


def new_report(run: Run, out: Path, *, force: bool = False, threads: bool = False) -> Report:
    return Report(out, [FIRST_ID], run.kernel, run.locate, interval_ns=SECOND_NS, force=force, threads=threads)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("parquet") / "capture")


@pytest.fixture(scope="module")
def made(capture, tmp_path_factory) -> Path:
    """Return the folder of a report; tests only read it."""
    out = tmp_path_factory.mktemp("report") / "out"
    report_of([capture], out)
    return out


@pytest.fixture
def records(capture) -> list[tuple[int, bytes]]:
    """Return stamp and payload of every record of the capture."""
    (recording,) = open_recordings([capture])
    chunks = list(recording.chunks())
    assert len(chunks) > 5
    return [
        (int(stamp), payload)
        for chunk in chunks
        for stamp, payload in zip(chunk.block.recv_ns, chunk.block.payload_list(), strict=True)
    ]


def test_a_file_for_every_table_and_nothing_else(capture, tmp_path):
    """One Parquet file a table, rows as told, no temporary file left."""
    rows = report_of([capture], tmp_path / "out")
    assert set(contents(tmp_path / "out")) == {f"{name}.parquet" for name in TABLES}
    assert {name: pq.read_metadata(tmp_path / "out" / f"{name}.parquet").num_rows for name in TABLES} == rows
    assert {name for name, count in rows.items() if not count} == {"gaps"}


def test_every_record_is_a_message_and_in_order(made, records):
    """As many rows as records, in record order, each stamped with its own nanosecond."""
    table = pq.read_table(made / "messages.parquet")
    assert table["ts_recv"].cast(pa.int64()).to_pylist() == [stamp for stamp, _ in records]
    assert table["bytes"].to_pylist() == [len(payload) for _, payload in records]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_schema_and_metadata_come_back(made, name):
    """Columns with their meanings, schema version, units and capture ids are in the file itself."""
    schema = pq.read_schema(made / f"{name}.parquet")
    assert schema.names == TABLES[name].names
    assert schema.types == TABLES[name].types
    assert [field.metadata[b"meaning"] for field in schema] == [f.metadata[b"meaning"] for f in TABLES[name]]
    metadata = schema.metadata
    assert metadata[b"hftcap.schema_version"] == str(SCHEMA_VERSION).encode()
    assert metadata[b"hftcap.version"] == __version__.encode()
    assert metadata[b"hftcap.capture_ids"] == FIRST_ID.encode()
    assert b"1e8" in metadata[b"hftcap.units"]
    assert b"UTC" in metadata[b"hftcap.units"]


# The same integers through three other readers.


def expected(records: list[tuple[int, bytes]]) -> list[tuple[int, int | None, int | None]]:
    """Return receive and event time, and latency, of every record, from the payloads alone."""
    found = []
    for stamp, payload in records:
        event = json.loads(payload).get("data", {}).get("E")
        found.append((stamp, None, None) if event is None else (stamp, event * 10**6, stamp - event * 10**6))
    return found


def test_duckdb_reads_every_nanosecond(made, records):
    """Times are plain timestamps whose nanoseconds duckdb keeps; null stays null."""
    query = f"SELECT epoch_ns(ts_recv), epoch_ns(ts_event), latency_ns FROM '{made}/messages.parquet'"  # noqa: S608
    with duckdb.connect() as connection:
        assert connection.execute(query).fetchall() == expected(records)
        types = connection.execute(f"DESCRIBE FROM '{made}/messages.parquet'").fetchall()
    assert {row[0]: row[1] for row in types}["ts_recv"] == "TIMESTAMP_NS"


def test_polars_reads_every_nanosecond(made, records):
    """Times are nanosecond timestamps in polars, and the same integers."""
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.read_parquet(made / "messages.parquet")
    assert frame.schema["ts_recv"] == polars.Datetime("ns")
    rows = frame.select(polars.col("ts_recv").to_physical(), polars.col("ts_event").to_physical(), "latency_ns").rows()
    assert rows == expected(records)


def test_pandas_reads_every_nanosecond(made, records):
    """Times are nanosecond timestamps in pandas, with Arrow columns and with its own."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.read_parquet(made / "messages.parquet", dtype_backend="pyarrow")
    for column, values in zip(("ts_recv", "ts_event", "latency_ns"), zip(*expected(records), strict=True), strict=True):
        array = pa.chunked_array(frame[column].array.__arrow_array__())
        assert array.cast(pa.int64()).to_pylist() == list(values)
    plain = pandas.read_parquet(made / "messages.parquet", columns=["ts_recv"])
    assert plain["ts_recv"].dtype == "datetime64[ns]"
    assert plain["ts_recv"].astype("int64").tolist() == [stamp for stamp, _ in records]


def quotes_of(records: list[tuple[int, bytes]]) -> list[list[str]]:
    """Return the four texts of every bookTicker."""
    found = [json.loads(payload).get("data", {}) for _, payload in records]
    return [[quote[key] for key in "bBaA"] for quote in found if "A" in quote]


def test_prices_are_exact_as_integers_and_nearest_as_floats(made, records):
    """`…_e8` is the text times 1e8, the float what the text reads as; duckdb agrees with both."""
    columns = ", ".join(
        f"{name}{suffix}" for suffix in ("_e8", "") for name in ("bid_px_00", "bid_sz_00", "ask_px_00", "ask_sz_00")
    )
    query = f"SELECT {columns} FROM '{made}/bbo.parquet' WHERE source = 'bookTicker'"  # noqa: S608
    with duckdb.connect() as connection:
        rows = connection.execute(query).fetchall()
    assert rows == [
        (*(int(text.replace(".", "")) for text in quote), *(float(text) for text in quote))
        for quote in quotes_of(records)
    ]


def test_every_timed_message_is_in_the_latency_table(made, records):
    """The counts of both measures add up to the messages that have the times for them."""
    events = [json.loads(payload).get("data", {}) for _, payload in records]
    found = pq.read_table(made / "latency.parquet", columns=["measure", "count"]).to_pylist()
    for measure, keys in (("feed", {"E"}), ("publish", {"E", "T"})):
        timed = sum(keys <= set(event) for event in events)
        assert timed > 0
        assert sum(row["count"] for row in found if row["measure"] == measure) == timed


@pytest.mark.parametrize("threads", [False, True])
def test_the_same_capture_gives_the_same_bytes(threads, capture, made, tmp_path, monkeypatch):
    """Two runs write identical files, whatever thread they are written on."""
    report_of([capture], tmp_path / "again", threads=threads)
    assert contents(tmp_path / "again") == contents(made)
    monkeypatch.setattr(parquet, "ROW_GROUP", 50)  # with many row groups as well
    report_of([capture], tmp_path / "small")
    report_of([capture], tmp_path / "behind", threads=True)
    assert contents(tmp_path / "behind") == contents(tmp_path / "small")


def test_what_goes_wrong_while_writing_behind_is_told(capture, tmp_path, monkeypatch):
    """A disk that is full when a row group is written on its own thread: said as elsewhere, and nothing is left."""
    monkeypatch.setattr(parquet, "ROW_GROUP", 10)
    written = []

    def full(writer, table, **options):
        written.append(threading.current_thread())
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(parquet.pq.ParquetWriter, "write_table", full)
    with pytest.raises(WriteFailed, match="No space left"):
        report_of([capture], tmp_path / "out", threads=True)
    assert set(written) - {threading.current_thread()}
    assert not (tmp_path / "out").exists()


def test_the_bytes_do_not_depend_on_the_batches(tmp_path, monkeypatch):
    """Also where names come up on the way: a row group has those that are in it, and no more."""
    head = CaptureHead(FIRST_ID, "spot", TimeBase.WALL, False, START_NS, "0.1.0")
    with CaptureWriter(tmp_path / "c", head, block_bytes=1_000, fsync=False) as writer:
        for number in range(120):
            symbol = ("BTCUSDT", "ETHUSDT", "SOLUSDT")[number // 40]
            event = {"e": "trade", "E": 1, "s": symbol, "t": number, "p": "1", "q": "1", "T": 1, "m": True}
            payload = json.dumps({"stream": f"{symbol.lower()}@trade", "data": event}).encode()
            writer.add(payload, START_NS + number)
    monkeypatch.setattr(parquet, "ROW_GROUP", 50)
    report_of([tmp_path / "c"], tmp_path / "at once")
    report_of([tmp_path / "c"], tmp_path / "one by one", least=1)
    assert contents(tmp_path / "at once") == contents(tmp_path / "one by one")


@pytest.mark.parametrize("rows", [1, 50, 10**9])
def test_row_groups_bound_memory_and_change_nothing_else(rows, capture, made, tmp_path, monkeypatch):
    """However many row groups a table is written in, its content is the same."""
    monkeypatch.setattr(parquet, "ROW_GROUP", rows)
    report_of([capture], tmp_path / "out")
    for name in TABLES:
        file = pq.ParquetFile(tmp_path / "out" / f"{name}.parquet")
        if name == "messages":
            assert (file.metadata.num_row_groups > 3) == (rows < file.metadata.num_rows)
        table = pq.read_table(made / f"{name}.parquet")
        found = file.read()
        assert found.schema.equals(table.schema)
        assert found.to_pylist() == table.to_pylist()


def test_several_captures_make_one_report_in_timeline_order(capture, tmp_path):
    """Merged records keep file, block and record of where they are, and the metadata names both captures."""
    other = write(tmp_path / "other", SECOND_ID, seed=2, late_ns=1_000)
    rows = report_of([capture, other], tmp_path / "out")
    recordings = open_recordings([capture, other])
    chunks = [chunk for recording in recordings for chunk in recording.chunks()]
    blocks = {(chunk.path.name, chunk.position): chunk.block for chunk in chunks}
    assert rows["messages"] == sum(block.records for block in blocks.values())
    table = pq.read_table(tmp_path / "out" / "messages.parquet")
    assert table.schema.metadata[b"hftcap.capture_ids"] == f"{FIRST_ID},{SECOND_ID}".encode()
    stamps = table["ts_recv"].cast(pa.int64()).to_pylist()
    places = list(zip(*(table[name].to_pylist() for name in ("file", "block", "record")), strict=True))
    assert len(set(places)) == len(places)
    for stamp, size, (file, block, record) in zip(stamps, table["bytes"].to_pylist(), places, strict=True):
        assert blocks[file, block].recv_ns[record] == stamp
        assert len(blocks[file, block].payload(record)) == size
    assert len({file for file, _, _ in places[:60]}) == 2


def test_holes_of_prints_and_of_updates_are_in_the_report(tmp_path):
    """Each kind, however the records come: those of the updates with their batch, those of the prints at the end."""
    left_out = {b"@trade": 3, b"@depth": 5}
    head = CaptureHead(FIRST_ID, "spot", TimeBase.WALL, False, START_NS, "0.1.0")
    with CaptureWriter(tmp_path / "c", head, block_bytes=3_000, fsync=False) as writer:
        seen = dict.fromkeys(left_out, 0)
        for frame in Walk(1).frames(1.5):
            for kind in seen:
                seen[kind] += kind in frame.payload
            if not any(kind in frame.payload and seen[kind] == number for kind, number in left_out.items()):
                writer.add(frame.payload, frame.recv_ns, kind=Kind.REST if frame.is_snapshot else Kind.WS_TEXT)
    rows = report_of([tmp_path / "c"], tmp_path / "out")
    holes = pq.read_table(tmp_path / "out/gaps.parquet").to_pylist()
    assert rows["gaps"] == 2
    assert [hole["stream"] for hole in holes] == ["btcusdt@depth@100ms", "btcusdt@trade"]
    assert all(hole["next_id"] > hole["last_good_id"] + 1 for hole in holes)


def test_a_full_disk_leaves_nothing(capture, tmp_path, monkeypatch):
    """Found while rows are written, or when the tables are closed: the error is ours, and no file stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for rows in (50, 10**9):
        monkeypatch.setattr(parquet, "ROW_GROUP", rows)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, hard))
        try:
            with pytest.raises(WriteFailed, match=f"cannot be written: {os.strerror(errno.EFBIG)}$"):
                report_of([capture], tmp_path / "out")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not (tmp_path / "out").exists()


def test_a_report_is_never_replaced_unasked(capture, tmp_path):
    """With any table of an earlier report in the folder it is refused, and stays as it is; --force replaces it."""
    out = tmp_path / "out"
    report_of([capture], out)
    (out / "messages.parquet").unlink()
    (out / "note.txt").write_text("mine")
    before = contents(out)
    with pytest.raises(ReportExists):
        report_of([capture], out)
    assert contents(out) == before
    report_of([capture], out, force=True, interval_ns=SECOND_NS // 10)
    after = contents(out)
    assert set(after) == {"note.txt", *(f"{name}.parquet" for name in TABLES)}
    assert after["latency.parquet"] != before["latency.parquet"]


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("batches", [0, 1, 3])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_leaves_no_table_and_no_temporary_file(batches, error, threads, capture, tmp_path, monkeypatch):
    """Whatever ends the run half-way: no half a report, and no litter."""
    monkeypatch.setattr(parquet, "ROW_GROUP", 20)
    run = Run(open_recordings([capture]))
    out = tmp_path / "out"
    with pytest.raises(error), new_report(run, out, threads=threads) as report:
        for number, batch in enumerate(run.batches()):
            if number == batches:
                raise error
            report.take(Gathered([batch]))
    assert not out.exists()


def test_an_exception_leaves_an_earlier_report_alone(capture, tmp_path):
    """A forced run that fails has not touched what it was to replace."""
    out = tmp_path / "out"
    report_of([capture], out)
    before = contents(out)
    run = Run(open_recordings([capture]))
    with pytest.raises(ValueError, match="half-way"), new_report(run, out, force=True):
        raise ValueError("half-way")
    assert contents(out) == before


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_report_that_cannot_be_published_leaves_nothing(name, capture, tmp_path):
    """Where one table cannot take its name, none of the others stays either."""
    out = tmp_path / "out"
    (out / f"{name}.parquet" / "in the way").mkdir(parents=True)
    with pytest.raises(WriteFailed):
        report_of([capture], out, force=True)
    assert [path.name for path in out.iterdir()] == [f"{name}.parquet"]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_report_that_cannot_be_begun_leaves_nothing(name, capture, tmp_path):
    """Where one temporary file cannot be made, the others are removed again."""
    out = tmp_path / "out"
    (out / f".{name}.parquet.{os.getpid()}.writing").mkdir(parents=True)
    with pytest.raises(WriteFailed):
        report_of([capture], out)
    assert [path.name for path in out.iterdir()] == [f".{name}.parquet.{os.getpid()}.writing"]


def test_a_folder_that_cannot_be_made_is_refused(capture, tmp_path):
    """A path below a file is an error of ours, with the path in it."""
    (tmp_path / "file").touch()
    with pytest.raises(WriteFailed, match="file"):
        report_of([capture], tmp_path / "file" / "out")


def test_an_empty_capture_makes_empty_tables(tmp_path):
    """No record, no row; the tables are there with their columns."""
    head = CaptureHead(FIRST_ID, "spot", TimeBase.WALL, True, START_NS, "0.1.0")
    with CaptureWriter(tmp_path / "c", head, fsync=False):
        pass
    assert report_of([tmp_path / "c"], tmp_path / "out") == dict.fromkeys(TABLES, 0)
    for name, schema in TABLES.items():
        assert pq.read_table(tmp_path / "out" / f"{name}.parquet").schema.names == schema.names


def test_an_interrupted_report_says_so_and_replaces_none(capture, tmp_path):
    """It is of what was replayed so far, which its metadata say; an earlier report stays byte for byte."""
    for out in (tmp_path / "new", tmp_path / "old"):
        if out.name == "old":
            report_of([capture], out)
            before = contents(out)
        run = Run(open_recordings([capture]), levels=True)
        with new_report(run, out, force=True) as report:
            report.take(next(gathered(run.batches(), least=50)))
            report.end(run.finish(), interrupted=True)
    assert contents(tmp_path / "old") == before
    assert "stays" in report.said
    for name in TABLES:
        metadata = pq.read_metadata(tmp_path / "new" / f"{name}.parquet").metadata
        assert metadata[b"hftcap.interrupted"] == b"true"
        assert b"hftcap.interrupted" not in pq.read_metadata(tmp_path / "old" / f"{name}.parquet").metadata
