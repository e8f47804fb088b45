"""Every payload becomes the message it means, or an oddity; none stops the parser."""

import json
import random
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hftcap.binance.messages import (
    Ack,
    AggTrade,
    BlockTrade,
    BookTicker,
    DepthDiff,
    ErrorReply,
    Kline,
    MarkPrice,
    Message,
    MessageArray,
    Oddity,
    OddityKind,
    OtherEvent,
    PartialDepth,
    ReferencePrice,
    RestDepth,
    RestOther,
    RpiDepth,
    ServerShutdown,
    Ticker,
    Trade,
)
from hftcap.binance.parser import Parser, parse

INT64_MAX = 2**63 - 1
CAP = "92233720368.54775807"
# One parser for all tests: what it remembers of earlier payloads must never show.
PARSER = Parser()

# Frames in the shapes of the venue, one of each. The names are also the ids of the tests below.

EVENTS = {
    "spot trade": (
        "btcusdt@trade",
        '{"e":"trade","E":1723161255208,"s":"BTCUSDT","t":3733474189,"p":"61602.01000000","q":"0.00065000",'
        '"T":1723161255207,"m":false,"M":true}',
    ),
    "futures trade": (
        "btcusdt@trade",
        '{"e":"trade","E":1680652874406,"T":1680652874400,"s":"BTCUSDT","t":3535191080,"p":"28722.50","q":"0.001",'
        '"X":"MARKET","m":true}',
    ),
    "spot aggTrade": (
        "btcusdt@aggTrade",
        '{"e":"aggTrade","E":1723161255208,"s":"BTCUSDT","a":3035249564,"p":"61602.01000000","q":"0.5","f":100,"l":105,'
        '"T":1723161255207,"m":true,"M":true}',
    ),
    "futures aggTrade": (
        "btcusdt@aggTrade",
        '{"e":"aggTrade","E":1791382992488,"a":3477868433,"s":"BTCUSDT","p":"83091.70","q":"0.022","nq":"0.022",'
        '"f":8153634393,"l":8153634394,"T":1791382992338,"m":false,"st":1}',
    ),
    "blockTrade": (
        "btcusdt@blockTrade",
        '{"e":"blockTrade","E":1778600000123,"s":"BTCUSDT","t":17,"p":"61602.01","q":"50","T":1778600000120,"m":false}',
    ),
    "spot bookTicker": (
        "btcusdt@bookTicker",
        '{"u":51078520601,"s":"BTCUSDT","b":"61602.00","B":"4.2","a":"61602.01","A":"3.7"}',
    ),
    "futures bookTicker": (
        "btcusdt@bookTicker",
        '{"e":"bookTicker","u":11757092630476,"s":"BTCUSDT","ps":"BTCUSDT","b":"83091.60","B":"4.215","a":"83091.70",'
        '"A":"3.763","T":1791382994657,"E":1791382994658,"st":1}',
    ),
    "spot depth": (
        "btcusdt@depth@100ms",
        '{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":90,"u":99,"b":[["61602.00","1.5"],["61601.00","0.000"]],'
        '"a":[["61603.00","0.25"]]}',
    ),
    "futures depth": (
        "btcusdt@depth@0ms",
        '{"e":"depthUpdate","E":1785048482829,"T":1785048482718,"s":"BTCUSDT","ps":"BTCUSDT","U":359220619477,'
        '"u":359220619480,"pu":359220613550,"b":[],"a":[["64346.70","589.8041"]],"st":1}',
    ),
    "rpiDepth": (
        "btcusdt@rpiDepth@500ms",
        '{"e":"depthUpdate","E":1785048482829,"T":1785048482718,"s":"BTCUSDT","U":7,"u":9,"pu":5,"b":[["1","2"]],"a":[]}',
    ),
    "spot partial depth": (
        "btcusdt@depth20@100ms",
        '{"lastUpdateId":80089389252,"bids":[["61602.00","0.3898"],["61601.99","0.003"]],"asks":[["61602.01","1"]]}',
    ),
    "futures partial depth": (
        "btcusdt@depth20@100ms",
        '{"e":"depthUpdate","E":1791382994616,"T":1791382994613,"s":"BTCUSDT","ps":"BTCUSDT","U":11757092616793,'
        '"u":11757092625654,"pu":11757092616661,"b":[["83091.60","4.215"]],"a":[["83091.70","3.768"]],"st":1}',
    ),
    "kline": (
        "btcusdt@kline_1m",
        '{"e":"kline","E":1791382992723,"s":"BTCUSDT","k":{"t":1791382980000,"T":1791383039999,"s":"BTCUSDT","i":"1m",'
        '"f":8153633367,"L":8153634395,"o":"83084.90","c":"83091.60","h":"83091.70","l":"83051.20","v":"13.551",'
        '"n":1027,"x":false,"q":"1125714.73960","V":"6.426","Q":"533856.66860","B":"0"}}',
    ),
    "ticker": (
        "btcusdt@ticker",
        '{"e":"24hrTicker","E":1723161255208,"s":"BTCUSDT","p":"-12.5","P":"-0.02","w":"61500.1","x":"61614.51",'
        '"c":"61602.01","Q":"0.1","b":"61602.00","B":"1","a":"61602.01","A":"2","o":"61614.51","h":"62000","l":"60000.5",'
        '"v":"12345.678","q":"760000000.12345678","O":1723074855208,"C":1723161255208,"F":1,"L":900,"n":900}',
    ),
    "miniTicker": (
        "btcusdt@miniTicker",
        '{"e":"24hrMiniTicker","E":1723161255208,"s":"BTCUSDT","c":"61602.01","o":"61614.51","h":"62000","l":"60000.5",'
        '"v":"12345.678","q":"760000000.12345678"}',
    ),
    "windowTicker": (
        "btcusdt@ticker_1h",
        '{"e":"1hTicker","E":1723161255208,"s":"BTCUSDT","p":"-1","P":"-0.1","o":"2","h":"3","l":"1","c":"1","w":"1.5",'
        '"v":"10","q":"15","O":1723157640000,"C":1723161255208,"F":1,"L":9,"n":9}',
    ),
    "markPrice": (
        "btcusdt@markPrice@1s",
        '{"e":"markPriceUpdate","E":1791382993000,"s":"BTCUSDT","p":"83084.30000000","ap":"83084.30000000",'
        '"P":"83195.15881449","i":"83123.65891304","r":"-0.00000078","T":1791388800000,"st":1}',
    ),
    "referencePrice": (
        "bazusd@referencePrice",
        '{"e":"referencePrice","s":"BAZUSD","r":"10.5","t":1770313263917}',
    ),
    "avgPrice": (
        "btcusdt@avgPrice",
        '{"e":"avgPrice","E":1723161255208,"s":"BTCUSDT","i":"5m","w":"61600.5","T":1723161255000}',
    ),
    "forceOrder": (
        "btcusdt@forceOrder",
        '{"e":"forceOrder","E":1723161255208,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014",'
        '"p":"61000","ap":"61100","X":"FILLED","l":"0.014","z":"0.014","T":1723161255200}}',
    ),
    "serverShutdown": ("!serverShutdown", '{"e":"serverShutdown","E":1770123456789}'),
}
ENVELOPED = {name: f'{{"stream":"{stream}","data":{event}}}'.encode() for name, (stream, event) in EVENTS.items()}
BARE = {
    "ack": b'{"result":null,"id":1}',
    "list": b'{"result":["btcusdt@aggTrade"],"id":"a1b2c3"}',
    "bare error": b'{"code":2,"msg":"Invalid request: too many parameters","id":7}',
    "nested error": b'{"error":{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}}',
    "wrapped serverShutdown": b'{"event":{"e":"serverShutdown","E":1770123456789}}',
    "array": b'{"stream":"!miniTicker@arr","data":['
    + b",".join([EVENTS["miniTicker"][1].encode(), EVENTS["miniTicker"][1].replace("BTC", "币").encode()])
    + b"]}",
    "rest depth": b'{"lastUpdateId":359226328428,"E":1785048698972,"T":1785048698968,"symbol":"BTCUSD_PERP",'
    b'"bids":[["64336.00","69.0738"]],"asks":[["64346.70","525.0349"]]}',
}
FRAMES = ENVELOPED | BARE
EACH_FRAME = pytest.mark.parametrize("name", FRAMES)


