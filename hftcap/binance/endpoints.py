"""Where the venue is and what it allows: hosts, paths, USD-M routes, limits and weights, as tables.

Nothing here does I/O. Sources are named per table; the short names stand for:

* spot docs: binance-spot-api-docs a5e0bc3; futures docs: developers.binance.com, USD-M and COIN-M, up to 2026-09;
* `project#n`: an issue thread, cited where the venue documents nothing.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


class Market(enum.StrEnum):
    """One of the venue's three order-book markets."""

    SPOT = "spot"
    USDM = "usdm"
    COINM = "coinm"


class Environment(enum.StrEnum):
    """Which copy of a market a host serves: only production and data-only carry its real prices."""

    PRODUCTION = "production"
    DATA_ONLY = "data-only"
    TESTNET = "testnet"
    DEMO = "demo"


class Route(enum.StrEnum):
    """The path that must precede `/ws` or `/stream` on USD-M."""

    PUBLIC = "/public"
    MARKET = "/market"
    PRIVATE = "/private"


@dataclass(frozen=True, slots=True)
class Hosts:
    """Base URLs of one market in one environment, without a trailing slash, the preferred one first."""

    rest: tuple[str, ...]
    streams: tuple[str, ...]
    sbe_streams: tuple[str, ...] = ()
    ws_api: tuple[str, ...] = ()
    """WebSocket API (request and response): complete with its path. Empty on futures, where nothing here uses it."""


# Spot docs: web-socket-streams.md, sbe-market-data-streams.md, rest-api.md, web-socket-api.md (general information),
# faqs/market_data_only.md, testnet/ and demo-mode/. Futures docs: general info and websocket market streams, which
# for REST on USD-M prefer the demo host to the older testnet host.
HOSTS: Mapping[tuple[Market, Environment], Hosts] = {
    (Market.SPOT, Environment.PRODUCTION): Hosts(
        # api1 to api4 answer faster and fail more often.
        rest=tuple(f"https://{name}.binance.com" for name in ("api", "api-gcp", "api1", "api2", "api3", "api4")),
        streams=("wss://stream.binance.com:9443", "wss://stream.binance.com:443"),
        sbe_streams=("wss://stream-sbe.binance.com", "wss://stream-sbe.binance.com:9443"),
        ws_api=("wss://ws-api.binance.com/ws-api/v3", "wss://ws-api.binance.com:9443/ws-api/v3"),
    ),
    (Market.SPOT, Environment.DATA_ONLY): Hosts(
        rest=("https://data-api.binance.vision",),
        streams=("wss://data-stream.binance.vision", "wss://data-stream.binance.vision:9443"),
    ),
    (Market.SPOT, Environment.TESTNET): Hosts(
        rest=("https://testnet.binance.vision", "https://api1.testnet.binance.vision"),
        streams=("wss://stream.testnet.binance.vision", "wss://stream.testnet.binance.vision:9443"),
        sbe_streams=("wss://stream-sbe.testnet.binance.vision",),
        ws_api=("wss://ws-api.testnet.binance.vision/ws-api/v3",),
    ),
    (Market.SPOT, Environment.DEMO): Hosts(
        rest=("https://demo-api.binance.com",),
        streams=("wss://demo-stream.binance.com", "wss://demo-stream.binance.com:9443"),
        sbe_streams=("wss://demo-stream-sbe.binance.com",),
        ws_api=("wss://demo-ws-api.binance.com/ws-api/v3",),
    ),
    (Market.USDM, Environment.PRODUCTION): Hosts(("https://fapi.binance.com",), ("wss://fstream.binance.com",)),
    (Market.USDM, Environment.TESTNET): Hosts(
        ("https://testnet.binancefuture.com",), ("wss://fstream.binancefuture.com",)
    ),
    (Market.USDM, Environment.DEMO): Hosts(("https://demo-fapi.binance.com",), ("wss://demo-fstream.binance.com",)),
    (Market.COINM, Environment.PRODUCTION): Hosts(("https://dapi.binance.com",), ("wss://dstream.binance.com",)),
    (Market.COINM, Environment.TESTNET): Hosts(
        ("https://testnet.binancefuture.com",), ("wss://dstream.binancefuture.com",)
    ),
    (Market.COINM, Environment.DEMO): Hosts(("https://demo-dapi.binance.com",), ("wss://demo-dstream.binance.com",)),
}

