"""The tables of every real capture, held against its truth and its payloads by means that share nothing with them."""

import hashlib
import json
from collections import Counter, deque
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hftcap.capture.reader import open_recordings
from tests.corpus.test_truth import CAPTURES, run_hftcap, sources, together

TIMES = ("ts_recv", "ts_event", "ts_trade", "ts_start", "ts_end")


class Reported(NamedTuple):
    """A capture, its truth, the folder of its report, and each payload as JSON by file, block and record."""

    truth: dict[str, Any]
    capture: Path
    tables: Path
    payloads: dict[tuple[str, int, int], Any]


@pytest.fixture(scope="module", params=[together(name) for name in CAPTURES])
def made(request, corpus, tmp_path_factory) -> Reported:
    truth = json.loads((corpus / "truth.json").read_text())
    folder = tmp_path_factory.mktemp("report")
    capture, tables = folder / "capture", folder / "out"
    run_hftcap("import", "--from", CAPTURES[request.param], *sources(corpus, truth, request.param), "-o", capture)
    run_hftcap("replay", capture, "--report", tables)
    return Reported(truth[request.param], capture, tables, payloads_by_place(capture))


def read(made: Reported, name: str, *columns: str) -> dict[str, list[Any]]:
    """Return columns of a table as lists, times as integers."""
    table = pq.read_table(made.tables / f"{name}.parquet", columns=list(columns) or None)
    for position, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(position, field.name, table[field.name].cast(pa.int64()))
    return table.to_pydict()


def test_every_row_leads_back_to_its_payload_and_none_is_twice(made):
    """`messages` has each stored record once, in order; its place, bytes and stamp are those of the payload there."""
    rows = read(made, "messages", "ts_recv", "file", "block", "record", "bytes")
    stored = [
        (int(recv), chunk.path.name, chunk.position, record, len(chunk.block.payload(record)))
        for (recording,) in [open_recordings([made.capture])]
        for chunk in recording.chunks()
        for record, recv in enumerate(chunk.block.recv_ns)
    ]
    assert list(zip(*rows.values(), strict=True)) == stored
    assert len(set(zip(rows["file"], rows["block"], rows["record"], strict=True))) == len(stored)


def test_trades_are_the_prints_in_the_payloads(made):
    """Ids, prices, sizes, sides and times equal the payload's own text, and their sums the truth's."""
    rows = read(made, "trades")
    payloads = made.payloads
    sums: Counter[tuple[str, str]] = Counter()
    counts: Counter[tuple[str, str]] = Counter()
    seen = set()
    for row in rows_of(rows):
        data = payloads[row["file"], row["block"], row["record"]]["data"]
        ident = data["t"] if data["e"] == "trade" else data["a"]
        assert (row["trade_id"], row["symbol"], row["side"]) == (ident, data["s"], "A" if data["m"] else "B")
        assert Decimal(row["price_e8"]) == Decimal(data["p"]) * 10**8
        assert Decimal(row["size_e8"]) == Decimal(data["q"]) * 10**8
        assert row["ts_trade"] == data["T"] * (1_000_000 if data["T"] < 10**14 else 1_000)
        key = (row["symbol"], data["e"])
        assert (*key, ident) not in seen
        seen.add((*key, ident))
        sums[key] += row["size_e8"]
        counts[key] += 1
    expected = {
        (symbol, kind): figures[kind]
        for symbol, figures in made.truth["symbols"].items()
        for kind in ("trade", "aggTrade")
        if kind in figures
    }
    assert counts == {key: figures["n"] for key, figures in expected.items()}
    assert sums == {key: figures["sum_qty_e8"] for key, figures in expected.items()}


class PlainSide:
    """One side of a book as a dict and its best price; `sign` is 1 for bids, -1 for asks."""

    def __init__(self, sign: int) -> None:
        self.sizes: dict[int, int] = {}
        self._sign = sign
        self._best: int | None = None

    def set(self, price: int, size: int) -> str:
        """Apply a row; return the action that is due to it."""
        held = price in self.sizes
        if not size:
            self.sizes.pop(price, None)
            if price == self._best:
                self._best = None
            return "C"
        self.sizes[price] = size
        if self._best is not None and price * self._sign > self._best * self._sign:
            self._best = price
        return "M" if held else "A"

    def best(self) -> tuple[int | None, int | None]:
        if self._best is None and self.sizes:
            self._best = max(self.sizes) if self._sign > 0 else min(self.sizes)
        return self._best, None if self._best is None else self.sizes[self._best]