def assert_sound(message):
    """Check what holds for every result: a type, times and numbers within 64 bits, levels of two."""
    assert isinstance(message, Message)
    assert isinstance(message.type, str)
    assert message.type
    assert message.stream is None or isinstance(message.stream, str)
    assert message.symbol is None or isinstance(message.symbol, str)
    if isinstance(message, Oddity):
        assert message.oddity in {OddityKind.MALFORMED, OddityKind.UNREPRESENTABLE, OddityKind.UNKNOWN}
        assert message.detail
        assert len(message.detail) < 1_000
        return
    assert message.oddity in {None, OddityKind.SIZE_CAPPED, OddityKind.IDS_REVERSED}
    if isinstance(message, Ack | ErrorReply):
        return
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, int):
            assert -1 <= value <= INT64_MAX
        if isinstance(value, Decimal):
            assert value.is_finite()
    if isinstance(message, DepthDiff | PartialDepth | RpiDepth | RestDepth):
        for price, size in (*message.bids, *message.asks):
            assert 0 <= price <= INT64_MAX
            assert 0 <= size <= INT64_MAX
    if isinstance(message, MessageArray):
        assert message.rows
        for row in message.rows:
            assert_sound(row)


def is_json(payload):
    """Say whether the standard library takes the bytes for JSON; it accepts more than the standard, never less."""
    try:
        json.loads(payload.decode())
    except (ValueError, RecursionError):
        return False
    return True


def assert_any_payload_ends_well(payload):
    """Parse in every way there is; what is not JSON must be called malformed."""
    ways = ({}, {"rest": True, "symbol": "BTCUSDT"}, {"rest": False}, {"stream": "btcusdt@depth20@100ms"})
    messages = [PARSER.parse(payload, **way) for way in ways]
    for message in messages:
        assert_sound(message)
    if not is_json(payload):
        assert {message.type for message in messages} == {"malformed"}


# The odd frames, each with what is expected of it.


@pytest.fixture(scope="module")
def odd_frames(corpus):
    """Return the odd frames by name."""
    lines = (corpus / "odd_frames.jsonl").read_text(encoding="utf-8").splitlines()
    frames = {frame["name"]: frame for frame in map(json.loads, lines)}
    assert len(frames) == len(lines) == 42
    return frames


def test_the_odd_frames_are_what_they_are_known_to_be(odd_frames):
    """Acknowledgements, errors, fields of 2026, arrays, escapes, damage: each has its type, fields or oddity."""
    differing = {}
    for name, frame in odd_frames.items():
        message = parse(frame["raw"].encode())
        assert_sound(message)
        expect = {key: value for key, value in frame["expect"].items() if key != "note"}
        found = {key: getattr(message, key, "no such field") for key in expect}
        if found != expect:
            differing[name] = found, expect
    assert not differing


def test_of_the_odd_frames_that_have_a_type_two_have_an_oddity_as_well(odd_frames):
    """Reversed ids and a capped size are typed and flagged; everything else with a type is flawless."""
    messages = {name: parse(frame["raw"].encode()) for name, frame in odd_frames.items() if "type" in frame["expect"]}
    assert {name: message.oddity for name, message in messages.items() if message.oddity} == {
        "spot_aggTrade_f_greater_than_l": "ids_reversed",
        "made_capped_quantity": "size_capped",
    }
    assert messages["made_capped_quantity"].bids == [(100_000_000, INT64_MAX)]


def test_a_row_of_another_market_in_an_array_says_so(odd_frames):
    """Since the merge of the futures, arrays carry rows of both: `st` is kept for each."""
    rows = parse(odd_frames["synthetic_coinm_row_inside_usdm_array_st2"]["raw"].encode()).rows
    assert [(row.symbol, row.symbol_type) for row in rows] == [("BTCUSDT", 1), ("BTCUSD_PERP", 2)]
    rows = parse(odd_frames["usdm_array_markPrice_2026_data_is_a_list"]["raw"].encode()).rows
    assert [(row.type, row.symbol) for row in rows] == [("markPriceUpdate", "XAUUSDT"), ("markPriceUpdate", "XAGUSDT")]


# Frames of any content, written in any way.

symbols = st.sampled_from(["BTCUSDT", "ETHUSD_PERP", "1000PEPEUSDT", "币安人生USDT", "这是测试币456"])
ids = st.one_of(st.integers(0, 10**6), st.integers(0, INT64_MAX))
booleans = st.booleans()


