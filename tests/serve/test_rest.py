"""REST answers and refusals, asked of a market without a socket."""

import json
from pathlib import Path
from typing import Any

import pytest

from hftcap.binance.endpoints import Market
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.pacing import Pace
from hftcap.serve.market import ServedMarket
from hftcap.serve.options import Options
from hftcap.serve.params import RestRefused
from hftcap.serve.paths import TimeUnit, params_of
from hftcap.serve.rest import Ask, answer, weight_of
from tests.fakes import FakeClock
from tests.serve.made import MS, START_MS, START_NS, diff, enveloped, snapshot, trade, usual_records, write_capture


class NoVictims:
    def suffer(self, *_: object) -> None:
        raise AssertionError("no connection is there to suffer")


def market_of(path: Path, *, played: bool = True) -> ServedMarket:
    """Return a market without anybody connected, before its beginning or behind its end."""
    clock = FakeClock()
    market = ServedMarket(Options([path], pace=Pace(None)), clock)
    market.attach(NoVictims())
    if played:
        market.begin(0, 0)
        while market.send_due(0, 0):
            pass
    return market


def ask(market: ServedMarket, path: str, unit: TimeUnit | None = None) -> Any:
    """Return the body of an answer."""
    endpoint, _, query = path.partition("?")
    return json.loads(answer(endpoint, Ask(market.venue, params_of(query), 6000, unit)).body)


def refused(market: ServedMarket, path: str) -> tuple[int, int, str]:
    with pytest.raises(RestRefused) as found:
        ask(market, path)
    return found.value.status, found.value.code, found.value.text


@pytest.fixture(scope="module")
def spot(tmp_path_factory) -> ServedMarket:
    return market_of(write_capture(tmp_path_factory.mktemp("rest") / "spot", usual_records()))


@pytest.fixture(scope="module")
def usdm(tmp_path_factory) -> ServedMarket:
    def update(first: int, final: int, before: int) -> bytes:
        event = {"e": "depthUpdate", "E": START_MS, "T": START_MS, "s": "BTCUSDT", "U": first, "u": final, "pu": before}
        return enveloped("btcusdt@depth@0ms", event | {"b": [["100.10", "1.500"]], "a": [["100.20", "2.000"]]})

    records = [
        (0, update(1, 5, 0)),
        (5, snapshot(4), "BTCUSDT"),
        (9, trade(7, 9, price="100.10")),
        (10, update(8, 9, 5)),
    ]
    path = write_capture(tmp_path_factory.mktemp("rest") / "usdm", records, market=Market.USDM)
    return market_of(path)


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("depth", -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ("depth?symbol=", -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ("depth?symbol=NOPE", -1121, "Invalid symbol."),
        ("depth?symbol=btcusdt", -1100, None),
        ("depth?symbol=BTC%20USDT", -1100, None),
        ("depth?symbol=BTCUSDT&limit=x", -1100, None),
        ("depth?symbol=BTCUSDT&limit=-1", -1100, None),
        ("depth?symbol=BTCUSDT&limit=0", -1130, "Data sent for parameter 'limit' is not valid."),
        ("depth?symbol=BTCUSDT&symbol=BTCUSDT", -1101, None),
        ("depth?symbol=BTCUSDT&limit=5&symbolStatus=TRADING&x=1", -1101, None),
        (
            "depth?symbol=BTCUSDT&x=1",
            -1104,
            "Not all sent parameters were read; read '1' parameter(s) but was sent '2'.",
        ),
        ("depth?symbol=BTCUSDT&symbolStatus=OPEN", -1122, "Invalid symbolStatus."),
        ("depth?symbol=BTCUSDT&symbolStatus=HALT", -1220, None),
        ("ping?x=1", -1101, None),
        ("exchangeInfo?symbol=BTCUSDT&symbols=%5B%22BTCUSDT%22%5D", -1128, None),
        ("exchangeInfo?symbols=%5B%22BTCUSDT%22,%22BTCUSDT%22%5D", -1151, None),
        ("exchangeInfo?symbols=BTCUSDT", -1100, None),
        ("exchangeInfo?symbol=NOPE", -1121, "Invalid symbol."),
        ("ticker/bookTicker?symbol=NOPE", -1121, "Invalid symbol."),
        ("klines?symbol=BTCUSDT", -1020, "This operation is not supported."),
        ("aggTrades?symbol=BTCUSDT", -1020, "This operation is not supported."),
    ],
)
def test_bad_requests_get_the_venues_answer(spot, path, code, words):
    """Every kind of section 7.4 that such a client can meet."""
    status, found, text = refused(spot, path)
    assert (status, found) == (400, code)
    assert words is None or text == words


def test_an_unknown_path_is_not_found(spot):
    """404."""
    assert refused(spot, "nothing")[0] == 404


def test_limits_are_cut_on_spot_and_refused_on_futures(spot, usdm):
    """5,000 is the most there; one of seven here."""
    assert len(ask(spot, "depth?symbol=BTCUSDT&limit=99999")["bids"]) == 3
    assert len(ask(spot, "depth?symbol=BTCUSDT&limit=1")["bids"]) == 1
    assert refused(usdm, "depth?symbol=BTCUSDT&limit=7")[1] == -1130
    assert len(ask(usdm, "depth?symbol=BTCUSDT&limit=5")["bids"]) == 4


