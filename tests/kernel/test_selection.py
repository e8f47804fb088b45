"""Which records a run is about, by symbol, stream and connection."""

import pytest

from hftcap.binance.parser import parse
from hftcap.kernel import Selection

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