@st.composite
def times(draw):
    """Draw a time as the venue writes it, 13 or 16 digits, and its nanoseconds."""
    if draw(booleans):
        ms = draw(st.integers(10**12, 10**13 // 2))
        return ms, ms * 1_000_000
    us = draw(st.integers(10**15, 9 * 10**15))
    return us, us * 1_000


@st.composite
def decimals(draw, highest=INT64_MAX - 1):
    """Draw decimal text below the cap, padded or not, and its value scaled by 1e8."""
    value = draw(st.one_of(st.integers(0, 10**9), st.integers(0, highest), st.just(0)))
    text = f"{value // 10**8}.{value % 10**8:08d}"
    return (text.rstrip("0").rstrip(".") if draw(booleans) else text), value


@st.composite
def plain_decimals(draw):
    """Draw the text of a volume, of any size, and its value."""
    text = f"{draw(st.integers(0, 10**30))}.{draw(st.integers(0, 10**12))}"
    return text, Decimal(text)


@st.composite
def levels(draw):
    """Draw one side of a book as the venue writes it, and as it is kept."""
    drawn = draw(st.lists(st.tuples(decimals(), decimals(), st.sampled_from([[], [[]]])), max_size=4))
    return [[price[0], size[0], *third] for price, size, third in drawn], [(p[1], s[1]) for p, s, _ in drawn]


def ordered(draw):
    """Draw two ids, the first not above the second."""
    return sorted((draw(ids), draw(ids)))


def draw_trade(draw, futures):
    """Spot and futures prints; on futures the kind is the venue's word."""
    symbol, trade_id, maker = draw(symbols), draw(ids), draw(booleans)
    (event, event_ns), (trade, trade_ns), (p, price), (q, size) = (
        draw(s) for s in (times(), times(), *[decimals()] * 2)
    )
    wire = {"e": "trade", "E": event, "s": symbol, "t": trade_id, "p": p, "q": q, "T": trade, "m": maker}
    kind = draw(st.sampled_from(["MARKET", "INSURANCE_FUND", "ADL", "NA"])) if futures else "trade"
    message = Trade(
        symbol=symbol,
        event_ns=event_ns,
        trade_id=trade_id,
        price_e8=price,
        size_e8=size,
        trade_ns=trade_ns,
        side="A" if maker else "B",
        kind=kind,
    )
    return "trade", wire | ({"X": kind} if futures else {"M": True}), message


def draw_agg_trade(draw, futures):
    """Fills of one order; `nq` is the size without hidden orders and does not count."""
    symbol, trade_id, maker, (first, last) = draw(symbols), draw(ids), draw(booleans), ordered(draw)
    (event, event_ns), (trade, trade_ns), (p, price), (q, size) = (
        draw(s) for s in (times(), times(), *[decimals()] * 2)
    )
    wire = {"e": "aggTrade", "E": event, "s": symbol, "a": trade_id, "p": p, "q": q, "f": first, "l": last, "T": trade}
    wire["m"] = maker
    message = AggTrade(
        symbol=symbol,
        event_ns=event_ns,
        trade_id=trade_id,
        price_e8=price,
        size_e8=size,
        first_trade_id=first,
        last_trade_id=last,
        trade_ns=trade_ns,
        side="A" if maker else "B",
    )
    return "aggTrade", wire | ({"nq": "0", "st": 1} if futures else {"M": True}), message


def draw_block_trade(draw, futures):
    """Block trades, spot only."""
    symbol, trade_id, maker = draw(symbols), draw(ids), draw(booleans)
    (event, event_ns), (trade, trade_ns), (p, price), (q, size) = (
        draw(s) for s in (times(), times(), *[decimals()] * 2)
    )
    wire = {"e": "blockTrade", "E": event, "s": symbol, "t": trade_id, "p": p, "q": q, "T": trade, "m": maker}
    message = BlockTrade(
        symbol=symbol,
        event_ns=event_ns,
        trade_id=trade_id,
        price_e8=price,
        size_e8=size,
        trade_ns=trade_ns,
        side="A" if maker else "B",
    )
    return "blockTrade", wire, message


def draw_book_ticker(draw, futures):
    """The touch; on spot without a name and without times."""
    symbol, update_id = draw(symbols), draw(ids)
    (b, bid), (bq, bid_size), (a, ask), (aq, ask_size) = (draw(decimals()) for _ in range(4))
    wire = {"u": update_id, "s": symbol, "b": b, "B": bq, "a": a, "A": aq}
    message = BookTicker(
        symbol=symbol, update_id=update_id, bid_px_e8=bid, bid_sz_e8=bid_size, ask_px_e8=ask, ask_sz_e8=ask_size
    )
    if futures:
        (event, event_ns), (trade, trade_ns) = draw(times()), draw(times())
        wire |= {"e": "bookTicker", "E": event, "T": trade, "ps": symbol, "st": 1}
        message = msgspec.structs.replace(message, event_ns=event_ns, trade_ns=trade_ns)
    return "bookTicker", wire, message


def draw_depth(draw, futures, tail="depth@100ms"):
    """Diffs, and on futures what looks like one: only the name of the stream tells them apart."""
    symbol, (first, final), (event, event_ns) = draw(symbols), ordered(draw), draw(times())
    (wire_bids, bids), (wire_asks, asks) = draw(levels()), draw(levels())
    wire = {"e": "depthUpdate", "E": event, "s": symbol, "U": first, "u": final, "b": wire_bids, "a": wire_asks}
    trade_ns = previous = None
    if futures:
        (trade, trade_ns), previous = draw(times()), draw(ids)
        wire |= {"T": trade, "pu": previous, "ps": symbol, "st": 1}
    if tail.startswith("depth20"):
        message = PartialDepth(
            symbol=symbol, event_ns=event_ns, trade_ns=trade_ns, update_id=final, bids=bids, asks=asks
        )
        return tail, wire, message
    message = (RpiDepth if tail.startswith("rpi") else DepthDiff)(
        symbol=symbol,
        event_ns=event_ns,
        trade_ns=trade_ns,
        first_update_id=first,
        final_update_id=final,
        prev_final_update_id=previous,
        bids=bids,
        asks=asks,
    )
    return tail, wire, message


def draw_partial_depth(draw, futures):
    """A full top N: on spot without name, time and symbol; on futures in the shape of a diff."""
    if futures:
        return draw_depth(draw, futures, "depth20@100ms")
    symbol, update_id = draw(symbols), draw(ids)
    (wire_bids, bids), (wire_asks, asks) = draw(levels()), draw(levels())
    wire = {"lastUpdateId": update_id, "bids": wire_bids, "asks": wire_asks}
    return "depth5", wire, PartialDepth(symbol=symbol, update_id=update_id, bids=bids, asks=asks)


def draw_kline(draw, futures):
    """A candle; without a trade its trade ids are -1."""
    symbol, trades, closed = draw(symbols), draw(ids), draw(booleans)
    (event, event_ns), (begin, open_ns), (end, close_ns) = (draw(times()) for _ in range(3))
    (o, open_), (h, high), (low_text, low), (c, close) = (draw(decimals()) for _ in range(4))
    (v, volume), (q, quote) = draw(plain_decimals()), draw(plain_decimals())
    first, last = draw(st.one_of(st.just((-1, -1)), st.tuples(ids, ids)))
    interval = draw(st.sampled_from(["1s", "1m", "1M", "1h"]))
    candle = {"t": begin, "T": end, "s": symbol, "i": interval, "f": first, "L": last, "o": o, "c": c, "h": h}
    candle |= {"l": low_text, "v": v, "n": trades, "x": closed, "q": q, "V": "1", "Q": "2", "B": "0"}
    message = Kline(
        symbol=symbol,
        event_ns=event_ns,
        interval=interval,
        open_ns=open_ns,
        close_ns=close_ns,
        open_e8=open_,
        high_e8=high,
        low_e8=low,
        close_e8=close,
        volume=volume,
        quote_volume=quote,
        trades=trades,
        first_trade_id=first,
        last_trade_id=last,
        closed=closed,
    )
    return f"kline_{interval}", {"e": "kline", "E": event, "s": symbol, "k": candle}, message


def draw_ticker(draw, futures):
    """Rolling statistics under any of their names; the price change may be negative."""
    kind, tail = draw(
        st.sampled_from(
            [
                ("24hrTicker", "ticker"),
                ("24hrMiniTicker", "miniTicker"),
                ("1hTicker", "ticker_1h"),
                ("4hTicker", "ticker_4h"),
                ("1dTicker", "ticker_1d"),
            ]
        )
    )
    symbol, (event, event_ns) = draw(symbols), draw(times())
    (c, last), (o, open_), (h, high), (low_text, low) = (draw(decimals()) for _ in range(4))
    (v, volume), (q, quote) = draw(plain_decimals()), draw(plain_decimals())
    wire = {"e": kind, "E": event, "s": symbol, "c": c, "o": o, "h": h, "l": low_text, "v": v, "q": q}
    if kind != "24hrMiniTicker":
        wire |= {
            "p": "-94.99999800",
            "P": "-95.960",
            "w": "0.29628482",
            "O": 0,
            "C": 86400000,
            "F": 0,
            "L": 18150,
            "n": 18151,
        }
    symbol_type = draw(st.sampled_from([1, 2])) if futures else None
    message = Ticker(
        kind=kind,
        symbol=symbol,
        event_ns=event_ns,
        last_e8=last,
        open_e8=open_,
        high_e8=high,
        low_e8=low,
        volume=volume,
        quote_volume=quote,
        symbol_type=symbol_type,
    )
    return tail, wire | ({"st": symbol_type} if futures else {}), message


def draw_mark_price(draw, futures):
    """Mark price and funding; the rate may be negative, or empty for a delivery contract."""
    symbol, (event, event_ns), (following, following_ns) = draw(symbols), draw(times()), draw(times())
    (p, mark), (i, index) = draw(decimals()), draw(decimals())
    rate = draw(st.sampled_from(["", "0.00010000", "-0.00000078"]))
    wire = {"e": "markPriceUpdate", "E": event, "s": symbol, "p": p, "ap": p, "P": "1.5", "i": i, "r": rate}
    message = MarkPrice(
        symbol=symbol,
        event_ns=event_ns,
        mark_e8=mark,
        index_e8=index,
        funding_rate=Decimal(rate) if rate else None,
        next_funding_ns=following_ns,
        symbol_type=1,
    )
    return "markPrice", wire | {"T": following, "st": 1}, message


def draw_reference_price(draw, futures):
    """A price or null, at an engine time, without an event time."""
    symbol, (at, engine_ns), (r, price) = (
        draw(symbols),
        draw(times()),
        draw(st.one_of(decimals(), st.just((None, None)))),
    )
    wire = {"e": "referencePrice", "s": symbol, "r": r, "t": at}
    return "referencePrice", wire, ReferencePrice(symbol=symbol, price_e8=price, engine_ns=engine_ns)


def draw_other(draw, futures):
    """Events that are known by name only."""
    kind = draw(st.sampled_from(["avgPrice", "contractInfo", "assetIndexUpdate", "compositeIndex"]))
    symbol, (event, event_ns) = draw(symbols), draw(times())
    wire = {"e": kind, "E": event, "s": symbol, "w": "25776.86", "i": "5m"}
    return "avgPrice", wire, OtherEvent(kind=kind, symbol=symbol, event_ns=event_ns)


KINDS = {
    "spot trade": (draw_trade, False),
    "futures trade": (draw_trade, True),
    "spot aggTrade": (draw_agg_trade, False),
    "futures aggTrade": (draw_agg_trade, True),
    "blockTrade": (draw_block_trade, False),
    "spot bookTicker": (draw_book_ticker, False),
    "futures bookTicker": (draw_book_ticker, True),
    "spot depth": (draw_depth, False),
    "futures depth": (draw_depth, True),
    "rpiDepth": (lambda draw, futures: draw_depth(draw, futures, "rpiDepth@500ms"), True),
    "spot partial depth": (draw_partial_depth, False),
    "futures partial depth": (draw_partial_depth, True),
    "kline": (draw_kline, False),
    "spot ticker": (draw_ticker, False),
    "futures ticker": (draw_ticker, True),
    "markPrice": (draw_mark_price, True),
    "referencePrice": (draw_reference_price, False),
    "other event": (draw_other, True),
}
EACH_KIND = pytest.mark.parametrize("kind", KINDS)


def draw_frame(data, kind):
    """Draw a frame of a kind: the name of its stream, the event as the venue has it, the message it is."""
    build, futures = KINDS[kind]
    tail, wire, message = build(data.draw, futures)
    stream = f"{(message.symbol or '').lower()}@{tail}"
    return stream, wire, msgspec.structs.replace(message, stream=stream)


class Scribe:
    """Write a JSON value in an unusual but equivalent way.

    Keys in any order, keys nobody knows, keys repeated with the right value last, white space, escapes.
    """

    def __init__(self, seed):
        self.random = random.Random(seed)

    def write(self, value):
        """Return the value as JSON text."""
        if isinstance(value, dict):
            text = "{" + ",".join(self.member(*member) for member in self.members(value)) + "}"
        elif isinstance(value, list):
            text = "[" + ",".join(map(self.write, value)) + (self.space() if not value else "") + "]"
        elif isinstance(value, str):
            text = self.string(value)
        else:
            text = json.dumps(value)
        return self.space() + text + self.space()

    def members(self, value):
        """Return the members in some order, with unknown and earlier, overridden ones."""
        members = list(value.items())
        self.random.shuffle(members)
        for key in list(value):
            if self.random.random() < 0.15:
                at = next(i for i, (other, _) in enumerate(members) if other == key)
                members.insert(self.random.randint(0, at), (key, self.junk()))
        for _ in range(self.random.randint(0, 2)):
            unknown = f"{self.random.choice(['zz', 'eE', 'sS', 'Stream', '未知', ''])}{self.random.randint(0, 99)}"
            members.insert(self.random.randint(0, len(members)), (unknown, self.junk()))
        return members

    def member(self, key, value):
        """Return one member."""
        return f"{self.space()}{self.string(key)}{self.space()}:{self.write(value)}"

    def junk(self):
        """Return a value that is nothing in particular."""
        return self.random.choice([None, True, 7, -1.5, 2**70, "", "trade", "1.", [], [[["1"]]], {}, {"e": "trade"}])

    def space(self):
        """Return white space, mostly none."""
        return "".join(self.random.choices(" \t\r\n", k=self.random.choice([0, 0, 0, 0, 0, 1, 3])))

    def string(self, text):
        """Return a JSON string, some of its characters as escapes."""
        if self.random.random() < 0.8:
            return json.dumps(text, ensure_ascii=self.random.random() < 0.5)
        return '"' + "".join(self.character(c) for c in text) + '"'

    def character(self, character):
        """Return a character plain or escaped; all of those used here have one UTF-16 unit."""
        if self.random.random() < 0.5:
            return json.dumps(character, ensure_ascii=False)[1:-1]
        return f"\\u{ord(character):04{self.random.choice('xX')}}"


seeds = st.integers(0, 2**32)


@EACH_KIND
@given(data=st.data(), seed=seeds)
@settings(max_examples=50)
def test_a_frame_is_one_message_however_it_is_written(kind, data, seed):
    """Order, unknown and repeated keys, white space and escapes change nothing; the fields are those of the notes."""
    stream, wire, message = draw_frame(data, kind)
    compact = json.dumps({"stream": stream, "data": wire}, separators=(",", ":"), ensure_ascii=False).encode()
    assert parse(compact) == message
    written = Scribe(seed).write({"stream": stream, "data": wire}).encode()
    assert PARSER.parse(written) == message
    assert PARSER.parse(written, rest=False, stream="other@trade") == message, "the envelope's name goes first"


@EACH_KIND
@given(data=st.data(), seed=seeds)
@settings(max_examples=25)
def test_a_raw_connection_s_frame_is_the_same_message(kind, data, seed):
    """Without an envelope the name of the connection's only stream stands in for it."""
    stream, wire, message = draw_frame(data, kind)
    assert PARSER.parse(Scribe(seed).write(wire).encode(), stream=stream) == message


@EACH_KIND
@given(data=st.data(), seed=seeds)
@settings(max_examples=25)
def test_without_any_stream_name_only_what_the_name_tells_is_missing(kind, data, seed):
    """A bare event is typed by its own fields; a partial depth has no symbol, or on futures is taken for a diff."""
    _, wire, message = draw_frame(data, kind)
    bare = PARSER.parse(Scribe(seed).write(wire).encode(), rest=False)
    expected = msgspec.structs.replace(message, stream=None)
    if kind == "spot partial depth":
        expected = msgspec.structs.replace(expected, symbol=None)
    if kind in ("futures partial depth", "rpiDepth"):
        assert (type(bare), bare.final_update_id) == (DepthDiff, wire["u"])
        return
    assert bare == expected


# A spot partial depth has its symbol from the name of its own stream: the venue has no array of such.
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"spot partial depth"}))
@given(data=st.data(), seed=seeds)
@settings(max_examples=20)
def test_an_array_is_its_rows(kind, data, seed):
    """One message for every row, in wire order, each as if it had come alone; in an envelope or without."""
    rows = [draw_frame(data, kind) for _ in range(data.draw(st.integers(1, 3)))]
    wires = [wire for _, wire, _ in rows]
    array = PARSER.parse(Scribe(seed).write({"stream": "!all@arr", "data": wires}).encode())
    alone = PARSER.parse(Scribe(seed).write(wires).encode())
    for found, name in ((array, "!all@arr"), (alone, None)):
        assert type(found) is MessageArray
        assert (found.stream, found.type, found.oddity) == (name, found.rows[0].type, None)
        bare = [PARSER.parse(json.dumps(wire).encode(), stream=name) for wire in wires]
        assert list(found.rows) == bare


