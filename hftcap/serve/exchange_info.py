"""`exchangeInfo`: as captured where it was, otherwise what clients need of it, from what the capture shows.

Derived are base and quote asset (by the quote assets there are), tick and step (the finest that were seen) and the
digits of numbers. Upper bounds that are not known are nine billion: 0, which by the venue's rules means that there is
none, is no bound to nautilus_trader.

Source: protocol notes, sections 7.1 and 7.3; `protocol/clients.md` for the keys that clients ask for.
"""

from typing import Any

from hftcap.binance.endpoints import SPOT_REQUESTS_PER_5_MIN, Market
from hftcap.serve.catalog import Catalog, SymbolFacts

_QUOTES = (
    *("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "BIDR", "IDRT", "DOGE", "USD1"),
    *("BTC", "ETH", "BNB", "TRX", "XRP", "EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "RUB", "UAH", "NGN", "ZAR"),
    *("PLN", "RON", "ARS", "MXN", "CZK", "COP", "IDR", "DAI", "PAX", "VAI", "USD"),
)
_FAR_MS = 4_133_404_800_000
"""The delivery date the venue gives perpetuals: 2100-12-25."""
_NO_BOUND = 9_000_000_000
_CONTRACT_USD = {"BTC": 100}
_Json = dict[str, Any]


def rate_limits(market: Market, weight_per_minute: int) -> list[_Json]:
    """Return the limits in force."""
    limits = [_limit("REQUEST_WEIGHT", 1, weight_per_minute)]
    if market is Market.SPOT:
        limits.append(_limit("RAW_REQUESTS", 5, SPOT_REQUESTS_PER_5_MIN))
    return limits


def _limit(kind: str, minutes: int, limit: int) -> _Json:
    return {"rateLimitType": kind, "interval": "MINUTE", "intervalNum": minutes, "limit": limit}


def exchange_info(catalog: Catalog, weight_per_minute: int, time_ms: int, wanted: list[str] | None) -> _Json:
    """Return the body; `wanted` are the symbols to have in it, all if None."""
    captured = catalog.exchange_info
    limits = rate_limits(catalog.market, weight_per_minute)
    if captured is not None:
        entries = [entry for entry in captured.get("symbols", []) if type(entry) is dict]
        if wanted is not None:
            entries = [entry for entry in entries if entry.get("symbol") in wanted]
        return captured | {"serverTime": time_ms, "rateLimits": limits, "symbols": entries}
    names = sorted(catalog.symbols) if wanted is None else wanted
    return {
        "timezone": "UTC",
        "serverTime": time_ms,
        "rateLimits": limits,
        "exchangeFilters": [],
        "symbols": [entry_of(catalog.market, name, catalog.symbols[name]) for name in names],
    }


def known_symbols(catalog: Catalog) -> set[str]:
    """Return the symbols that requests may name."""
    captured = catalog.exchange_info or {}
    listed = {entry.get("symbol") for entry in captured.get("symbols", []) if type(entry) is dict}
    return set(catalog.symbols) | {name for name in listed if type(name) is str}


def assets_of(symbol: str) -> tuple[str, str]:
    """Return base and quote asset of a symbol, as well as its name tells."""
    pair = symbol.partition("_")[0]
    for quote in sorted(_QUOTES, key=len, reverse=True):
        if pair.endswith(quote) and len(pair) > len(quote):
            return pair.removesuffix(quote), quote
    return pair, "USDT"


def entry_of(market: Market, symbol: str, facts: SymbolFacts) -> _Json:
    """Return a symbol's entry."""
    base, quote = assets_of(symbol)
    filters = _filters(facts)
    if market is Market.SPOT:
        return _spot(symbol, base, quote, filters)
    tail = symbol.partition("_")[2]
    contract = "PERPETUAL" if not tail or tail == "PERP" else "CURRENT_QUARTER"
    entry: _Json = {
        "symbol": symbol,
        "pair": symbol.partition("_")[0],
        "contractType": contract,
        "deliveryDate": _FAR_MS,
        "onboardDate": 0,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": base if market is Market.COINM else quote,
        "pricePrecision": facts.price_decimals,
        "quantityPrecision": facts.size_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "filters": filters,
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }
    if market is Market.COINM:
        entry["contractStatus"] = entry.pop("status")
        entry["contractSize"] = _CONTRACT_USD.get(base, 10)
    return entry


def _spot(symbol: str, base: str, quote: str, filters: list[_Json]) -> _Json:
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters,
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def _filters(facts: SymbolFacts) -> list[_Json]:
    """Return the two filters; a client that takes the first for the price filter is right."""
    tick = _step(facts.price_finest, facts.price_decimals)
    step = _step(facts.size_finest, facts.size_decimals)
    highest = f"{_NO_BOUND:.{facts.price_decimals}f}"
    largest = f"{_NO_BOUND:.{facts.size_decimals}f}"
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": highest, "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": largest, "stepSize": step},
    ]


def _step(finest: int, decimals: int) -> str:
    """Write the smallest step of so many digits behind the point."""
    if not finest:
        return f"{1:.{decimals}f}"
    return f"0.{'1'.rjust(finest, '0')}".ljust(decimals + 2, "0")
