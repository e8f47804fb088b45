"""What the synthetic venue writes has the venue's keys in its order, its form of numbers, and reads back the same."""

import json

import pytest

import hftcap
from hftcap.binance.endpoints import Market
from hftcap.market.candles import Bar
from hftcap.market.instrument import instrument_of
from hftcap.market.wire import Range, enveloped, exchange_body, head_of, wire_of

NOW = 1_767_225_600_123
BIDS, ASKS = [(100, 5), (102, 0), (101, 7)], [(104, 2), (103, 1)]
BAR = Bar(NOW - 123, NOW - 123 + 59_999, 100, 110, 90, 105, 12, 1_260, 7, 720, 3, 41, 43)

KEYS = {
    ("spot", "trade"): "e E s t p q T m M",
    ("usdm", "trade"): "e E T s t p q X m",
    ("spot", "aggTrade"): "e E s a p q f l T m M",
    ("usdm", "aggTrade"): "e E a s p q nq f l T m st",
    ("spot", "bookTicker"): "u s b B a A",
    ("usdm", "bookTicker"): "e u E T s b B a A ps st",
    ("spot", "depth@100ms"): "e E s U u b a",
    ("usdm", "depth@100ms"): "e E T s ps st U u pu b a",
    ("spot", "depth20"): "lastUpdateId bids asks",
    ("usdm", "depth20"): "e E T s ps st U u pu b a",
    ("spot", "kline_1m"): "e E s k",
    ("usdm", "kline_1m"): "e E s k",
    ("spot", "miniTicker"): "e E s c o h l v q",
    ("usdm", "miniTicker"): "e E s c o h l v q",
}


def events(market: Market, symbol: str = "BTCUSDT") -> dict[str, bytes]:
    """Return a frame of every stream."""
    wire = wire_of(instrument_of(symbol, market), market)
    ids = Range(11, 19, 8)
    texts = {
        "trade": wire.trade(NOW, 41, 100, 5, maker_bought=True),
        "aggTrade": wire.agg_trade(NOW, 7, (41, 43), (100, 5), NOW - 50, bought=False),
        "bookTicker": wire.book_ticker(NOW, 19, (102, 5, 103, 7)),
        "depth@100ms": wire.diff(NOW, NOW - 3, ids, BIDS, ASKS),
        "depth20": wire.partial(NOW, NOW - 3, ids, sorted(BIDS, reverse=True), sorted(ASKS)),
        "kline_1m": wire.kline(NOW, "1m", BAR, closed=False),
        "miniTicker": wire.mini_ticker(NOW, BAR),
    }
    return {tail: enveloped(head_of(f"{symbol.lower()}@{tail}"), text) for tail, text in texts.items()}


@pytest.mark.parametrize(("market", "tail"), KEYS)
def test_keys_stand_in_the_venues_order(market, tail):
    """The envelope names the stream first; the event has the documented keys, in their order."""
    frame = json.loads(events(Market(market))[tail])
    assert list(frame) == ["stream", "data"]
    assert frame["stream"] == f"btcusdt@{tail}"
    assert " ".join(frame["data"]) == KEYS[market, tail]
    if tail == "kline_1m":
        assert " ".join(frame["data"]["k"]) == "t T s i f L o c h l v n x q V Q B"


@pytest.mark.parametrize("symbol", ["BTCUSDT", "测试USDT", 'A"B'])
@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_every_message_is_read_without_an_oddity(market, symbol):
    """By our own parser, for any symbol, with raw UTF-8 on the wire."""
    for tail, payload in events(Market(market), symbol).items():
        message = hftcap.parse(payload)
        assert message.oddity is None, payload
        assert message.symbol == symbol
        assert message.stream == f"{symbol.lower()}@{tail}"
        assert symbol.isascii() or symbol.removesuffix("USDT").encode() in payload


def test_numbers_have_the_venues_form():
    """Eight decimals on spot; those of tick and lot on futures, where zero has them too."""
    spot, futures = (json.loads(events(market)["depth@100ms"])["data"] for market in (Market.SPOT, Market.USDM))
    assert spot["b"] == [["1.02000000", "0.00000000"], ["1.01000000", "0.00007000"], ["1.00000000", "0.00005000"]]
    assert spot["a"] == [["1.03000000", "0.00001000"], ["1.04000000", "0.00002000"]]
    assert futures["b"] == [["10.0", "0.005"], ["10.1", "0.007"], ["10.2", "0.000"]]
    assert futures["a"] == [["10.3", "0.001"], ["10.4", "0.002"]]


@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
def test_what_is_written_is_what_is_read(market):
    """Ids, times, prices, sizes and sides come back as they were."""
    instrument = instrument_of("BTCUSDT", market)
    tick, lot = instrument.tick_e8, instrument.lot_e8
    found = {tail: hftcap.parse(payload) for tail, payload in events(market).items()}
    trade, agg, diff = found["trade"], found["aggTrade"], found["depth@100ms"]
    assert (trade.trade_id, trade.price_e8, trade.size_e8, trade.side) == (41, 100 * tick, 5 * lot, "A")
    assert trade.trade_ns == trade.event_ns == NOW * 10**6
    assert (agg.trade_id, agg.first_trade_id, agg.last_trade_id, agg.side) == (7, 41, 43, "B")
    assert (agg.event_ns - agg.trade_ns, agg.size_e8) == (50 * 10**6, 5 * lot)
    assert (diff.first_update_id, diff.final_update_id) == (11, 19)
    assert diff.prev_final_update_id == (None if market is Market.SPOT else 8)
    assert dict(diff.bids) == {price * tick: lots * lot for price, lots in BIDS}
    quote = found["bookTicker"]
    assert (quote.update_id, quote.bid_px_e8, quote.ask_sz_e8) == (19, 102 * tick, 7 * lot)
    assert (quote.event_ns is None) == (market is Market.SPOT)
    assert found["depth20"].update_id == 19
    candle = found["kline_1m"]
    assert (candle.open_e8, candle.high_e8, candle.low_e8, candle.close_e8) == tuple(
        price * tick for price in (100, 110, 90, 105)
    )
    assert (candle.trades, candle.first_trade_id, candle.last_trade_id, candle.closed) == (3, 41, 43, False)
    assert candle.volume * 10**8 == 12 * lot
    assert int(candle.quote_volume * 10**8) == 1_260 * tick * lot // 10**8


@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
def test_rest_answers(market):
    """A snapshot best first, with times on futures only; tick and lot in exchangeInfo."""
    wire = wire_of(instrument_of("BTCUSDT", market), market)
    body = wire.snapshot(NOW, NOW - 3, 19, [(102, 5), (101, 7)], [(103, 1)])
    keys = "lastUpdateId bids asks" if market is Market.SPOT else "lastUpdateId E T bids asks"
    assert " ".join(json.loads(body)) == keys
    message = hftcap.parse(body, rest=True, symbol="BTCUSDT")
    assert (message.type, message.update_id, len(message.bids), len(message.asks)) == ("rest_depth", 19, 2, 1)
    (symbol,) = json.loads(exchange_body([instrument_of("BTCUSDT", market)], market, NOW, 6_000))["symbols"]
    filters = {each["filterType"]: each for each in symbol["filters"]}
    steps = float(filters["PRICE_FILTER"]["tickSize"]), float(filters["LOT_SIZE"]["stepSize"])
    assert steps == ((0.01, 0.00001) if market is Market.SPOT else (0.1, 0.001))
