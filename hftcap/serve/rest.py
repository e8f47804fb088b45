"""REST endpoints: a request's name and parameters to the venue's answer, or its refusal. Pure.

Source: protocol notes, section 7.2; weights are in `binance.endpoints`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any

import msgspec

from hftcap.binance.endpoints import BOOK_TICKER_WEIGHT, MAX_DEPTH, WEIGHTS, Market, depth_weight
from hftcap.serve.exchange_info import exchange_info, known_symbols
from hftcap.serve.faults import Fault, FaultKind
from hftcap.serve.params import Params, RestRefused, not_captured
from hftcap.serve.paths import TimeUnit
from hftcap.serve.venue import Depth, Venue

_FUTURES_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
_DEPTH_DEFAULT = {Market.SPOT: 100, Market.USDM: 500, Market.COINM: 500}
_EIGHT = Decimal("0.00000001")
_encode = msgspec.json.encode
_Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as the endpoints see it. `coming` are the payloads next in the stream, for the fault that needs them.

    `unit` is what times are to be in, `faults` those that fell on this request.
    """

    venue: Venue
    given: tuple[tuple[str, str], ...]
    weight_per_minute: int
    unit: TimeUnit | None = None
    faults: tuple[Fault, ...] = ()
    coming: Callable[[], list[bytes]] = list

    def time(self, epoch_ns: int) -> int:
        """Return a time in the unit asked for."""
        return epoch_ns // (1_000 if self.unit is TimeUnit.MICROSECOND else 1_000_000)

    def fault(self, kind: FaultKind) -> Fault | None:
        """Return the fault of a kind that fell on this request."""
        return next((fault for fault in self.faults if fault.kind is kind), None)


@dataclass(frozen=True, slots=True)
class Found:
    """A body, and what is to be said beside it."""

    body: bytes
    note: str = ""


def _ping(ask: Ask) -> Found:
    Params(ask.given, ())
    return Found(b"{}")


def _time(ask: Ask) -> Found:
    Params(ask.given, ())
    return Found(_encode({"serverTime": ask.time(ask.venue.time_ns())}))


def _exchange_info(ask: Ask) -> Found:
    params = Params(ask.given, ("symbol", "symbols", "permissions", "symbolStatus", "showPermissionSets"))
    for one, other in (("symbol", "symbols"), ("symbol", "permissions"), ("symbols", "permissions")):
        params.refuse_both(one, other)
    params.status()
    wanted = params.symbols()
    single = params.symbol(mandatory=False)
    if single is not None:
        wanted = [single]
    for name in wanted or ():
        _known(ask, name)
    body = exchange_info(ask.venue.catalog, ask.weight_per_minute, ask.time(ask.venue.time_ns()), wanted)
    return Found(_encode(body))


def _depth(ask: Ask) -> Found:
    market = ask.venue.market
    params = Params(ask.given, ("symbol", "limit", "symbolStatus"))
    symbol = _known(ask, params.symbol())
    limit = depth_limit(market, params)
    if params.status() not in (None, "TRADING"):
        raise RestRefused(400, -1220, "The symbol's status does not match the requested symbolStatus.")
    stale, ahead = ask.fault(FaultKind.STALE), ask.fault(FaultKind.AHEAD)
    if stale is not None:
        depth = ask.venue.stale(symbol, limit)
    elif ahead is not None:
        depth = ask.venue.ahead(symbol, limit, ask.coming(), ahead.updates)
    else:
        depth = ask.venue.depth(symbol, limit)
    if depth is None:
        raise not_captured(f"no depth of {symbol} is in the capture so far")
    return Found(_encode(_depth_body(ask, symbol, depth)), depth.note)


