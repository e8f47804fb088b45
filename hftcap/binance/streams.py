"""Stream names: what each name of the venue's grammar carries, parsed and built from the same two tables.

    name   = symbol "@" tail | whole
    tail   = trade | depth | depth@100ms | depth20@100ms | kline_1m@+08:00 | …      a finite set, `_TAILS`
    whole  = !miniTicker@arr | !bookTicker | tradingSession | …                     a finite set, `_WHOLES`
    symbol = one or more characters, none of them @ / or !, lower case where they have case

After the symbol, case matters: `bookTicker` exists, `bookticker` is acknowledged and stays silent.

Source: binance-spot-api-docs a5e0bc3, web-socket-streams.md; binance-connector-python 29da329, futures stream texts;
tardis-node c1d73fb for `trade` and `depth@0ms` on futures, undocumented. Spot retired `!ticker@arr` and `!bookTicker`.
"""

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from hftcap.binance.endpoints import COMBINED_PATH, RAW_PATH, Market


class StreamType(enum.StrEnum):
    """What a stream carries."""

    TRADE = "trade"
    AGG_TRADE = "aggTrade"
    BLOCK_TRADE = "blockTrade"
    REFERENCE_PRICE = "referencePrice"
    BOOK_TICKER = "bookTicker"
    DEPTH = "depth"
    PARTIAL_DEPTH = "partialDepth"
    """The best levels, whole each time. On futures only the stream name tells it from a diff (`DEPTH`)."""
    RPI_DEPTH = "rpiDepth"
    """Diffs of another book than `DEPTH`'s: with the retail price improvement orders."""
    KLINE = "kline"
    CONTINUOUS_KLINE = "continuousKline"
    INDEX_PRICE_KLINE = "indexPriceKline"
    MARK_PRICE_KLINE = "markPriceKline"
    MINI_TICKER = "miniTicker"
    TICKER = "ticker"
    WINDOW_TICKER = "windowTicker"
    AVG_PRICE = "avgPrice"
    MARK_PRICE = "markPrice"
    INDEX_PRICE = "indexPrice"
    FORCE_ORDER = "forceOrder"
    COMPOSITE_INDEX = "compositeIndex"
    ASSET_INDEX = "assetIndex"
    CONTRACT_INFO = "contractInfo"
    TRADING_SESSION = "tradingSession"
    SERVER_SHUTDOWN = "serverShutdown"
    """Sent without being asked for; the venue takes no subscription to it."""


@dataclass(frozen=True, slots=True)
class StreamName:
    """A stream name taken apart; `parse_stream` and `build_stream` make these."""

    symbol: str | None
    """As in the name, lower case; for some types a pair, asset or `pair_contracttype`; None for all-market streams."""
    type: StreamType
    levels: int | None
    speed_ms: int | None
    """The update interval if the name states one; a name without one has the default of its market."""
    interval: str | None
    """The candle or window length in the venue's letters: `1m` is a minute, `1M` a month."""
    utc_offset: str | None
    text: str

    @property
    def payload_symbol(self) -> str | None:
        """Spell the symbol as payloads and REST parameters do: upper case.

        A character whose upper case would not lead back to it (ß, ı) stays, so two symbols never become one.
        """
        if self.symbol is None:
            return None
        return "".join(c.upper() if c.upper().lower() == c else c for c in self.symbol)


@dataclass(frozen=True, slots=True)
class _Form:
    type: StreamType
    levels: int | None = None
    speed_ms: int | None = None
    interval: str | None = None
    utc_offset: str | None = None


_Table = dict[str, tuple[_Form, frozenset[Market]]]

_SPOT, _USDM, _COINM = (frozenset({market}) for market in (Market.SPOT, Market.USDM, Market.COINM))
_FUTURES = _USDM | _COINM
_EVERY = _SPOT | _FUTURES

_PLAIN: Mapping[StreamType, frozenset[Market]] = {
    **dict.fromkeys((StreamType.TRADE, StreamType.AGG_TRADE, StreamType.BOOK_TICKER, StreamType.TICKER), _EVERY),
    StreamType.MINI_TICKER: _EVERY,
    **dict.fromkeys((StreamType.BLOCK_TRADE, StreamType.REFERENCE_PRICE, StreamType.AVG_PRICE), _SPOT),
    StreamType.FORCE_ORDER: _FUTURES,
    **dict.fromkeys((StreamType.COMPOSITE_INDEX, StreamType.ASSET_INDEX), _USDM),
}
# Futures push every 250 ms when no speed is named; `@250ms` itself is not a name.
_DEPTH_SPEEDS_MS = {None: _EVERY, 100: _EVERY, 1000: _SPOT, 0: _FUTURES, 500: _FUTURES}
_WINDOWS = ("1h", "4h", "1d")
_INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
_UNESCAPED = "@!:"  # A plus sign is escaped, because in a query it would mean a space.
_SYMBOL = re.compile(r"[^@/!\ud800-\udfff]+")  # A lone surrogate has no UTF-8 form.
_CONTRACT = re.compile(_SYMBOL.pattern + "_(?:perpetual|current_quarter|next_quarter|tradifi_perpetual)")