def test_depth_is_the_book_in_the_venues_digits(spot, usdm):
    """Best first, padded as the stream pads; futures say when."""
    assert ask(spot, "depth?symbol=BTCUSDT") == {
        "lastUpdateId": 200,
        "bids": [["100.00000000", "1.00000000"], ["99.00000000", "3.00000000"], ["98.00000000", "3.00000000"]],
        "asks": [
            ["100.20000000", "1.00000000"],
            *([f"{price}.00000000", "4.00000000"] for price in (101, 102, 103)),
        ],
    }
    found = ask(usdm, "depth?symbol=BTCUSDT&limit=5")
    assert list(found) == ["lastUpdateId", "E", "T", "bids", "asks"]
    assert found["lastUpdateId"] == 9


def test_times(spot):
    """The market's, in the unit asked for."""
    at = START_MS + 390
    assert ask(spot, "time") == {"serverTime": at}
    assert ask(spot, "time", TimeUnit.MICROSECOND)["serverTime"] // 1000 == at


def test_trades_are_the_last_that_were_sent(spot):
    """With the quote quantity, exact."""
    rows = ask(spot, "trades?symbol=BTCUSDT&limit=2")
    assert [row["id"] for row in rows] == [38, 39]
    assert rows[-1] == {
        "id": 39,
        "price": "100.10000000",
        "qty": "0.50000000",
        "quoteQty": "50.05000000",
        "time": START_MS + 390,
        "isBuyerMaker": False,
        "isBestMatch": True,
    }
    assert [row["id"] for row in ask(spot, "historicalTrades?symbol=BTCUSDT&fromId=5&limit=3")] == [5, 6, 7]


def test_tickers(spot, usdm):
    """From the stream, or where it has none from the book."""
    assert ask(spot, "ticker/bookTicker?symbol=BTCUSDT")["bidPrice"] == "100.00000000"
    assert ask(spot, "ticker/price?symbol=BTCUSDT") == {"symbol": "BTCUSDT", "price": "100.10000000"}
    assert [row["symbol"] for row in ask(spot, "ticker/price")] == ["BTCUSDT"]
    found = ask(usdm, "ticker/bookTicker?symbol=BTCUSDT")
    assert (found["askPrice"], found["lastUpdateId"]) == ("100.20000000", 9)


def test_exchange_info_has_what_clients_read(spot, usdm):
    """The price filter first, tick and step from what was seen, limits in force."""
    body = ask(spot, "exchangeInfo?symbols=%5B%22BTCUSDT%22%5D")
    (entry,) = body["symbols"]
    assert (entry["baseAsset"], entry["quoteAsset"], entry["status"]) == ("BTC", "USDT", "TRADING")
    assert entry["filters"][0]["filterType"] == "PRICE_FILTER"
    assert entry["filters"][0]["tickSize"] == "0.10000000"
    assert entry["filters"][1]["stepSize"] == "0.10000000"
    assert body["rateLimits"][0] == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 6000,
    }
    assert ask(usdm, "exchangeInfo")["symbols"][0]["contractType"] == "PERPETUAL"


def test_a_captured_exchange_info_is_given_as_it_was(tmp_path):
    """With the server's time and the limits of now."""
    info = {
        "timezone": "UTC",
        "serverTime": 1,
        "rateLimits": [],
        "symbols": [{"symbol": "BTCUSDT", "x": 1}, {"symbol": "E"}],
    }
    head = CaptureHead("00112233445566ab", "spot", TimeBase.WALL, False, START_NS, "0.1.0")
    with CaptureWriter(tmp_path / "info", head, fsync=False) as writer:
        writer.add(json.dumps(info).encode(), START_NS, kind=Kind.REST, note={"note": "rest", "url": "exchangeInfo"})
        writer.add(diff(1, 2), START_NS + MS)
    found = ask(market_of(tmp_path / "info"), "exchangeInfo?symbol=BTCUSDT")
    assert found["symbols"] == [{"symbol": "BTCUSDT", "x": 1}]
    assert found["serverTime"] > 1
    assert found["rateLimits"]


def test_before_the_beginning_nothing_is_invented(tmp_path):
    """No trade yet, no price yet; depth is the snapshot that comes."""
    market = market_of(write_capture(tmp_path / "usual", usual_records()), played=False)
    assert ask(market, "trades?symbol=BTCUSDT") == []
    assert refused(market, "ticker/price?symbol=BTCUSDT")[1] == -1020
    assert ask(market, "depth?symbol=BTCUSDT&limit=1")["lastUpdateId"] == 5
    assert ask(market, "time") == {"serverTime": START_MS}


def test_weights_are_the_venues():
    """By endpoint, by levels, by one symbol or all."""
    assert weight_of(Market.SPOT, "ping", ()) == 1
    assert [weight_of(Market.SPOT, "depth", (("limit", str(n)),)) for n in (1, 101, 501, 5000)] == [5, 25, 50, 250]
    assert weight_of(Market.SPOT, "depth", (("limit", "x"),)) == 5
    assert weight_of(Market.USDM, "depth", (("limit", "1000"),)) == 20
    assert weight_of(Market.USDM, "depth", (("limit", "7"),)) == 10
    assert weight_of(Market.SPOT, "ticker/bookTicker", ()) == 4
    assert weight_of(Market.SPOT, "exchangeInfo", ()) == 20