control_ids = st.one_of(
    st.none(), st.integers(-(2**63), INT64_MAX), st.from_regex(r"[a-zA-Z0-9-]{1,36}", fullmatch=True)
)
results = st.one_of(
    st.none(), st.booleans(), st.lists(st.sampled_from(["btcusdt@trade", "币安人生usdt@depth"]), max_size=3)
)


@given(control_ids, results, seeds)
@settings(max_examples=200)
def test_an_acknowledgement_echoes_its_id_with_its_type(request_id, result, seed):
    """Number, text or null: id and result come back as they were, on any connection."""
    payload = Scribe(seed).write({"result": result, "id": request_id}).encode()
    assert PARSER.parse(payload) == PARSER.parse(payload, rest=False) == Ack(id=request_id, result=result)
    assert type(PARSER.parse(payload).id) is type(request_id)


@given(control_ids, st.integers(-9999, 9), st.text(max_size=60), st.booleans(), seeds)
@settings(max_examples=200)
def test_an_error_is_one_nested_or_bare_with_or_without_id(request_id, code, text, nested, seed):
    """Documents print it bare, the wire has it nested; some name no id."""
    error = {"code": code, "msg": "".join(c for c in text if ord(c) < 0x10000)}
    body = {"error": error} if nested else dict(error)
    if request_id is not None:
        body["id"] = request_id
    expected = ErrorReply(code=code, text=error["msg"], id=request_id)
    assert PARSER.parse(Scribe(seed).write(body).encode()) == expected