# Spot docs, rest-api.md (all /api/v1 endpoints ended on 2026-03-25); futures docs, general info.
REST_PATH: Mapping[Market, str] = {Market.SPOT: "/api/v3", Market.USDM: "/fapi/v1", Market.COINM: "/dapi/v1"}

# Spot docs, web-socket-streams.md, general information. On USD-M both stand below a route.
RAW_PATH = "/ws"
COMBINED_PATH = "/stream"

# Futures docs, USD-M websocket notices of 2026-03; keys are `StreamType` values. `trade` is undocumented there:
# measured in BYTEX-TRADE/bytex#7 (2026-09-18) on /public, against ccxt#28091, which names /market.
_USDM_ROUTES: Mapping[str, Route] = {
    **dict.fromkeys(("bookTicker", "depth", "partialDepth", "rpiDepth", "trade"), Route.PUBLIC),
    **dict.fromkeys(("aggTrade", "markPrice", "kline", "continuousKline", "miniTicker", "ticker"), Route.MARKET),
    **dict.fromkeys(("forceOrder", "compositeIndex", "assetIndex", "contractInfo", "tradingSession"), Route.MARKET),
}
UNROUTED = Route.PUBLIC
"""What a USD-M connection without a route receives (cryptofeed#1128): other streams are acknowledged and silent."""

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What the venue does to, and demands of, one WebSocket connection; the same for JSON and SBE streams."""

    ping_interval_ns: int
    """The server sends a ping this often; the pong must copy its payload."""
    pong_deadline_ns: int
    """Without a pong for this long the server disconnects; unsolicited pongs do not count."""
    frames_per_second: int
    """Client frames (text, ping and pong) in any rolling second; one more closes with 1008."""
    streams: int
    max_age_ns: int
    attempts_per_5_min: int | None
    """Connection attempts per IP address; None where the venue states no number."""


# Spot docs, web-socket-streams.md, general information and limits; futures docs, websocket market streams (the stream
# limit as of 2025-07-02).
CONNECTION_LIMITS: Mapping[Market, ConnectionLimits] = {
    Market.SPOT: ConnectionLimits(20 * _SECOND_NS, 60 * _SECOND_NS, 5, 1024, 86_400 * _SECOND_NS, 300),
    Market.USDM: ConnectionLimits(180 * _SECOND_NS, 600 * _SECOND_NS, 10, 1024, 86_400 * _SECOND_NS, None),
    Market.COINM: ConnectionLimits(180 * _SECOND_NS, 600 * _SECOND_NS, 10, 1024, 86_400 * _SECOND_NS, None),
}

# The limit is a strict rolling window, and five a second was measured on futures too (nautilus_trader#5012, #5014;
# Lean#5554), so every market is paced alike, automatic pongs and keepalive pings included.
SAFE_FRAMES = 4
SAFE_FRAMES_WINDOW_NS = 1_100_000_000

# A longer client frame gets no answer at all (binance-connector-rust#27: 4,088 bytes of payload accepted, 4,106 not).
MAX_CLIENT_FRAME_BYTES = 4096
SAFE_PAYLOAD_BYTES = 3900

# unicorn-binance-websocket-api#19, #38.
MAX_URL_CHARS = 8004

# Our own choice: all-market arrays reach several hundred kilobytes (binance-connector-java#171).
MAX_MESSAGE_BYTES = 8 * 1024 * 1024

# Spot docs, rest-api.md; futures docs, general info. Per IP address. USD-M and COIN-M have drawn on one pool of 2,400
# together since their merge in 2026-06 (nautilus_trader docs). The live numbers are in exchangeInfo.rateLimits.
WEIGHT_PER_MINUTE: Mapping[Market, int] = {Market.SPOT: 6000, Market.USDM: 2400, Market.COINM: 2400}

# Spot docs, CHANGELOG.md, 2026-04-02 (enums.md still prints the former 61,000). Futures state none.
SPOT_REQUESTS_PER_5_MIN = 300_000

# Spot docs, rest-api.md, market data endpoints; futures docs, REST market data. Paths below REST_PATH; `depth` is in
# `depth_weight`, `ticker/bookTicker` in BOOK_TICKER_WEIGHT.
WEIGHTS: Mapping[Market, Mapping[str, int]] = {
    Market.SPOT: {
        "ping": 1,
        "time": 1,
        "exchangeInfo": 20,
        "trades": 25,
        "historicalTrades": 25,
        "aggTrades": 4,
        "historicalBlockTrades": 25,
        "klines": 2,
        "referencePrice": 2,
    },
    Market.USDM: {"ping": 1, "time": 1, "exchangeInfo": 1, "rpiDepth": 20},
    Market.COINM: {"ping": 1, "time": 1, "exchangeInfo": 1},
}

# Same sources: (one symbol, all symbols). The weight header of the USD-M response is documented as wrong.
BOOK_TICKER_WEIGHT: Mapping[Market, tuple[int, int]] = {Market.SPOT: (2, 4), Market.USDM: (2, 5)}

# Spot docs, web-socket-api.md, general information: the cost of opening a connection to the WebSocket API.
WS_API_CONNECT_WEIGHT = 2

# Same sources as WEIGHTS, order book: levels per side in one snapshot.
MAX_DEPTH: Mapping[Market, int] = {Market.SPOT: 5000, Market.USDM: 1000, Market.COINM: 1000}
_SPOT_DEPTH_WEIGHT = ((100, 5), (500, 25), (1000, 50), (5000, 250))  # (up to this limit, weight)
_FUTURES_DEPTH_WEIGHT = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}

# Hosts whose first words do not tell, or tell otherwise than on the other domains. The futures testnet's REST host
# serves both futures markets and is left to the path.
_HOST_MARKET = {"testnet.binance.vision": Market.SPOT, "stream.binancefuture.com": Market.USDM}
_DOMAINS = ("binance.com", "binance.us", "binance.me", "trbinance.com", "binance.vision", "binancefuture.com")
_WORD_MARKET = {
    **dict.fromkeys(("api", "stream"), Market.SPOT),
    **dict.fromkeys(("fapi", "fstream"), Market.USDM),
    **dict.fromkeys(("dapi", "dstream"), Market.COINM),
}
_API_PATH = re.compile(r"/(?:ws-)?([fd]?api)/v[0-9]+(?:/|$)")
_ROUTED_PATH = re.compile(r"/(?:public|market|private)/(?:ws|stream)(?:/|$)")


def usdm_route(stream_type: str) -> Route:
    """Name the route that carries a `StreamType` on USD-M; on any other one it is acknowledged and stays silent.

    Raises:
        ValueError: USD-M has no stream of this type.
    """
    route = _USDM_ROUTES.get(stream_type)
    if route is None:
        raise ValueError(f"stream type {stream_type} does not exist on USD-M: expected {', '.join(_USDM_ROUTES)}")
    return route


def depth_weight(market: Market, limit: int) -> int:
    """Tell what a REST snapshot of `limit` levels per side costs.

    Spot takes any limit from 1 and cuts a larger one to 5000; futures refuse all but seven.

    Raises:
        ValueError: the venue refuses this limit.
    """
    if market is Market.SPOT:
        if limit < 1:
            raise ValueError(f"depth limit {limit} on spot: expected 1 to 5000")
        return next((weight for upto, weight in _SPOT_DEPTH_WEIGHT if limit <= upto), _SPOT_DEPTH_WEIGHT[-1][1])
    weight = _FUTURES_DEPTH_WEIGHT.get(limit)
    if weight is None:
        allowed = ", ".join(map(str, _FUTURES_DEPTH_WEIGHT))
        raise ValueError(f"depth limit {limit} on {market}: expected one of {allowed}")
    return weight


def market_of_url(url: str) -> Market | None:
    """Tell the market from a REST or WebSocket URL; None where neither path nor host does. Never raises.

    An API path (`/fapi/v1/…`) decides on any host, ours included; then the host, if it is the venue's; then a USD-M
    route. A bare `/ws` or `/stream` on a host that is not the venue's could be any market.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removesuffix(".")
    except ValueError:
        return None
    if api := _API_PATH.match(parts.path):
        return _WORD_MARKET[api.group(1)]
    if host in _HOST_MARKET:
        return _HOST_MARKET[host]
    for domain in _DOMAINS:
        if host.endswith(f".{domain}"):
            words = re.split(r"[.-]", host.removesuffix(f".{domain}"))
            markets = (_WORD_MARKET.get(word.rstrip("0123456789")) for word in words)
            return next((market for market in markets if market is not None), None)
    return Market.USDM if _ROUTED_PATH.match(parts.path) else None
