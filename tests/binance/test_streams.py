"""Every stream name of the venue's grammar is understood and can be written; no other name is."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.binance.endpoints import Market
from hftcap.binance.streams import StreamName, StreamType, build_stream, combined_path, parse_stream, raw_path

T = StreamType
SPOT, USDM, COINM = {Market.SPOT}, {Market.USDM}, {Market.COINM}
FUTURES = USDM | COINM
EVERY = SPOT | FUTURES

INTERVALS = ["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"]
CONTRACTS = ["perpetual", "current_quarter", "next_quarter", "tradifi_perpetual"]


def row(markets, text, type_, symbol=None, levels=None, speed_ms=None, interval=None, utc_offset=None):
    """One line of the table below: who has this name, and what it says."""
    return markets, StreamName(symbol, type_, levels, speed_ms, interval, utc_offset, text)


NAMES = [
    row(EVERY, "btcusdt@trade", T.TRADE, "btcusdt"),
    row(EVERY, "btcusdt@aggTrade", T.AGG_TRADE, "btcusdt"),
    row(SPOT, "btcusdt@blockTrade", T.BLOCK_TRADE, "btcusdt"),
    row(SPOT, "btcusdt@referencePrice", T.REFERENCE_PRICE, "btcusdt"),
    row(SPOT, "btcusdt@avgPrice", T.AVG_PRICE, "btcusdt"),
    row(EVERY, "btcusd_perp@bookTicker", T.BOOK_TICKER, "btcusd_perp"),
    row(EVERY, "btcusdt@miniTicker", T.MINI_TICKER, "btcusdt"),
    row(EVERY, "btcusdt@ticker", T.TICKER, "btcusdt"),
    row(FUTURES, "btcusdt@forceOrder", T.FORCE_ORDER, "btcusdt"),
    row(USDM, "defiusdt@compositeIndex", T.COMPOSITE_INDEX, "defiusdt"),
    row(USDM, "adausd@assetIndex", T.ASSET_INDEX, "adausd"),
    # Diffs.
    row(EVERY, "btcusdt@depth", T.DEPTH, "btcusdt"),
    row(EVERY, "btcusdt@depth@100ms", T.DEPTH, "btcusdt", speed_ms=100),
    row(SPOT, "btcusdt@depth@1000ms", T.DEPTH, "btcusdt", speed_ms=1000),
    row(FUTURES, "btcusdt@depth@500ms", T.DEPTH, "btcusdt", speed_ms=500),
    row(FUTURES, "btcusdt@depth@0ms", T.DEPTH, "btcusdt", speed_ms=0),
    row(USDM, "btcusdt@rpiDepth@500ms", T.RPI_DEPTH, "btcusdt", speed_ms=500),
    # Prices of futures.
    row(FUTURES, "btcusd_260327@markPrice", T.MARK_PRICE, "btcusd_260327"),
    row(FUTURES, "btcusdt@markPrice@1s", T.MARK_PRICE, "btcusdt", speed_ms=1000),
    row(COINM, "btcusd@indexPrice", T.INDEX_PRICE, "btcusd"),
    row(COINM, "btcusd@indexPrice@1s", T.INDEX_PRICE, "btcusd", speed_ms=1000),
    # All-market streams.
    row(EVERY, "!miniTicker@arr", T.MINI_TICKER),
    row(FUTURES, "!ticker@arr", T.TICKER),
    row(FUTURES, "!bookTicker", T.BOOK_TICKER),
    row(FUTURES, "!forceOrder@arr", T.FORCE_ORDER),
    row(FUTURES, "!contractInfo", T.CONTRACT_INFO),
    row(USDM, "!markPrice@arr", T.MARK_PRICE),
    row(USDM, "!markPrice@arr@1s", T.MARK_PRICE, speed_ms=1000),
    row(USDM, "!assetIndex@arr", T.ASSET_INDEX),
    row(USDM, "tradingSession", T.TRADING_SESSION),
    row(SPOT, "!serverShutdown", T.SERVER_SHUTDOWN),
    # Candles.
    row(SPOT, "btcusdt@kline_1s", T.KLINE, "btcusdt", interval="1s"),
    row(SPOT, "btcusdt@kline_1s@+08:00", T.KLINE, "btcusdt", interval="1s", utc_offset="+08:00"),
    # A name is more than ASCII.
    row(EVERY, "这是测试币456@depth", T.DEPTH, "这是测试币456"),
    row(EVERY, "币安人生usdt@aggTrade", T.AGG_TRADE, "币安人生usdt"),
]
for levels in (5, 10, 20):
    for markets, speed_ms, suffix in (
        (EVERY, None, ""),
        (EVERY, 100, "@100ms"),
        (SPOT, 1000, "@1000ms"),
        (FUTURES, 500, "@500ms"),
    ):
        NAMES.append(row(markets, f"btcusdt@depth{levels}{suffix}", T.PARTIAL_DEPTH, "btcusdt", levels, speed_ms))
for window in ("1h", "4h", "1d"):
    NAMES.append(row(SPOT, f"btcusdt@ticker_{window}", T.WINDOW_TICKER, "btcusdt", interval=window))
    NAMES.append(row(SPOT, f"!ticker_{window}@arr", T.WINDOW_TICKER, interval=window))
for i in INTERVALS:
    NAMES.append(row(EVERY, f"btcusdt@kline_{i}", T.KLINE, "btcusdt", interval=i))
    NAMES.append(row(SPOT, f"btcusdt@kline_{i}@+08:00", T.KLINE, "btcusdt", interval=i, utc_offset="+08:00"))
    NAMES.append(row(COINM, f"btcusd@indexPriceKline_{i}", T.INDEX_PRICE_KLINE, "btcusd", interval=i))
    NAMES.append(row(COINM, f"btcusd_perp@markPriceKline_{i}", T.MARK_PRICE_KLINE, "btcusd_perp", interval=i))
    for contract in CONTRACTS:
        pair = f"btcusdt_{contract}"
        NAMES.append(row(FUTURES, f"{pair}@continuousKline_{i}", T.CONTINUOUS_KLINE, pair, interval=i))

BY_TEXT = pytest.mark.parametrize(("markets", "name"), NAMES, ids=[name.text for _, name in NAMES])


def rebuild(name, **changes):
    """Build a name from the parts of another."""
    parts = {"symbol": name.symbol, "levels": name.levels, "speed_ms": name.speed_ms}
    return build_stream(name.type, **{**parts, "interval": name.interval, "utc_offset": name.utc_offset, **changes})


@BY_TEXT
def test_a_name_says_what_its_stream_carries(markets, name):
    """Every documented form is taken apart into the parts the documentation gives it."""
    assert parse_stream(name.text) == name


@BY_TEXT
def test_a_name_belongs_to_the_markets_that_have_it(markets, name):
    """Asked for one market, only that market's names are known."""
    for market in Market:
        assert parse_stream(name.text, market) == (name if market in markets else None)