@given(times(), seeds)
@settings(max_examples=100)
def test_a_shutdown_notice_is_known_in_its_three_shapes(time, seed):
    """Bare, in the combined envelope, and as the WebSocket API wraps it; its time has the connection's unit."""
    wire, event_ns = time
    event = {"e": "serverShutdown", "E": wire}
    scribe = Scribe(seed)
    assert PARSER.parse(scribe.write(event).encode()) == ServerShutdown(event_ns=event_ns)
    enveloped = scribe.write({"stream": "!serverShutdown", "data": event}).encode()
    assert PARSER.parse(enveloped) == ServerShutdown(stream="!serverShutdown", event_ns=event_ns)
    assert PARSER.parse(scribe.write({"event": event}).encode()) == ServerShutdown(event_ns=event_ns)


# REST bodies.


@given(st.one_of(ids, st.just(-1)), levels(), levels(), st.none() | st.tuples(times(), times()), st.booleans(), seeds)
@settings(max_examples=200)
def test_a_rest_snapshot_has_the_symbol_that_was_asked_for(update_id, bids, asks, stamps, named, seed):
    """Spot has no time, futures two; only COIN-M names the symbol itself; -1 is a symbol without history."""
    wire = {"lastUpdateId": update_id, "bids": bids[0], "asks": asks[0]}
    expected = RestDepth(update_id=update_id, bids=bids[1], asks=asks[1], symbol="BTCUSD_PERP")
    if stamps:
        wire |= {"E": stamps[0][0], "T": stamps[1][0]}
        expected = msgspec.structs.replace(expected, event_ns=stamps[0][1], trade_ns=stamps[1][1])
    if named:
        wire |= {"symbol": "BTCUSD_PERP", "pair": "BTCUSD"}
    payload = Scribe(seed).write(wire).encode()
    assert PARSER.parse(payload, rest=True, symbol="BTCUSD_PERP") == expected
    assert PARSER.parse(payload, symbol="BTCUSD_PERP") == expected, "a bare body is taken for a REST snapshot"
    anonymous = PARSER.parse(payload, rest=True)
    assert anonymous == msgspec.structs.replace(expected, symbol="BTCUSD_PERP" if named else None)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"serverTime":1499827319559}',
        b'{"timezone":"UTC","serverTime":1,"rateLimits":[],"symbols":[{"symbol":"BTCUSDT","filters":[]}]}',
        b'[{"id":28457,"price":"4.00000100","qty":"12.00000000","time":1499865549590,"isBuyerMaker":true}]',
        b"[]",
        b'{"symbol":"BTCUSDT","bidPrice":"4","bidQty":"431","askPrice":"4.00000200","askQty":"9"}',
        b'[[1499040000000,"0.01634790","0.8","0.01","0.015","148976.1",1499644799999,"2434.1",308,"1756.8","28.4","0"]]',
    ],
)
def test_other_rest_bodies_are_kept_without_being_taken_for_events(body):
    """Whatever an endpoint answers, lists too, is `rest_other` of the symbol that was asked for."""
    message = parse(body, rest=True, symbol="BTCUSDT")
    assert (type(message), message.type, message.symbol) == (RestOther, "rest_other", "BTCUSDT")