def test_applying_all_level_rows_gives_the_true_books_and_every_touch(made):
    """After all rows the digest over all levels is the truth's; after each update the touch is the one in `bbo`."""
    touches: dict[str, deque[tuple[Any, ...]]] = {}
    names = ("source", "symbol", "update_id", "bid_px_00_e8", "bid_sz_00_e8", "ask_px_00_e8", "ask_sz_00_e8")
    for source, symbol, *touch in zip(*read(made, "bbo", *names).values(), strict=True):
        if source == "book":
            touches.setdefault(symbol, deque()).append(tuple(touch))
    expected = sum(map(len, touches.values()))
    assert expected or not any("depth" in figures for figures in made.truth["symbols"].values())
    books: dict[str, dict[str, PlainSide]] = {}
    ended = 128
    columns = ("symbol", "side", "action", "price_e8", "size_e8", "flags", "final_update_id")
    for symbol, side, action, price, size, flags, update_id in zip(
        *read(made, "book_updates", *columns).values(), strict=True
    ):
        if symbol not in books:
            books[symbol] = {"B": PlainSide(1), "A": PlainSide(-1)}
        sides = books[symbol]
        assert action == sides[side].set(price, size)
        ended = flags & 128
        # Where a snapshot is joined by updates that had waited, the one record has the touch after the last of them.
        if ended and touches[symbol][0][0] == update_id:
            assert touches[symbol].popleft() == (update_id, *sides["B"].best(), *sides["A"].best())
    assert ended
    assert not any(touches.values()), "a touch that no update led to"
    for symbol, figures in made.truth["symbols"].items():
        for state in figures.get("states", [])[-1:]:
            if state.get("state", "known") is not None:
                assert digest(books[symbol]) == state["sha256_all_levels"], symbol


def digest(sides: dict[str, PlainSide]) -> str:
    lines = [f"b {price} {size}\n" for price, size in sorted(sides["B"].sizes.items(), reverse=True)]
    lines += [f"a {price} {size}\n" for price, size in sorted(sides["A"].sizes.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_quotes_are_the_payloads_own(made):
    """A row of `bbo` from a bookTicker has the four numbers and the id of its payload."""
    payloads = made.payloads
    quotes = [row for row in rows_of(read(made, "bbo")) if row["source"] == "bookTicker"]
    assert len(quotes) == made.truth["records_by_type"].get("bookTicker", 0)
    for row in quotes:
        data = payloads[row["file"], row["block"], row["record"]]["data"]
        fields = (row["bid_px_00_e8"], row["bid_sz_00_e8"], row["ask_px_00_e8"], row["ask_sz_00_e8"])
        assert fields == tuple(Decimal(data[key]) * 10**8 for key in "bBaA")
        assert row["update_id"] == data["u"]


def test_gaps_are_those_of_the_truth(made):
    """Holes in the updates and missing prints, no more and no fewer, each with a cause."""
    rows = rows_of(read(made, "gaps"))
    expected = sum(figures.get("depth", {}).get("gaps", 0) for figures in made.truth["symbols"].values())
    missing = sum(
        figures[kind]["missing_ids"]
        for figures in made.truth["symbols"].values()
        for kind in ("trade", "aggTrade")
        if kind in figures
    )
    prints = [row for row in rows if "rade" in row["stream"]]
    assert len(rows) - len(prints) == expected
    assert sum(row["next_id"] - row["last_good_id"] - 1 for row in prints) == missing
    assert {row["cause"] for row in rows} <= {"loss", "damage", "reconnect", "sequence"}


@pytest.mark.parametrize("name", ["messages", "trades", "book_updates", "bbo", "latency", "gaps"])
def test_duckdb_and_polars_read_every_nanosecond(name, made):
    """As integers the times are the same through three readers; a price times 1e8 rounds to its integer."""
    path = made.tables / f"{name}.parquet"
    ours = pq.read_table(path)
    frame = pl.read_parquet(path)
    duck = duckdb.read_parquet(str(path))
    for column in set(TIMES) & set(ours.column_names):
        expected = ours[column].cast(pa.int64()).combine_chunks()
        assert frame[column].cast(pl.Int64).to_arrow().equals(expected)
        assert same(duck.project(f"epoch_ns({column}) AS ns"), expected)
    for scaled in (column for column in ours.column_names if column.endswith("_e8")):
        plain = scaled.removesuffix("_e8")
        expected = ours[scaled].combine_chunks()
        assert (frame[plain] * 1e8).round().cast(pl.Int64).to_arrow().equals(expected)
        assert same(duck.project(f"round({plain} * 1e8)::BIGINT AS e8"), expected)


def same(found: duckdb.DuckDBPyRelation, expected: pa.Array) -> bool:
    """Say whether a relation of one column has just these values."""
    return found.to_arrow_table().column(0).combine_chunks().equals(expected)


@pytest.mark.parametrize("made", [together(name) for name in ("cf_2107_usdm", "hb24_spot_ethusdt_day1")], indirect=True)
def test_the_same_capture_gives_the_same_bytes(made, tmp_path, hftcap):
    """Whatever the pieces: a second run, and one at a pace that hands over a few records at a time."""
    before = {path.name: path.read_bytes() for path in made.tables.iterdir()}
    assert hftcap("replay", made.capture, "--report", tmp_path / "again", "--speed", "300").code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == before


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def payloads_by_place(capture: Path) -> dict[tuple[str, int, int], Any]:
    """Return the payloads of a capture; those without an envelope get one."""
    found = {}
    for recording in open_recordings([capture]):
        for chunk in recording.chunks():
            for record, payload in enumerate(chunk.block.payload_list()):
                value = json.loads(payload)
                found[chunk.path.name, chunk.position, record] = value if "data" in value else {"data": value}
    return found