@BY_TEXT
def test_a_name_is_built_from_its_parts(markets, name):
    """`build_stream` is the way back, for the markets that have the name and no other."""
    assert rebuild(name) == name
    for market in Market:
        if market in markets:
            assert rebuild(name, market=market) == name
        else:
            with pytest.raises(ValueError, match=f"^{market} has no {name.type} stream with symbol="):
                rebuild(name, market=market)


def test_every_type_has_a_name():
    """No stream type is out of reach."""
    assert {name.type for _, name in NAMES} == set(StreamType)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "btcusdt",
        "btcusdt@",
        "@trade",
        "btcusdt@newThing",
        "btcusdt@bookticker",
        "btcusdt@aggtrade",
        "btcusdt@kline_1S",
        "btcusdt@kline_2m",
        "btcusdt@kline_1w@+09:00",
        "btcusdt@kline_1d@%2B08:00",
        "btcusdt@kline",
        "btcusdt@kline_",
        "btcusdt@continuousKline_1m",
        "btcusdt_monthly@continuousKline_1m",
        "_perpetual@continuousKline_1m",
        "btcusdt_perpetual@continuousKline_1s",
        "btcusdt@depth@",
        "btcusdt@depth@250ms",
        "btcusdt@depth@1s",
        "btcusdt@depth@100ms@100ms",
        "btcusdt@depth20@0ms",
        "btcusdt@depth15",
        "btcusdt@depth050",
        "btcusdt@rpiDepth",
        "btcusdt@rpiDepth@100ms",
        "btcusdt@markPrice@3s",
        "btcusdt@markPrice@1000ms",
        "btcusdt@ticker_1w",
        "btcusdt@partialDepth",
        "btcusdt@windowTicker",
        "btcusdt@tradingSession",
        "btcusdt@serverShutdown",
        "BTCUSDT@trade",
        "bTcusdt@trade",
        "btc/usdt@trade",
        "!btcusdt@trade",
        "!miniTicker",
        "!miniTicker@arr@1s",
        "!MiniTicker@arr",
        "!tradingSession",
        "!markPrice@arr@3s",
        "tradingsession",
        " tradingSession",
        "btcusdt@trade ",
        "btcusdt@trade\n",
        "\ud800usdt@trade",
    ],
)
def test_a_name_without_a_known_form_is_none(text):
    """Near misses, which the venue would acknowledge and leave silent, are not accepted."""
    assert parse_stream(text) is None