def test_a_refused_rest_request_is_an_error():
    """The body of a 4XX answer names code and text."""
    message = parse(b'{"code":-1121,"msg":"Invalid symbol."}', rest=True, symbol="NOPE")
    assert (type(message), message.code, message.text) == (ErrorReply, -1121, "Invalid symbol.")


@pytest.mark.parametrize("body", [b"", b"<html>403 Forbidden</html>", b'{"lastUpdateId":1,"bids":[["1"', b"\xff"])
def test_a_rest_body_that_is_no_json_is_malformed(body):
    """A firewall's page or a cut body is an oddity, not a snapshot."""
    assert parse(body, rest=True).type == "malformed"


# Names, times, numbers.


@pytest.mark.parametrize(
    ("stream", "symbol"),
    [
        ("btcusdt@depth5", "BTCUSDT"),
        ("1000pepeusdt@depth10@100ms", "1000PEPEUSDT"),
        ("币安人生usdt@depth20@1000ms", "币安人生USDT"),
        ("这是测试币456@depth20", "这是测试币456"),
        ("éusdt@depth5", "ÉUSDT"),
        ("ßusdt@depth5", "ßUSDT"),  # its upper case is SS: another symbol
        ("ıusdt@depth5", "ıUSDT"),  # its upper case is I: another symbol
        ("no such stream", None),
    ],
)
def test_a_partial_depth_has_its_symbol_from_the_name_of_its_stream(stream, symbol):
    """Payloads spell symbols in upper case, beyond ASCII as well, and two symbols never become one."""
    event = b'{"lastUpdateId":5,"bids":[],"asks":[]}'
    enveloped = f'{{"stream":"{stream}","data":{event.decode()}}}'.encode()
    for message in (parse(enveloped), parse(event, stream=stream), parse(event, stream=stream, rest=False)):
        assert (type(message), message.symbol, message.stream) == (PartialDepth, symbol, stream)


def with_field(name, key, text):
    """Return the bare event of this name with a key set to JSON text."""
    event = json.loads(EVENTS[name][1])
    event[key] = "placeholder"
    return json.dumps(event).replace('"placeholder"', text).encode()


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1723161255208", 1_723_161_255_208_000_000),
        ("1741046400123456", 1_741_046_400_123_456_000),
        ("1770000000123001", 1_770_000_000_123_001_000),
    ],
)
def test_milliseconds_and_microseconds_are_told_apart_by_magnitude(text, nanoseconds):
    """13 digits are milliseconds, 16 are microseconds, in every time of a message."""
    for name in ("spot trade", "spot aggTrade", "futures bookTicker", "futures depth"):
        assert parse(with_field(name, "E", text)).event_ns == nanoseconds
        assert parse(with_field(name, "T", text)).trade_ns == nanoseconds
    assert parse(with_field("referencePrice", "t", text)).engine_ns == nanoseconds
    assert parse(with_field("markPrice", "T", text)).next_funding_ns == nanoseconds


@pytest.mark.parametrize("text", ["-1", "1.5", "1723161255208.0", '"1723161255208"', "true", "[]", "{}", "1" * 20])
def test_what_is_no_time_is_malformed(text):
    """Negative, fractional, quoted or beyond 64 bits: no time is made up."""
    for name in ("spot trade", "spot aggTrade", "futures depth", "kline", "ticker"):
        assert parse(with_field(name, "E", text)).type == "malformed", name


def test_a_delivery_contract_has_no_next_funding():
    """The venue writes 0 and an empty rate; the message is typed all the same."""
    event = json.loads(EVENTS["markPrice"][1]) | {"r": "", "T": 0}
    message = parse(json.dumps(event).encode())
    assert (type(message), message.funding_rate) == (MarkPrice, None)
    assert message.next_funding_ns in (None, 0)


ID_FIELDS = [
    ("spot trade", "t", "trade_id"),
    ("spot aggTrade", "a", "trade_id"),
    ("spot aggTrade", "l", "last_trade_id"),
    ("blockTrade", "t", "trade_id"),
    ("spot bookTicker", "u", "update_id"),
    ("spot depth", "u", "final_update_id"),
    ("futures depth", "u", "final_update_id"),
    ("futures depth", "pu", "prev_final_update_id"),
    ("spot partial depth", "lastUpdateId", "update_id"),
]


@pytest.mark.parametrize(("name", "key", "field"), ID_FIELDS)
def test_an_id_is_a_whole_number_within_64_bits(name, key, field):
    """The largest int64 is an id; one more, a fraction, a text or a boolean is malformed, and never rounded."""
    assert getattr(parse(with_field(name, key, str(INT64_MAX))), field) == INT64_MAX
    for text in (str(INT64_MAX + 1), "9" * 20, "1" * 400, "1" * 10_000, "1.0", "1e3", '"7"', "true", "null", "[1]"):
        if (key, text) != ("pu", "null"):
            assert parse(with_field(name, key, text)).type == "malformed", text


@pytest.mark.parametrize(("name", "keys"), [("spot trade", "pq"), ("spot bookTicker", "bBaA"), ("spot aggTrade", "pq")])
def test_a_price_or_size_is_plain_decimal_text(name, keys):
    """Numbers, signs, exponents and half numbers are malformed; what has no exact place is unrepresentable."""
    for key in keys:
        for text in ("1.5", "1", "null", "true", "[]", "{}", '""', '"1."', '".5"', '"-1"', '"1e5"', '"１"', '" 1"'):
            assert parse(with_field(name, key, text)).type == "malformed", (key, text)
        for text in ('"1.123456789"', '"92233720368.54775808"', f'"{"9" * 5_000}"'):
            assert parse(with_field(name, key, text)).type == "unrepresentable", (key, text)
        assert parse(with_field(name, key, f'"{"0" * 5_000}1"')).oddity is None


@pytest.mark.parametrize("text", ['"NaN"', '"sNaN"', '"Infinity"', '"-Infinity"', '""', '"abc"', "1.5", "null", "[]"])
def test_a_volume_is_the_text_of_a_finite_number(text):
    """It may be of any size, but it is a number."""
    for key in "vq":
        assert parse(with_field("ticker", key, text)).type == "malformed"
    assert parse(with_field("ticker", "v", '"123456789012345678901234567890.123456789012"')).volume == Decimal(
        "123456789012345678901234567890.123456789012"
    )


