"""What a capture is seen to have before anything is sent."""

from pathlib import Path

import pytest

from hftcap.binance.streams import StreamType
from hftcap.capture.reader import open_recordings
from hftcap.pipeline import Run
from hftcap.serve.catalog import Catalog, open_books, read_catalog
from hftcap.serve.exchange_info import assets_of
from tests.serve.made import MS, START_NS, diff, enveloped, quote, snapshot, trade, write_capture


def catalog_of(path: Path) -> Catalog:
    def run() -> Run:
        return Run(open_recordings([path]), books_only=True)

    found = read_catalog(run())
    open_books(found, run())
    return found


def test_streams_symbols_and_digits(tmp_path):
    """As they are written, and as fine as they were seen to be."""
    records = [
        (0, trade(1, price="100.12300000")),
        (1, quote(2, symbol="ETHBTC")),
        (2, diff(1, 2)),
        (3, b'{"result":null,"id":1}'),
    ]
    found = catalog_of(write_capture(tmp_path / "some", records))
    assert list(found.streams) == ["btcusdt@trade", "ethbtc@bookTicker", "btcusdt@depth@100ms"]
    facts = found.symbols["BTCUSDT"]
    assert (facts.price_decimals, facts.price_finest, facts.size_decimals, facts.size_finest) == (8, 3, 8, 1)
    assert facts.types == {StreamType.TRADE, StreamType.DEPTH}
    assert found.first_ns == START_NS


def test_the_lead_of_the_venues_clock_is_that_of_the_fastest_message(tmp_path):
    """The least of receipt less event time, whatever its sign."""
    records = [(10, trade(1, 2)), (20, trade(2, 25)), (30, trade(3, 31))]
    assert catalog_of(write_capture(tmp_path / "clock", records)).ahead_ns == 5 * MS


def test_the_books_before_the_beginning(tmp_path):
    """A captured snapshot near the beginning, and the book as it is a second behind it."""
    records = [(at * 100, diff(at * 2 + 1, at * 2 + 2)) for at in range(30)]
    records.insert(3, (250, snapshot(6), "BTCUSDT"))
    facts = catalog_of(write_capture(tmp_path / "books", records)).symbols["BTCUSDT"]
    assert facts.snapshot == snapshot(6)
    assert facts.opening is not None
    assert facts.opening.book_update_id == 22


def test_a_snapshot_far_from_the_beginning_is_not_shown_before_it(tmp_path):
    """Ten seconds are the most that REST may be ahead."""
    records = [(0, diff(1, 2)), (11_000, snapshot(6), "BTCUSDT")]
    assert catalog_of(write_capture(tmp_path / "far", records)).symbols["BTCUSDT"].snapshot is None


def test_bare_events_are_named_and_told_of(tmp_path):
    """So that the command can say what they are served as."""
    bare = [(at, each.partition(b'"data":')[2][:-1]) for at, each in ((1, trade(1)), (2, diff(1, 2)))]
    candle = {"e": "kline", "E": 1, "s": "BTCUSDT", "k": {"t": 1, "T": 2, "s": "BTCUSDT", "i": "1m", "f": 1, "L": 2}}
    candle["k"] |= dict.fromkeys("ochlvqVQB", "1.0") | {"n": 1, "x": True}
    bare.append((3, enveloped("", candle).partition(b'"data":')[2][:-1]))
    found = catalog_of(write_capture(tmp_path / "bare", bare))
    assert found.unnamed == ["btcusdt@depth@100ms", "btcusdt@kline_1m", "btcusdt@trade"]


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("ETHBTC", ("ETH", "BTC")),
        ("BTCFDUSD", ("BTC", "FDUSD")),
        ("ETHUSD_PERP", ("ETH", "USD")),
        ("USDTTRY", ("USDT", "TRY")),
        ("WHAT", ("WHAT", "USDT")),
    ],
)
def test_assets_by_a_symbols_name(symbol, expected):
    """The longest quote asset that it ends in."""
    assert assets_of(symbol) == expected