def _depth_body(ask: Ask, symbol: str, depth: Depth) -> _Json:
    body: _Json = {"lastUpdateId": depth.update_id}
    if ask.venue.market is not Market.SPOT:
        now_ms = depth.event_ms or ask.venue.time_ns() // 1_000_000
        body |= {"E": now_ms, "T": now_ms}
        if ask.venue.market is Market.COINM:
            body |= {"symbol": symbol, "pair": symbol.partition("_")[0]}
    return body | {"bids": depth.bids, "asks": depth.asks}


def depth_limit(market: Market, params: Params) -> int:
    """Return how many levels a side are asked for."""
    if market is Market.SPOT:
        return params.limit(_DEPTH_DEFAULT[market], MAX_DEPTH[market])
    return params.one_of("limit", _FUTURES_LIMITS, _DEPTH_DEFAULT[market])


def _trades(ask: Ask) -> Found:
    params = Params(ask.given, ("symbol", "limit", "fromId"))
    symbol = _known(ask, params.symbol())
    limit, first = params.limit(500, 1000), params.whole("fromId")
    events = ask.venue.recent(symbol, "trade")
    if events is None:
        raise not_captured(f"no trades of {symbol} are in the capture")
    spot = ask.venue.market is Market.SPOT
    rows = []
    for event in events:
        quote = Decimal(event["p"]) * Decimal(event["q"])
        row = {
            "id": event["t"],
            "price": event["p"],
            "qty": event["q"],
            "quoteQty": f"{quote.quantize(_EIGHT, ROUND_DOWN):f}" if spot else f"{quote.normalize():f}",
            "time": _wire_time(ask, event["T"]),
            "isBuyerMaker": event["m"],
        }
        rows.append(row | {"isBestMatch": True} if spot else row)
    return Found(_encode(_window(rows, "id", first, limit)))


def _agg_trades(ask: Ask) -> Found:
    params = Params(ask.given, ("symbol", "fromId", "startTime", "endTime", "limit"))
    symbol = _known(ask, params.symbol())
    limit, first = params.limit(500, 1000), params.whole("fromId")
    start, end = params.whole("startTime"), params.whole("endTime")
    events = ask.venue.recent(symbol, "aggTrade")
    if events is None:
        raise not_captured(f"no aggregate trades of {symbol} are in the capture")
    rows: list[_Json] = [
        {key: event[key] for key in ("a", "p", "q", "f", "l", "T", "m", "M") if key in event}
        for event in events
        if (start is None or event["T"] >= start) and (end is None or event["T"] <= end)
    ]
    for row in rows:
        row["T"] = _wire_time(ask, row["T"])
    return Found(_encode(_window(rows, "a", first, limit)))


def _window(rows: list[_Json], key: str, first: int | None, limit: int) -> list[_Json]:
    """Return the newest rows, or the oldest from an id on."""
    return rows[-limit:] if first is None else [row for row in rows if row[key] >= first][:limit]


def _wire_time(ask: Ask, value: int) -> int:
    """Return a time as the endpoint gives it: milliseconds, unless microseconds were asked for."""
    microseconds = value > 10**14
    if ask.unit is TimeUnit.MICROSECOND:
        return value if microseconds else value * 1_000
    return value // 1_000 if microseconds else value


def _book_ticker(ask: Ask) -> Found:
    params = Params(ask.given, ("symbol", "symbols", "symbolStatus"))
    rows, one = _of_symbols(ask, params, _quote)
    return Found(_encode(rows[0] if one else rows))