@pytest.mark.parametrize("side", ["b", "a"])
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("null", "malformed"),
        ('"1"', "malformed"),
        ("{}", "malformed"),
        ("[[]]", "malformed"),
        ('[["1"]]', "malformed"),
        ('["1","2"]', "malformed"),
        ('[["1","2"],null]', "malformed"),
        ('[{"0":"1","1":"2"}]', "malformed"),
        ('[[1,"2"]]', "malformed"),
        ('[["1",2]]', "malformed"),
        ('[["1","-2"]]', "malformed"),
        ('[["1","2"],["1","0.123456789"]]', "unrepresentable"),
        ("[]", "depthUpdate"),
        ('[["1","2","third"]]', "depthUpdate"),
    ],
)
def test_levels_are_lists_of_price_and_size(side, text, kind):
    """A side may be empty and a level have a third element, as in 2018; nothing less than two is a level."""
    assert parse(with_field("spot depth", side, text)).type == kind


@pytest.mark.parametrize(
    ("name", "low", "high"), [("spot depth", "U", "u"), ("futures depth", "U", "u"), ("spot aggTrade", "f", "l")]
)
def test_reversed_ids_are_typed_and_flagged(name, low, high):
    """The first id behind the last is odd, and kept as it came; equal ids are normal."""
    event = json.loads(EVENTS[name][1])
    for first, last, oddity in ((8, 7, OddityKind.IDS_REVERSED), (7, 7, None), (6, 7, None)):
        message = parse(json.dumps(event | {low: first, high: last}).encode())
        assert (message.type, message.oddity) == (event["e"], oddity)


# A size at the venue's cap.

CAPPED_FIELDS = [
    ("spot trade", '"q":"0.00065000"', '"q":"%s"'),
    ("spot aggTrade", '"q":"0.5"', '"q":"%s"'),
    ("blockTrade", '"q":"50"', '"q":"%s"'),
    ("spot bookTicker", '"B":"4.2"', '"B":"%s"'),
    ("spot bookTicker", '"A":"3.7"', '"A":"%s"'),
    ("futures bookTicker", '"A":"3.763"', '"A":"%s"'),
    ("spot depth", '"1.5"', '"%s"'),
    ("spot depth", '"0.25"', '"%s"'),
    ("futures depth", '"589.8041"', '"%s"'),
    ("rpiDepth", '["1","2"]', '["1","%s"]'),
    ("spot partial depth", '"0.3898"', '"%s"'),
    ("futures partial depth", '"3.768"', '"%s"'),
]
SPELLINGS_OF_THE_CAP = [CAP, "00" + CAP, CAP.replace("8", "\\u0038"), CAP.replace(".", "\\u002e"), "\\u0039" + CAP[1:]]


@pytest.mark.parametrize(("name", "found", "replacement"), CAPPED_FIELDS)
@pytest.mark.parametrize("spelling", SPELLINGS_OF_THE_CAP)
def test_a_size_at_the_cap_is_flagged(name, found, replacement, spelling):
    """It means "this much or more", however it is written; the message is typed all the same."""
    stream, event = EVENTS[name]
    assert found in event
    capped = event.replace(found, replacement % spelling)
    plain = parse(event.encode(), stream=stream)
    message = parse(capped.encode(), stream=stream)
    assert (type(message), message.oddity) == (type(plain), OddityKind.SIZE_CAPPED)
    assert str(INT64_MAX) in repr(message)
    below = parse(event.replace(found, replacement % "92233720368.54775806").encode(), stream=stream)
    assert below.oddity is None


@pytest.mark.parametrize("spelling", SPELLINGS_OF_THE_CAP)
@pytest.mark.parametrize("rest", [True, None])
def test_a_size_at_the_cap_is_flagged_in_a_rest_snapshot(rest, spelling):
    """A snapshot's level can be saturated like any other."""
    body = f'{{"lastUpdateId":5,"bids":[["1","2"]],"asks":[["3","{spelling}"]]}}'.encode()
    message = parse(body, rest=rest)
    assert (message.type, message.asks, message.oddity) == ("rest_depth", [(3 * 10**8, INT64_MAX)], "size_capped")


def test_a_price_at_the_cap_is_no_capped_size():
    """Only quantities saturate, and a text at the cap somewhere else says nothing."""
    event = EVENTS["spot depth"][1].replace('"61602.00"', f'"{CAP}"')
    assert parse(event.encode()).oddity is None
    assert parse(EVENTS["spot trade"][1].replace('"m"', f'"zz":"{CAP}","m"').encode()).oddity is None


# What is not a message.


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"true",
        b"17",
        b'"trade"',
        b"[]",
        b"{}",
        b"[1]",
        b"[[]]",
        b'{"e":"newThing","E":1723161255208,"s":"BTCUSDT"}',
        b'{"stream":"btcusdt@newThing","data":{}}',
        b'{"stream":"btcusdt@trade","data":null}',
        b'{"stream":"btcusdt@trade","data":[]}',
        b'{"stream":"btcusdt@trade"}',
    ],
)
def test_json_that_is_no_known_message_is_unknown(payload):
    """It is whole, and kept; a newer release may know it."""
    message = parse(payload)
    assert (type(message), message.type) == (Oddity, "unknown")
    assert message.detail


REQUIRED = [
    ("spot trade", "EstpqTm"),
    ("spot aggTrade", "EsapqflTm"),
    ("spot depth", "EsUuba"),
    ("kline", "Esk"),
    ("ticker", "Es"),
    ("markPrice", "Esp"),
    ("referencePrice", "srt"),
]


@pytest.mark.parametrize(("name", "keys"), REQUIRED)
def test_an_event_that_lacks_a_field_is_malformed(name, keys):
    """A known name without its fields is no message, and nothing is filled in."""
    for key in keys:
        event = json.loads(EVENTS[name][1])
        del event[key]
        assert parse(json.dumps(event).encode()).type == "malformed", key


@pytest.mark.parametrize(
    ("name", "key", "text"),
    [("spot trade", "p", "1.5"), ("spot trade", "p", '"1.123456789"'), ("spot trade", "e", '"newThing"')],
    ids=["malformed", "unrepresentable", "unknown"],
)
def test_an_oddity_in_an_envelope_keeps_the_name_of_its_stream(name, key, text):
    """It is counted under its stream: only records without an envelope are raw."""
    event = with_field(name, key, text)
    message = parse(b'{"stream":"btcusdt@trade","data":' + event + b"}")
    assert (type(message), message.stream) == (Oddity, "btcusdt@trade")


def test_an_array_with_a_bad_row_has_no_type():
    """No row is dropped in silence: the payload as a whole is the oddity."""
    good, bad = EVENTS["miniTicker"][1], EVENTS["miniTicker"][1].replace('"61602.01"', "1")
    message = parse(f'{{"stream":"!miniTicker@arr","data":[{good},{bad}]}}'.encode())
    assert (type(message), message.type) == (Oddity, "malformed")


@EACH_FRAME
def test_the_frames_used_below_are_messages(name):
    """What is cut and mutated below is whole before."""
    message = parse(FRAMES[name])
    assert not isinstance(message, Oddity)
    assert_sound(message)


