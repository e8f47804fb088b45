"""The venue's addresses, limits and weights are the ones it documents, and a URL tells its market."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.binance import endpoints
from hftcap.binance.endpoints import (
    BOOK_TICKER_WEIGHT,
    CONNECTION_LIMITS,
    HOSTS,
    MAX_DEPTH,
    REST_PATH,
    WEIGHT_PER_MINUTE,
    WEIGHTS,
    Environment,
    Market,
    Route,
    depth_weight,
    market_of_url,
    usdm_route,
)
from hftcap.binance.streams import StreamType, parse_stream

SECOND_NS = 1_000_000_000

DOCUMENTED_BASES = [
    (Market.SPOT, Environment.PRODUCTION, "wss://stream.binance.com:9443"),
    (Market.SPOT, Environment.PRODUCTION, "wss://stream.binance.com:443"),
    (Market.SPOT, Environment.PRODUCTION, "wss://stream-sbe.binance.com"),
    (Market.SPOT, Environment.PRODUCTION, "wss://stream-sbe.binance.com:9443"),
    (Market.SPOT, Environment.PRODUCTION, "https://api.binance.com"),
    (Market.SPOT, Environment.PRODUCTION, "https://api-gcp.binance.com"),
    (Market.SPOT, Environment.PRODUCTION, "https://api1.binance.com"),
    (Market.SPOT, Environment.PRODUCTION, "https://api2.binance.com"),
    (Market.SPOT, Environment.PRODUCTION, "https://api3.binance.com"),
    (Market.SPOT, Environment.PRODUCTION, "https://api4.binance.com"),
    (Market.SPOT, Environment.PRODUCTION, "wss://ws-api.binance.com/ws-api/v3"),
    (Market.SPOT, Environment.PRODUCTION, "wss://ws-api.binance.com:9443/ws-api/v3"),
    (Market.SPOT, Environment.DATA_ONLY, "wss://data-stream.binance.vision"),
    (Market.SPOT, Environment.DATA_ONLY, "wss://data-stream.binance.vision:9443"),
    (Market.SPOT, Environment.DATA_ONLY, "https://data-api.binance.vision"),
    (Market.SPOT, Environment.TESTNET, "wss://stream.testnet.binance.vision"),
    (Market.SPOT, Environment.TESTNET, "wss://stream.testnet.binance.vision:9443"),
    (Market.SPOT, Environment.TESTNET, "wss://stream-sbe.testnet.binance.vision"),
    (Market.SPOT, Environment.TESTNET, "https://testnet.binance.vision"),
    (Market.SPOT, Environment.TESTNET, "https://api1.testnet.binance.vision"),
    (Market.SPOT, Environment.TESTNET, "wss://ws-api.testnet.binance.vision/ws-api/v3"),
    (Market.SPOT, Environment.DEMO, "wss://demo-stream.binance.com"),
    (Market.SPOT, Environment.DEMO, "wss://demo-stream.binance.com:9443"),
    (Market.SPOT, Environment.DEMO, "wss://demo-stream-sbe.binance.com"),
    (Market.SPOT, Environment.DEMO, "https://demo-api.binance.com"),
    (Market.SPOT, Environment.DEMO, "wss://demo-ws-api.binance.com/ws-api/v3"),
    (Market.USDM, Environment.PRODUCTION, "wss://fstream.binance.com"),
    (Market.USDM, Environment.PRODUCTION, "https://fapi.binance.com"),
    (Market.USDM, Environment.TESTNET, "wss://fstream.binancefuture.com"),
    (Market.USDM, Environment.TESTNET, "https://testnet.binancefuture.com"),
    (Market.USDM, Environment.DEMO, "wss://demo-fstream.binance.com"),
    (Market.USDM, Environment.DEMO, "https://demo-fapi.binance.com"),
    (Market.COINM, Environment.PRODUCTION, "wss://dstream.binance.com"),
    (Market.COINM, Environment.PRODUCTION, "https://dapi.binance.com"),
    (Market.COINM, Environment.TESTNET, "wss://dstream.binancefuture.com"),
    (Market.COINM, Environment.TESTNET, "https://testnet.binancefuture.com"),
    (Market.COINM, Environment.DEMO, "wss://demo-dstream.binance.com"),
    (Market.COINM, Environment.DEMO, "https://demo-dapi.binance.com"),
]


def test_the_hosts_are_those_of_the_documentation():
    """No documented address is missing and none is made up."""
    ours = [
        (market, environment, base)
        for (market, environment), hosts in HOSTS.items()
        for base in (*hosts.rest, *hosts.streams, *hosts.sbe_streams, *hosts.ws_api)
    ]
    assert sorted(ours) == sorted(DOCUMENTED_BASES)


@pytest.mark.parametrize("hosts", HOSTS.values(), ids=[f"{market}-{env}" for market, env in HOSTS])
def test_every_environment_has_rest_and_streams_over_tls(hosts):
    """A base URL is used as it stands: encrypted, without a trailing slash, a path only for the WebSocket API."""
    assert hosts.rest
    assert hosts.streams
    for base in (*hosts.rest, *hosts.streams, *hosts.sbe_streams):
        assert urlsplit(base).path == ""
    assert {urlsplit(base).scheme for base in hosts.rest} == {"https"}
    assert {urlsplit(base).scheme for base in (*hosts.streams, *hosts.sbe_streams, *hosts.ws_api)} <= {"wss"}


@pytest.mark.parametrize(("market", "environment", "base"), DOCUMENTED_BASES)
def test_a_documented_address_tells_its_market(market, environment, base):
    """With the paths that exist below the address, `market_of_url` finds the market."""
    if base.startswith("https"):
        assert market_of_url(f"{base}{REST_PATH[market]}/depth?symbol=BTCUSDT&limit=1000") is market
    elif "ws-api" in base:
        assert market_of_url(base) is market
    else:
        assert market_of_url(f"{base}/stream?streams=btcusdt@trade") is market
        assert market_of_url(f"{base}/ws/btcusdt@trade") is market


@pytest.mark.parametrize(
    ("url", "market"),
    [
        # Bare addresses, as a user would name them.
        ("https://api.binance.com", Market.SPOT),
        ("https://testnet.binance.vision", Market.SPOT),
        ("wss://fstream.binance.com", Market.USDM),
        ("wss://FSTREAM.Binance.COM./ws", Market.USDM),
        ("wss://dstream.binance.com:443/ws", Market.COINM),
        ("https://testnet.binancefuture.com", None),  # both futures markets live there
        # Routes, and the same routes reported for COIN-M.
        ("wss://fstream.binance.com/public/stream?streams=btcusdt@depth@100ms", Market.USDM),
        ("wss://fstream.binance.com/market/ws/btcusdt@aggTrade", Market.USDM),
        ("wss://dstream.binance.com/market/ws/btcusd_perp@aggTrade", Market.COINM),
        # Sister venues and older hosts met in recordings.
        ("wss://stream.binance.us:9443/stream?streams=crvusdt@depth@100ms", Market.SPOT),
        ("https://api.binance.us/api/v3/exchangeInfo", Market.SPOT),
        ("https://api.binance.me/api/v3/depth?symbol=BTCTRY", Market.SPOT),
        ("wss://stream-cloud.trbinance.com/stream?streams=belbtc@kline_1m", Market.SPOT),
        ("wss://stream.binancefuture.com/ws", Market.USDM),
        ("https://api.binance.com/api/v1/depth", Market.SPOT),
        ("https://fapi.binance.com/fapi/v2/ticker/price", Market.USDM),
        ("wss://ws-fapi.binance.com/ws-fapi/v1", Market.USDM),
        ("wss://ws-dapi.binance.com/ws-dapi/v1", Market.COINM),
        # Another host: the path is all there is.
        ("http://127.0.0.1:8000/api/v3/depth?symbol=BTCUSDT", Market.SPOT),
        ("http://127.0.0.1:8000/fapi/v1/depth", Market.USDM),
        ("http://[::1]:8000/dapi/v1", Market.COINM),
        ("ws://localhost:8000/public/ws", Market.USDM),
        ("ws://localhost:8000/market/stream?streams=btcusdt@aggTrade", Market.USDM),
        ("ws://localhost:8000/ws/btcusdt@trade", None),
        ("ws://localhost:8000/stream", None),
        ("ws://localhost:8000/marketing/ws", None),
        ("http://localhost/fapi/v1x/depth", None),
        ("http://localhost/x/fapi/v1/depth", None),
        # Not these markets, or not the venue.
        ("wss://nbstream.binance.com/eoptions/stream", None),
        ("https://data.binance.vision/data/spot/daily/trades", None),
        ("wss://stream.notbinance.com/ws", None),
        ("wss://stream.binance.com.example.org/ws", None),
        ("binance.com", None),
        ("", None),
        ("http://[half", None),
    ],
)
def test_the_market_is_read_from_path_and_host(url, market):
    """An API path decides anywhere, then a host of the venue, then a USD-M route; nothing is guessed."""
    assert market_of_url(url) is market


@given(
    st.one_of(
        st.text(),
        st.builds("{}://{}{}".format, st.sampled_from(["ws", "https", ""]), st.text(), st.text()),
        st.text(alphabet="w:s/[]@.%?#binacefdtrm\ufe13\u2100"),
    )
)
def test_any_text_has_a_market_or_none(text):
    """`market_of_url` never raises."""
    assert market_of_url(text) in (*Market, None)


@pytest.mark.parametrize(
    ("route", "stream_types"),
    [
        (Route.PUBLIC, ["bookTicker", "depth", "partialDepth", "rpiDepth", "trade"]),
        (Route.MARKET, ["aggTrade", "markPrice", "kline", "continuousKline", "miniTicker", "ticker", "forceOrder"]),
        (Route.MARKET, ["compositeIndex", "contractInfo", "assetIndex", "tradingSession"]),
    ],
)
def test_a_usdm_stream_is_asked_for_on_its_own_route(route, stream_types):
    """Each stream type of USD-M has the one route on which it is not silent."""
    for stream_type in stream_types:
        assert usdm_route(StreamType(stream_type)) is route


def test_every_stream_type_of_usdm_has_a_route_and_no_other_has():
    """The route table and the stream grammar name the same types."""
    names = ["x@{0}", "x@{0}5", "x@{0}@500ms", "x@{0}_1m", "x_perpetual@{0}_1m", "!{0}", "{0}"]
    for stream_type in StreamType:
        tail = "depth5" if stream_type is StreamType.PARTIAL_DEPTH else str(stream_type)
        parsed = [parse_stream(name.format(tail), Market.USDM) for name in names]
        if any(name is not None and name.type is stream_type for name in parsed):
            assert usdm_route(stream_type) in Route
        else:
            with pytest.raises(
                ValueError, match=f"^stream type {stream_type} does not exist on USD-M: expected bookTicker, "
            ):
                usdm_route(stream_type)


def test_an_unrouted_usdm_connection_gets_the_public_streams():
    """Without a route only book streams arrive."""
    assert endpoints.UNROUTED is Route.PUBLIC
    assert [f"{route}/ws" for route in Route] == ["/public/ws", "/market/ws", "/private/ws"]


@pytest.mark.parametrize(
    ("market", "ping_s", "pong_s", "frames", "attempts"),
    [(Market.SPOT, 20, 60, 5, 300), (Market.USDM, 180, 600, 10, None), (Market.COINM, 180, 600, 10, None)],
)
def test_a_connection_lives_within_documented_limits(market, ping_s, pong_s, frames, attempts):
    """Spot pings every 20 s and futures every 3 min; both end after a day and carry 1024 streams."""
    limits = CONNECTION_LIMITS[market]
    assert limits.ping_interval_ns == ping_s * SECOND_NS
    assert limits.pong_deadline_ns == pong_s * SECOND_NS
    assert limits.frames_per_second == frames
    assert limits.attempts_per_5_min == attempts
    assert limits.streams == 1024
    assert limits.max_age_ns == 24 * 3600 * SECOND_NS


@pytest.mark.parametrize("market", Market)
def test_the_safe_pace_stays_under_the_limit_of_every_market(market):
    """Four frames in any 1.1 s can never be a sixth, or eleventh, in one second."""
    assert endpoints.SAFE_FRAMES == 4 < CONNECTION_LIMITS[market].frames_per_second
    assert endpoints.SAFE_FRAMES_WINDOW_NS == 1_100_000_000 > SECOND_NS


def test_sizes_keep_clear_of_what_the_venue_ignores():
    """Subscriptions stay below the frame that gets no answer, and messages may exceed any array seen."""
    assert endpoints.MAX_CLIENT_FRAME_BYTES == 4096
    assert endpoints.SAFE_PAYLOAD_BYTES == 3900
    assert endpoints.MAX_URL_CHARS == 8004
    assert endpoints.MAX_MESSAGE_BYTES == 8_388_608


@pytest.mark.parametrize(
    ("market", "limit", "weight"),
    [
        *((Market.SPOT, limit, 5) for limit in (1, 5, 100)),
        *((Market.SPOT, limit, 25) for limit in (101, 500)),
        *((Market.SPOT, limit, 50) for limit in (501, 1000)),
        *((Market.SPOT, limit, 250) for limit in (1001, 5000, 5001, 10**9)),  # cut to 5000 by the venue
        *(
            (market, limit, weight)
            for market in (Market.USDM, Market.COINM)
            for limit, weight in ((5, 2), (10, 2), (20, 2), (50, 2), (100, 5), (500, 10), (1000, 20))
        ),
    ],
)
def test_a_snapshot_costs_its_documented_weight(market, limit, weight):
    """The weight of `depth` goes by its limit, in steps."""
    assert depth_weight(market, limit) == weight


@pytest.mark.parametrize(
    ("market", "limit", "sentence"),
    [
        (Market.SPOT, 0, "depth limit 0 on spot: expected 1 to 5000"),
        (Market.SPOT, -5, "depth limit -5 on spot: expected 1 to 5000"),
        (Market.USDM, 0, "depth limit 0 on usdm: expected one of 5, 10, 20, 50, 100, 500, 1000"),
        (Market.USDM, 5000, "depth limit 5000 on usdm: expected one of 5, 10, 20, 50, 100, 500, 1000"),
        (Market.COINM, 101, "depth limit 101 on coinm: expected one of 5, 10, 20, 50, 100, 500, 1000"),
    ],
)
def test_a_limit_the_venue_refuses_is_refused_with_the_reason(market, limit, sentence):
    """The message names the limit, the market and what would be accepted."""
    with pytest.raises(ValueError, match=sentence):
        depth_weight(market, limit)


@given(st.sampled_from(Market), st.integers())
def test_a_snapshot_never_costs_more_than_the_deepest(market, limit):
    """Any limit either has a positive weight up to that of the deepest snapshot, or is a ValueError."""
    try:
        weight = depth_weight(market, limit)
    except ValueError:
        return
    assert 0 < weight <= depth_weight(market, MAX_DEPTH[market]) <= WEIGHT_PER_MINUTE[market]


def test_rest_paths_depths_and_budgets_are_the_documented_ones():
    """Spot: 6,000 a minute and 5,000 levels; each futures market: 2,400 and 1,000."""
    assert REST_PATH == {Market.SPOT: "/api/v3", Market.USDM: "/fapi/v1", Market.COINM: "/dapi/v1"}
    assert WEIGHT_PER_MINUTE == {Market.SPOT: 6000, Market.USDM: 2400, Market.COINM: 2400}
    assert MAX_DEPTH == {Market.SPOT: 5000, Market.USDM: 1000, Market.COINM: 1000}
    assert endpoints.SPOT_REQUESTS_PER_5_MIN == 300_000
    assert endpoints.WS_API_CONNECT_WEIGHT == 2
    assert (endpoints.RAW_PATH, endpoints.COMBINED_PATH) == ("/ws", "/stream")


@pytest.mark.parametrize(
    ("market", "endpoint", "weight"),
    [
        (Market.SPOT, "ping", 1),
        (Market.SPOT, "time", 1),
        (Market.SPOT, "exchangeInfo", 20),
        (Market.SPOT, "trades", 25),
        (Market.SPOT, "historicalTrades", 25),
        (Market.SPOT, "aggTrades", 4),
        (Market.SPOT, "historicalBlockTrades", 25),
        (Market.SPOT, "klines", 2),
        (Market.SPOT, "referencePrice", 2),
        (Market.USDM, "ping", 1),
        (Market.USDM, "time", 1),
        (Market.USDM, "exchangeInfo", 1),
        (Market.USDM, "rpiDepth", 20),
        (Market.COINM, "ping", 1),
        (Market.COINM, "time", 1),
        (Market.COINM, "exchangeInfo", 1),
    ],
)
def test_other_requests_cost_their_documented_weight(market, endpoint, weight):
    """Requests a recorder makes beside snapshots are paid from the same budget."""
    assert WEIGHTS[market][endpoint] == weight


def test_a_book_ticker_of_all_symbols_costs_more_than_of_one():
    """(one symbol, all symbols)."""
    assert BOOK_TICKER_WEIGHT == {Market.SPOT: (2, 4), Market.USDM: (2, 5)}