def _quote(ask: Ask, symbol: str) -> _Json | None:
    """Return best bid and ask: as the stream has them, or as the book does."""
    futures = ask.venue.market is not Market.SPOT
    events = ask.venue.recent(symbol, "bookTicker")
    if events:
        event = events[-1]
        row = {
            "symbol": symbol,
            "bidPrice": event["b"],
            "bidQty": event["B"],
            "askPrice": event["a"],
            "askQty": event["A"],
        }
        return row | {"lastUpdateId": event["u"], "time": event.get("T", 0)} if futures else row
    depth = ask.venue.depth(symbol, 1)
    if depth is None or not depth.bids or not depth.asks:
        return None
    (bid, bid_size), (price, size) = depth.bids[0], depth.asks[0]
    row = {"symbol": symbol, "bidPrice": bid, "bidQty": bid_size, "askPrice": price, "askQty": size}
    if futures:
        row |= {"lastUpdateId": depth.update_id, "time": ask.venue.time_ns() // 1_000_000}
    return row


def _price_ticker(ask: Ask) -> Found:
    params = Params(ask.given, ("symbol", "symbols", "symbolStatus"))
    rows, one = _of_symbols(ask, params, _price)
    return Found(_encode(rows[0] if one else rows))


def _price(ask: Ask, symbol: str) -> _Json | None:
    for tail in ("trade", "aggTrade"):
        events = ask.venue.recent(symbol, tail)
        if events:
            row = {"symbol": symbol, "price": events[-1]["p"]}
            return row if ask.venue.market is Market.SPOT else row | {"time": events[-1]["T"]}
    return None


def _of_symbols(ask: Ask, params: Params, row_of: Callable[[Ask, str], _Json | None]) -> tuple[list[_Json], bool]:
    """Return a row for each symbol asked for, and whether one was asked for by itself."""
    params.refuse_both("symbol", "symbols")
    params.status()
    single = params.symbol(mandatory=False)
    names = params.symbols()
    if single is not None:
        names = [single]
    for name in names or ():
        _known(ask, name)
    rows = {name: row_of(ask, name) for name in names or sorted(ask.venue.catalog.symbols)}
    missing = [name for name, row in rows.items() if row is None]
    if missing and names is not None:
        raise not_captured(f"nothing of {', '.join(missing)} tells this in the capture so far")
    return [row for row in rows.values() if row is not None], single is not None


def _known(ask: Ask, symbol: str | None) -> str:
    if symbol is None or symbol not in known_symbols(ask.venue.catalog):
        raise RestRefused(400, -1121, "Invalid symbol.")
    return symbol


ENDPOINTS: Mapping[str, Callable[[Ask], Found]] = {
    "ping": _ping,
    "time": _time,
    "exchangeInfo": _exchange_info,
    "depth": _depth,
    "trades": _trades,
    "historicalTrades": _trades,
    "aggTrades": _agg_trades,
    "ticker/bookTicker": _book_ticker,
    "ticker/price": _price_ticker,
}
_VENUE_HAS = (
    *("historicalBlockTrades", "klines", "uiKlines", "avgPrice", "ticker", "ticker/24hr", "ticker/tradingDay"),
    *("referencePrice", "executionRules", "rpiDepth", "premiumIndex", "fundingRate", "continuousKlines"),
)


def answer(endpoint: str, ask: Ask) -> Found:
    """Answer a request.

    Raises:
        RestRefused: as the venue would, or because the capture does not have what is asked for.
    """
    found = ENDPOINTS.get(endpoint)
    if found is not None:
        return found(ask)
    if endpoint in _VENUE_HAS:
        raise not_captured(f"{endpoint} is not served")
    raise RestRefused(404, -1000, "Path not found.")


def weight_of(market: Market, endpoint: str, given: tuple[tuple[str, str], ...]) -> int:
    """Return what a request costs; one that is refused costs what it would have cost as far as that can be told."""
    values = dict(given)
    if endpoint == "depth":
        text = values.get("limit", "")
        try:
            return depth_weight(market, int(text) if text.isdecimal() and len(text) < 10 else _DEPTH_DEFAULT[market])
        except ValueError:
            return depth_weight(market, _DEPTH_DEFAULT[market])
    if endpoint.startswith("ticker/"):
        one, all_ = BOOK_TICKER_WEIGHT.get(market, (2, 5))
        return one if "symbol" in values else all_
    return WEIGHTS[market].get(endpoint, 1)


def refusal(refused: RestRefused) -> bytes:
    """Write an error body."""
    return _encode({"code": refused.code, "msg": refused.text})