@pytest.mark.parametrize("text", ["!ticker@arr", "!bookTicker", "btcusdt@depth@0ms"])
def test_what_spot_retired_or_never_had_is_no_spot_name(text):
    """A recorder that asks for these on spot would wait in vain."""
    assert parse_stream(text, Market.SPOT) is None
    assert parse_stream(text) is not None


@given(st.text(), st.sampled_from([*Market, None]))
def test_no_text_makes_the_parser_raise(text, market):
    """Any text is a name or None, and a name keeps its text."""
    name = parse_stream(text, market)
    assert name is None or name.text == text


@given(
    st.text(alphabet=st.characters(codec=None)),
    st.sampled_from([name.text.partition("@")[2] for _, name in NAMES]),
    st.text(max_size=2),
    st.sampled_from([*Market, None]),
)
def test_no_symbol_makes_the_parser_raise(symbol, tail, rest, market):
    """Nor does any text before or after a known form."""
    for text in (f"{symbol}@{tail}{rest}", f"{symbol}{tail}", f"!{symbol}@arr{rest}"):
        name = parse_stream(text, market)
        assert name is None or (name.text == text and (name.symbol is None or text.startswith(f"{name.symbol}@")))


SYMBOLS = st.text(
    alphabet=st.one_of(
        st.sampled_from("btcusd_0123456789"), st.characters(exclude_characters="@/!", exclude_categories=["Cs"])
    ),
    min_size=1,
)


@given(SYMBOLS, st.sampled_from([name for _, name in NAMES if name.symbol is not None]))
def test_what_was_built_is_parsed_back(symbol, name):
    """For any symbol, in any case, `parse_stream` undoes `build_stream`."""
    if name.type is T.CONTINUOUS_KLINE:
        symbol += "_PERPETUAL"
    built = rebuild(name, symbol=symbol)
    assert parse_stream(built.text) == built == rebuild(built)
    assert built.symbol == symbol.lower()


@pytest.mark.parametrize("symbol", ["", "btc@usdt", "btc/usdt", "!btcusdt", "\udfff"])
def test_a_symbol_that_would_break_the_grammar_is_refused(symbol):
    """A symbol never smuggles a second stream into a name."""
    with pytest.raises(ValueError, match=r"^the venue has no trade stream with symbol="):
        build_stream(T.TRADE, symbol)