@EACH_FRAME
def test_a_frame_cut_at_any_byte_is_malformed(name):
    """No beginning of a message is taken for a message."""
    payload = FRAMES[name]
    for length in range(len(payload)):
        cut = payload[:length]
        for way in ({}, {"rest": True}, {"stream": "btcusdt@depth5"}):
            message = PARSER.parse(cut, **way)
            assert (type(message), message.type) == (Oddity, "malformed"), cut


@EACH_FRAME
def test_a_frame_with_something_behind_it_is_malformed(name):
    """Two frames glued together, or one with a tail, are neither."""
    for tail in (b"x", b"{}", b",", b"]", b"}", b"\x00", FRAMES[name]):
        assert parse(FRAMES[name] + tail).type == "malformed"
    assert parse(FRAMES[name] + b" \r\n\t") == parse(FRAMES[name])


@EACH_FRAME
def test_one_changed_byte_ends_in_a_message_or_an_oddity(name):
    """Every byte in turn becomes each of those that matter to JSON or to numbers; nothing raises."""
    payload = FRAMES[name]
    for at in range(len(payload)):
        for byte in b'"\\{}[]:,.-+0e9tn \x00\x1f\x80\xff':
            mutated = payload[:at] + bytes([byte]) + payload[at + 1 :]
            message = PARSER.parse(mutated)
            assert_sound(message)
            if message.type != "malformed":
                assert is_json(mutated), mutated


@given(st.data())
@settings(max_examples=200)
def test_a_few_changed_bytes_end_in_a_message_or_an_oddity(data):
    """Bytes replaced, removed and put in anywhere, in every way of parsing."""
    payload = bytearray(FRAMES[data.draw(st.sampled_from(sorted(FRAMES)))])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        end = at + data.draw(st.integers(0, 3))
        payload[at:end] = data.draw(st.binary(max_size=3))
        if not payload:
            break
    assert_any_payload_ends_well(bytes(payload))


@given(
    st.one_of(st.binary(max_size=200), st.text(alphabet='{}[]",:.0123456789eEstubaU \\', max_size=60).map(str.encode))
)
@example(b"")
@example(b"\xef\xbb\xbf{}")
@example(b'{"e":"\xff"}')
@example(b'{"s":"\\ud800"}')
@example(b'{"E":NaN}')
@example(b'{"E":1e400}')
@example(b"-0")
@settings(max_examples=300)
def test_random_bytes_end_in_an_oddity(payload):
    """No bytes raise, and what is not JSON is called malformed."""
    assert_any_payload_ends_well(payload)


venue_keys = st.sampled_from(
    [
        *"eEsStTpPqQaAbBuUmMXfFlLkioOcChHrRvVwWnx",
        *(
            "pu",
            "st",
            "ps",
            "stream",
            "data",
            "lastUpdateId",
            "bids",
            "asks",
            "result",
            "error",
            "id",
            "code",
            "msg",
            "event",
        ),
    ]
)
venue_words = st.sampled_from(
    [
        *("trade", "aggTrade", "blockTrade", "bookTicker", "depthUpdate", "kline", "24hrTicker", "1hTicker"),
        *("markPriceUpdate", "referencePrice", "serverShutdown", "avgPrice", "forceOrder", "EquityUpdate", "newThing"),
        *(
            "BTCUSDT",
            "btcusdt@trade",
            "btcusdt@depth20@100ms",
            "!miniTicker@arr",
            "1",
            "1.5",
            "-1",
            "",
            CAP,
            "1e5",
            "NaN",
        ),
        *("0.000000001", "92233720368.54775808", "1e999999999999999999999", "sNaN", "Infinity", "\u0661"),
    ]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 2**70),
    st.sampled_from([1_723_161_255_208, 1_723_161_255_208_123, INT64_MAX, INT64_MAX + 1, -(2**63) - 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    venue_words,
)
json_values = st.recursive(
    scalars,
    lambda children: st.one_of(
        st.lists(children, max_size=4),
        st.dictionaries(st.one_of(venue_keys, st.text(max_size=3)), children, max_size=10),
    ),
    max_leaves=25,
)


@given(json_values)
@settings(max_examples=300)
def test_any_json_value_ends_in_a_message_or_an_oddity(value):
    """Objects of the venue's own keys with values of any type never raise."""
    assert_any_payload_ends_well(json.dumps(value).encode())
    assert_any_payload_ends_well(
        json.dumps({"stream": "btcusdt@trade", "data": value}, ensure_ascii=False).encode("utf-8", "replace")
    )


@given(st.sampled_from(sorted(EVENTS)), st.data())
@settings(max_examples=300)
def test_any_value_in_place_of_a_field_ends_in_a_message_or_an_oddity(name, data):
    """One field of a good event holds something else, at any depth; nothing raises."""
    stream, text = EVENTS[name]
    event = node = json.loads(text)
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not node[key] or not isinstance(node[key], dict | list) or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(json_values)
    assert_any_payload_ends_well(json.dumps(event).encode())
    assert_any_payload_ends_well(json.dumps({"stream": stream, "data": event}).encode())


@pytest.mark.parametrize("depth", [200, 900, 1_000, 1_100, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'{"data":', b"}")])
def test_nesting_however_deep_ends_in_an_oddity(opening, closing, depth):
    """Up to and beyond any limit of the stack: cut or closed, alone, in an envelope or in a field."""
    nested = opening * depth + b"1" + closing * depth
    assert isinstance(parse(nested), Oddity)
    assert parse(opening * depth).type == "malformed"
    assert isinstance(parse(b'{"stream":"btcusdt@trade","data":' + nested + b"}"), Oddity)
    for name, key in (
        ("spot trade", "t"),
        ("spot trade", "p"),
        ("spot trade", "E"),
        ("spot trade", "s"),
        ("spot depth", "b"),
    ):
        assert parse(with_field(name, key, nested.decode())).type == "malformed"
    for payload in (b'{"result":' + nested + b',"id":1}', with_field("spot trade", "zz", nested.decode())):
        for rest in (None, True, False):
            assert_sound(parse(payload, rest=rest))


def test_a_parser_remembers_nothing_that_shows():
    """After thousands of names and numbers it reads as a new one does."""
    used = Parser()
    for i in range(20_000):
        payload = f'{{"stream":"s{i}@depth5","data":{{"lastUpdateId":{i},"bids":[["{i}.5","1"]],"asks":[]}}}}'.encode()
        message = used.parse(payload)
        assert (message.symbol, message.bids) == (f"S{i}", [(i * 10**8 + 5 * 10**7, 10**8)])
    for name, payload in FRAMES.items():
        assert used.parse(payload) == parse(payload), name


@EACH_FRAME
def test_a_message_cannot_be_changed(name):
    """Messages are values: whoever holds one may rely on it."""
    message = parse(FRAMES[name])
    with pytest.raises(AttributeError):
        message.symbol = "OTHER"