def _tails() -> _Table:
    tails: _Table = {str(kind): (_Form(kind), markets) for kind, markets in _PLAIN.items()}
    for speed_ms, markets in _DEPTH_SPEEDS_MS.items():
        suffix = "" if speed_ms is None else f"@{speed_ms}ms"
        tails[f"depth{suffix}"] = (_Form(StreamType.DEPTH, speed_ms=speed_ms), markets)
        if speed_ms != 0:
            for levels in (5, 10, 20):
                tails[f"depth{levels}{suffix}"] = (_Form(StreamType.PARTIAL_DEPTH, levels, speed_ms), markets)
    tails["rpiDepth@500ms"] = (_Form(StreamType.RPI_DEPTH, speed_ms=500), _USDM)
    for kind, markets in ((StreamType.MARK_PRICE, _FUTURES), (StreamType.INDEX_PRICE, _COINM)):
        tails[str(kind)] = (_Form(kind), markets)
        tails[f"{kind}@1s"] = (_Form(kind, speed_ms=1000), markets)
    for window in _WINDOWS:
        tails[f"ticker_{window}"] = (_Form(StreamType.WINDOW_TICKER, interval=window), _SPOT)
    for interval in ("1s", *_INTERVALS):
        tails[f"kline_{interval}"] = (_Form(StreamType.KLINE, interval=interval), _SPOT if interval == "1s" else _EVERY)
        tails[f"kline_{interval}@+08:00"] = (_Form(StreamType.KLINE, interval=interval, utc_offset="+08:00"), _SPOT)
    for interval in _INTERVALS:
        for kind in (StreamType.CONTINUOUS_KLINE, StreamType.INDEX_PRICE_KLINE, StreamType.MARK_PRICE_KLINE):
            markets = _FUTURES if kind is StreamType.CONTINUOUS_KLINE else _COINM
            tails[f"{kind}_{interval}"] = (_Form(kind, interval=interval), markets)
    return tails


_TAILS = _tails()
_WHOLES: _Table = {
    "!miniTicker@arr": (_Form(StreamType.MINI_TICKER), _EVERY),
    **{f"!ticker_{w}@arr": (_Form(StreamType.WINDOW_TICKER, interval=w), _SPOT) for w in _WINDOWS},
    "!serverShutdown": (_Form(StreamType.SERVER_SHUTDOWN), _SPOT),
    "!ticker@arr": (_Form(StreamType.TICKER), _FUTURES),
    "!bookTicker": (_Form(StreamType.BOOK_TICKER), _FUTURES),
    "!forceOrder@arr": (_Form(StreamType.FORCE_ORDER), _FUTURES),
    "!contractInfo": (_Form(StreamType.CONTRACT_INFO), _FUTURES),
    "!markPrice@arr": (_Form(StreamType.MARK_PRICE), _USDM),
    "!markPrice@arr@1s": (_Form(StreamType.MARK_PRICE, speed_ms=1000), _USDM),
    "!assetIndex@arr": (_Form(StreamType.ASSET_INDEX), _USDM),
    "tradingSession": (_Form(StreamType.TRADING_SESSION), _USDM),
}


def parse_stream(text: str, market: Market | None = None) -> StreamName | None:
    """Take a stream name apart by one market's grammar, or by all of them; None if it has no known form."""
    symbol: str | None = None
    if text in _WHOLES:
        form, markets = _WHOLES[text]
    else:
        symbol, _, tail = text.partition("@")
        pattern = _CONTRACT if tail.startswith("continuousKline_") else _SYMBOL
        if tail not in _TAILS or symbol != symbol.lower() or pattern.fullmatch(symbol) is None:
            return None
        form, markets = _TAILS[tail]
    if market is not None and market not in markets:
        return None
    return StreamName(symbol, form.type, form.levels, form.speed_ms, form.interval, form.utc_offset, text)


def build_stream(
    type: StreamType,  # noqa: A002
    symbol: str | None = None,
    *,
    levels: int | None = None,
    speed_ms: int | None = None,
    interval: str | None = None,
    utc_offset: str | None = None,
    market: Market | None = None,
) -> StreamName:
    """Make the stream name with these parts; the symbol may be in any case, None asks for the all-market stream.

    Raises:
        ValueError: the grammar of `market` (of any market, if None) has no such name.
    """
    wanted = _Form(type, levels, speed_ms, interval, utc_offset)
    for ending, (form, _) in (_WHOLES if symbol is None else _TAILS).items():
        text = ending if symbol is None else f"{symbol.lower()}@{ending}"
        if form == wanted and (name := parse_stream(text, market)):
            return name
    parts = f"symbol={symbol!r}, {levels=}, {speed_ms=}, {interval=}, {utc_offset=}"
    raise ValueError(f"{market or 'the venue'} has no {type} stream with {parts}")


def raw_path(text: str) -> str:
    """Write the path that connects to one stream, bare events: `/ws/btcusdt@trade`."""
    return f"{RAW_PATH}/{quote(text, safe=_UNESCAPED)}"


def combined_path(texts: Iterable[str]) -> str:
    """Write the path and query that connect to several streams, events in envelopes; to none yet if empty."""
    streams = "/".join(quote(text, safe=_UNESCAPED) for text in texts)
    return f"{COMBINED_PATH}?streams={streams}" if streams else COMBINED_PATH