@pytest.mark.parametrize(
    ("type_", "symbol", "parts"),
    [
        (T.TRADE, None, {}),
        (T.TRADE, "btcusdt", {"speed_ms": 100}),
        (T.KLINE, "btcusdt", {}),
        (T.KLINE, "btcusdt", {"interval": "1m", "utc_offset": "+09:00"}),
        (T.PARTIAL_DEPTH, "btcusdt", {}),
        (T.PARTIAL_DEPTH, "btcusdt", {"levels": 15}),
        (T.DEPTH, "btcusdt", {"speed_ms": 250}),
        (T.CONTINUOUS_KLINE, "btcusdt", {"interval": "1m"}),
        (T.TRADING_SESSION, "btcusdt", {}),
    ],
)
def test_parts_that_make_no_name_are_refused(type_, symbol, parts):
    """What the grammar cannot say is an error, not a silent stream."""
    with pytest.raises(ValueError, match=f"^the venue has no {type_} stream with symbol="):
        build_stream(type_, symbol, **parts)


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("btcusdt@trade", "BTCUSDT"),
        ("btcusd_perp@depth", "BTCUSD_PERP"),
        ("1000shibusdt@trade", "1000SHIBUSDT"),
        ("测试usdt@trade", "测试USDT"),
        ("été@trade", "ÉTÉ"),
        ("straße@trade", "STRAßE"),
        ("ırmak@trade", "ıRMAK"),
        ("!miniTicker@arr", None),
    ],
)
def test_payloads_spell_the_symbol_in_upper_case(text, symbol):
    """Letters are raised one for one; anything else stays as it is."""
    assert parse_stream(text).payload_symbol == symbol


@given(SYMBOLS, SYMBOLS)
def test_two_symbols_never_share_a_payload_symbol(one, other):
    """Raising the case loses nothing: as many characters, each leading back."""
    first, second = build_stream(T.TRADE, one), build_stream(T.TRADE, other)
    assert (first.payload_symbol == second.payload_symbol) == (first.symbol == second.symbol)
    assert len(first.payload_symbol) == len(first.symbol)


@pytest.mark.parametrize(
    ("texts", "path"),
    [
        ([], "/stream"),
        (["btcusdt@depth@100ms"], "/stream?streams=btcusdt@depth@100ms"),
        (["btcusdt@trade", "!miniTicker@arr"], "/stream?streams=btcusdt@trade/!miniTicker@arr"),
        (["btcusdt@kline_1d@+08:00"], "/stream?streams=btcusdt@kline_1d@%2B08:00"),
        (["测试usdt@trade"], "/stream?streams=%E6%B5%8B%E8%AF%95usdt@trade"),
    ],
)
def test_several_streams_share_one_combined_path(texts, path):
    """Names are joined by slashes; a plus sign and non-ASCII letters are escaped, and nothing else of the grammar."""
    assert combined_path(texts) == path


def test_one_stream_has_a_raw_path():
    """The raw form names its stream in the path."""
    assert raw_path("btcusdt@aggTrade") == "/ws/btcusdt@aggTrade"
    assert raw_path("测试usdt@kline_1d@+08:00") == "/ws/%E6%B5%8B%E8%AF%95usdt@kline_1d@%2B08:00"


@given(st.lists(SYMBOLS, min_size=1, max_size=4))
def test_paths_are_ascii_and_lead_back_to_their_names(symbols):
    """Whatever the symbols, a server that decodes the path finds the same names."""
    texts = [build_stream(T.TRADE, symbol).text for symbol in symbols]
    path = combined_path(iter(texts))
    assert path.isascii()
    assert parse_qs(urlsplit(f"wss://host{path}").query, strict_parsing=True) == {"streams": ["/".join(texts)]}
    assert unquote(urlsplit(f"wss://host{raw_path(texts[0])}").path) == f"/ws/{texts[0]}"
