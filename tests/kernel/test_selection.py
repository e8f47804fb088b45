"""Which records a run is about, by symbol, stream and connection."""

import numpy as np
import pytest

from hftcap.binance.endpoints import Market
from hftcap.binance.parser import parse
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.interop.importer import SourceFormat, import_capture
from hftcap.kernel import Kernel, Selection

TRADE = parse(
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1","q":"1","T":1,"m":true}}'
)
DEPTH = parse(
    b'{"stream":"ethusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"ETHUSDT","U":1,"u":1,"b":[],"a":[]}}'
)
BARE = parse(b'{"e":"depthUpdate","E":1,"s":"ETHUSDT","U":1,"u":1,"b":[],"a":[]}')
SNAPSHOT = parse(b'{"lastUpdateId":1,"bids":[],"asks":[]}', rest=True, symbol="ETHUSDT")
ACK = parse(b'{"result":null,"id":1}')
ALL = [TRADE, DEPTH, BARE, SNAPSHOT, ACK]


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        ({}, ALL),
        ({"symbols": ["btcusdt"]}, [TRADE]),
        ({"symbols": ["ETHUSDT", "XRPUSDT"]}, [DEPTH, BARE, SNAPSHOT]),
        ({"streams": ["trade"]}, [TRADE]),
        ({"streams": ["btcusdt@trade"]}, [TRADE]),
        ({"streams": ["ethusdt@trade"]}, []),
        ({"streams": ["depth"]}, [DEPTH, BARE, SNAPSHOT]),
        ({"streams": ["depth@100ms"]}, [DEPTH, SNAPSHOT]),
        ({"streams": ["ethusdt@depth@100ms"]}, [DEPTH, SNAPSHOT]),
        ({"streams": ["btcusdt@depth@100ms"]}, []),
        ({"streams": ["depth", "trade"], "symbols": ["BTCUSDT"]}, [TRADE]),
        ({"connections": [3]}, ALL),
        ({"connections": [4]}, []),
        ({"connections": [3], "symbols": ["BTCUSDT"]}, [TRADE]),
    ],
)
def test_what_is_taken(selection, taken):
    """By symbol, by a stream's name, its tail or its family, by connection, and by all of them together."""
    chosen = Selection(**selection)
    assert [message for message in ALL if chosen.takes(message, 3)] == taken
    assert bool(chosen) is bool(selection)


def test_what_is_unnamed_is_taken_only_where_nothing_is_named():
    """A binary frame has neither symbol nor stream."""
    assert Selection().takes_unnamed(1)
    assert Selection(connections=[1]).takes_unnamed(1)
    assert not Selection(connections=[2]).takes_unnamed(1)
    assert not Selection(symbols=["BTCUSDT"]).takes_unnamed(1)
    assert not Selection(streams=["trade"]).takes_unnamed(1)


PAYLOADS = [
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1","q":"1","T":1,"m":true}}',
    b'{"stream":"ethusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"ETHUSDT","U":1,"u":1,"b":[],"a":[]}}',
    b'{"stream":"!ticker@arr","data":[]}',
    b'{"e":"depthUpdate","E":1,"s":"ETHUSDT","U":1,"u":1,"b":[],"a":[]}',
    b'{"result":null,"id":1}',
    b"{",
    b"",
]
SELECTIONS = [
    Selection(symbols=["BTCUSDT"]),
    Selection(symbols=["ETHUSDT"], streams=["depth"]),
    Selection(streams=["trade", "!ticker@arr"]),
    Selection(connections=[1]),
    Selection(symbols=["ETHUSDT"], connections=[0]),
]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_what_is_forecast_is_what_is_taken(selection, tmp_path):
    """By the name in the envelope alone the same records are chosen as by the message, of every kind."""
    head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, False, 0, "0.1.0")
    with CaptureWriter(tmp_path / "c", head, fsync=False) as writer:
        for number, payload in enumerate(PAYLOADS * 2):
            writer.add(payload, number, conn=number % 2)
        writer.add(b"\0", number, kind=Kind.WS_BINARY)
        note = {"note": "rest", "symbol": "ETHUSDT"}
        writer.add(b'{"lastUpdateId":1,"bids":[],"asks":[]}', number, kind=Kind.REST, note=note)
    (chunk,) = open_recording([tmp_path / "c"]).chunks()
    taken = Kernel(Market.SPOT, expects_snapshots=False, selection=selection).run(chunk.block).rows.tolist()
    assert 0 < len(taken) < chunk.records
    assert np.flatnonzero(selection.forecast_of(chunk)).tolist() == taken


def test_real_captures_are_forecast_exactly(corpus, tmp_path):
    """Each record of a capture, by symbol and by stream."""
    source = corpus / "hftbacktest/spot/btcusdt_20240808.gz"
    import_capture(SourceFormat.HFTBACKTEST, [source], tmp_path / "c", market=None, created_ns=0)
    for selection in (Selection(symbols=["BTCUSDT"]), Selection(streams=["trade"]), Selection(streams=["depth"])):
        kernel = Kernel(Market.SPOT, expects_snapshots=False, selection=selection)
        for chunk in list(open_recording([tmp_path / "c"]).chunks())[:12]:
            taken = kernel.run(chunk.block).rows
            assert np.array_equal(np.flatnonzero(selection.forecast_of(chunk)), taken)
