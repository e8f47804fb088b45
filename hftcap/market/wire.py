"""What a venue writes: the JSON text of every message of the two dialects, spot and USD-M futures.

Each function of a dialect returns the event as the value of `data`, keys in the venue's order; `enveloped` puts it
into the frame of a combined stream. Times are the venue's, epoch milliseconds; prices come in ticks, sizes in lots.

    spot     eight decimals; diffs with bids falling and asks rising; `M` in prints; no times in quotes
    futures  decimals of tick and lot; both sides of diffs rising; `T`, `pu`, `ps`, `st`, `X`, `nq`

Source: protocol notes, sections 4.2, 5.2 and 7.2.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hftcap.binance.endpoints import Market
from hftcap.market.candles import Bar
from hftcap.market.instrument import Instrument, Texts, fixed_text

Level = tuple[int, int]
"""Price in ticks, size in lots; a size of 0 removes."""
Touch = tuple[int, int, int, int]

_TRUE = {True: "true", False: "false"}
_SYMBOL_TYPE_USDM = 1
_MOST_E8 = 10**14


def enveloped(head: str, event: str) -> bytes:
    """Return the frame of a combined stream; `head` is what `head_of` returned."""
    return f"{head}{event}}}".encode()


def head_of(stream: str) -> str:
    """Return how the frames of a stream begin."""
    return f'{{"stream":{json.dumps(stream, ensure_ascii=False)},"data":'


@dataclass(frozen=True, slots=True)
class Range:
    """The update ids of a diff, `first` to `last`, and the last one of the diff before it in the same stream."""

    first: int
    last: int
    previous: int


class Wire(Protocol):
    """A dialect, for one symbol."""

    levels_kept: int
    """Levels a side that a REST snapshot has at most."""

    def trade(self, now_ms: int, trade_id: int, price: int, lots: int, maker_bought: bool) -> str:
        """Write one fill; `maker_bought` says that the order that rested was the buyer's."""

    def agg_trade(self, now_ms: int, agg_id: int, ids: tuple[int, int], fill: Level, at_ms: int, bought: bool) -> str:
        """Write fills `ids` (first, last) at one price as one; `bought` as `maker_bought`."""

    def book_ticker(self, now_ms: int, update_id: int, touch: Touch) -> str:
        """Write the touch."""

    def diff(self, now_ms: int, at_ms: int, ids: Range, bids: list[Level], asks: list[Level]) -> str:
        """Write the levels that changed, in any order; `at_ms` is when the last one did."""

    def partial(self, now_ms: int, at_ms: int, ids: Range, bids: list[Level], asks: list[Level]) -> str:
        """Write the best levels, best first."""

    def snapshot(self, now_ms: int, at_ms: int, update_id: int, bids: list[Level], asks: list[Level]) -> bytes:
        """Write the body of the REST answer, best first."""

    def kline(self, now_ms: int, interval: str, bar: Bar, closed: bool) -> str:
        """Write a candle."""

    def mini_ticker(self, now_ms: int, bar: Bar) -> str:
        """Write the statistics of the last 24 hours."""


class _Numbers:
    """A symbol's numbers as the venue writes them."""

    def __init__(self, instrument: Instrument) -> None:
        self.symbol = json.dumps(instrument.symbol, ensure_ascii=False)
        self.price = Texts(instrument.tick_e8, instrument.price_decimals)
        self.size = Texts(instrument.lot_e8, instrument.size_decimals)
        self._decimals = instrument.size_decimals
        self._lot_e8 = instrument.lot_e8
        self._quote_e16 = instrument.tick_e8 * instrument.lot_e8

    def levels(self, levels: Iterable[Level]) -> str:
        """Write levels in the order given."""
        price, size = self.price, self.size
        return ",".join([f'["{price[at]}","{size[lots]}"]' for at, lots in levels])

    def volume(self, lots: int) -> str:
        """Write a sum of sizes; sums do not repeat, so they are not remembered."""
        return fixed_text(lots * self._lot_e8, self._decimals)

    def quote(self, ticks_lots: int) -> str:
        """Write a sum of price times size, eight decimals, what is beyond them cut off."""
        return fixed_text(ticks_lots * self._quote_e16 // 10**8, 8)

    def kline(self, now_ms: int, interval: str, bar: Bar, closed: bool) -> str:
        """Write a candle, the same in both dialects."""
        s, p = self.symbol, self.price
        return (
            f'{{"e":"kline","E":{now_ms},"s":{s},"k":{{"t":{bar.open_ms},"T":{bar.close_ms},"s":{s},"i":"{interval}",'
            f'"f":{bar.first_id},"L":{bar.last_id},"o":"{p[bar.open]}","c":"{p[bar.close]}","h":"{p[bar.high]}",'
            f'"l":"{p[bar.low]}","v":"{self.volume(bar.lots)}","n":{bar.trades},"x":{_TRUE[closed]},'
            f'"q":"{self.quote(bar.quote)}","V":"{self.volume(bar.taker_lots)}",'
            f'"Q":"{self.quote(bar.taker_quote)}","B":"0"}}}}'
        )

    def mini_ticker(self, now_ms: int, bar: Bar) -> str:
        """Write the statistics of 24 hours, the same in both dialects."""
        p = self.price
        return (
            f'{{"e":"24hrMiniTicker","E":{now_ms},"s":{self.symbol},"c":"{p[bar.close]}","o":"{p[bar.open]}",'
            f'"h":"{p[bar.high]}","l":"{p[bar.low]}","v":"{self.volume(bar.lots)}","q":"{self.quote(bar.quote)}"}}'
        )


class SpotWire:
    """The spot dialect."""

    levels_kept = 5_000

    def __init__(self, instrument: Instrument) -> None:
        numbers = self._numbers = _Numbers(instrument)
        self._price, self._size, self._symbol = numbers.price, numbers.size, numbers.symbol
        self.kline, self.mini_ticker = numbers.kline, numbers.mini_ticker

    def trade(self, now_ms: int, trade_id: int, price: int, lots: int, maker_bought: bool) -> str:
        """See `Wire`."""
        return (
            f'{{"e":"trade","E":{now_ms},"s":{self._symbol},"t":{trade_id},"p":"{self._price[price]}",'
            f'"q":"{self._size[lots]}","T":{now_ms},"m":{_TRUE[maker_bought]},"M":true}}'
        )

    def agg_trade(self, now_ms: int, agg_id: int, ids: tuple[int, int], fill: Level, at_ms: int, bought: bool) -> str:
        """See `Wire`."""
        return (
            f'{{"e":"aggTrade","E":{now_ms},"s":{self._symbol},"a":{agg_id},"p":"{self._price[fill[0]]}",'
            f'"q":"{self._size[fill[1]]}","f":{ids[0]},"l":{ids[1]},"T":{at_ms},"m":{_TRUE[bought]},"M":true}}'
        )

    def book_ticker(self, now_ms: int, update_id: int, touch: Touch) -> str:
        """See `Wire`."""
        price, size = self._price, self._size
        bid, bid_lots, ask, ask_lots = touch
        return (
            f'{{"u":{update_id},"s":{self._symbol},"b":"{price[bid]}","B":"{size[bid_lots]}",'
            f'"a":"{price[ask]}","A":"{size[ask_lots]}"}}'
        )

    def diff(self, now_ms: int, at_ms: int, ids: Range, bids: list[Level], asks: list[Level]) -> str:
        """See `Wire`."""
        write = self._numbers.levels
        return (
            f'{{"e":"depthUpdate","E":{now_ms},"s":{self._symbol},"U":{ids.first},"u":{ids.last},'
            f'"b":[{write(sorted(bids, reverse=True))}],"a":[{write(sorted(asks))}]}}'
        )

    def partial(self, now_ms: int, at_ms: int, ids: Range, bids: list[Level], asks: list[Level]) -> str:
        """See `Wire`."""
        return self._whole(ids.last, bids, asks)

    def snapshot(self, now_ms: int, at_ms: int, update_id: int, bids: list[Level], asks: list[Level]) -> bytes:
        """See `Wire`."""
        return self._whole(update_id, bids, asks).encode()

    def _whole(self, update_id: int, bids: list[Level], asks: list[Level]) -> str:
        write = self._numbers.levels
        return f'{{"lastUpdateId":{update_id},"bids":[{write(bids)}],"asks":[{write(asks)}]}}'


class FuturesWire:
    """The dialect of USD-M futures."""

    levels_kept = 1_000

    def __init__(self, instrument: Instrument) -> None:
        numbers = self._numbers = _Numbers(instrument)
        self._price, self._size, self._symbol = numbers.price, numbers.size, numbers.symbol
        self.kline, self.mini_ticker = numbers.kline, numbers.mini_ticker
        self._pair = f'"ps":{numbers.symbol},"st":{_SYMBOL_TYPE_USDM}'

    def trade(self, now_ms: int, trade_id: int, price: int, lots: int, maker_bought: bool) -> str:
        """See `Wire`."""
        return (
            f'{{"e":"trade","E":{now_ms},"T":{now_ms},"s":{self._symbol},"t":{trade_id},"p":"{self._price[price]}",'
            f'"q":"{self._size[lots]}","X":"MARKET","m":{_TRUE[maker_bought]}}}'
        )

    def agg_trade(self, now_ms: int, agg_id: int, ids: tuple[int, int], fill: Level, at_ms: int, bought: bool) -> str:
        """See `Wire`. All of it is without retail price improvement, so `nq` is the whole size."""
        size = self._size[fill[1]]
        return (
            f'{{"e":"aggTrade","E":{now_ms},"a":{agg_id},"s":{self._symbol},"p":"{self._price[fill[0]]}",'
            f'"q":"{size}","nq":"{size}","f":{ids[0]},"l":{ids[1]},"T":{at_ms},"m":{_TRUE[bought]},'
            f'"st":{_SYMBOL_TYPE_USDM}}}'
        )

    def book_ticker(self, now_ms: int, update_id: int, touch: Touch) -> str:
        """See `Wire`."""
        price, size = self._price, self._size
        bid, bid_lots, ask, ask_lots = touch
        return (
            f'{{"e":"bookTicker","u":{update_id},"E":{now_ms},"T":{now_ms},"s":{self._symbol},"b":"{price[bid]}",'
            f'"B":"{size[bid_lots]}","a":"{price[ask]}","A":"{size[ask_lots]}",{self._pair}}}'
        )

    def diff(self, now_ms: int, at_ms: int, ids: Range, bids: list[Level], asks: list[Level]) -> str:
        """See `Wire`."""
        return self.partial(now_ms, at_ms, ids, sorted(bids), sorted(asks))

    def partial(self, now_ms: int, at_ms: int, ids: Range, bids: list[Level], asks: list[Level]) -> str:
        """See `Wire`."""
        write = self._numbers.levels
        return (
            f'{{"e":"depthUpdate","E":{now_ms},"T":{at_ms},"s":{self._symbol},{self._pair},"U":{ids.first},'
            f'"u":{ids.last},"pu":{ids.previous},"b":[{write(bids)}],"a":[{write(asks)}]}}'
        )

    def snapshot(self, now_ms: int, at_ms: int, update_id: int, bids: list[Level], asks: list[Level]) -> bytes:
        """See `Wire`."""
        write = self._numbers.levels
        sides = f'"bids":[{write(bids)}],"asks":[{write(asks)}]'
        return f'{{"lastUpdateId":{update_id},"E":{now_ms},"T":{at_ms},{sides}}}'.encode()


def wire_of(instrument: Instrument, market: Market) -> Wire:
    """Return a symbol's dialect."""
    return SpotWire(instrument) if market is Market.SPOT else FuturesWire(instrument)


def exchange_body(instruments: Sequence[Instrument], market: Market, now_ms: int, weight: int) -> bytes:
    """Write the answer to `exchangeInfo`: what a recorder needs of it.

    Source: protocol notes, section 7.3.
    """
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight}
    symbols = [_symbol(instrument, market) for instrument in instruments]
    body = {"timezone": "UTC", "serverTime": now_ms, "rateLimits": [limit], "exchangeFilters": [], "symbols": symbols}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _symbol(instrument: Instrument, market: Market) -> dict[str, object]:
    tick = fixed_text(instrument.tick_e8, instrument.price_decimals)
    lot = fixed_text(instrument.lot_e8, instrument.size_decimals)
    highest = fixed_text(_MOST_E8, instrument.price_decimals)
    largest = fixed_text(_MOST_E8, instrument.size_decimals)
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": highest, "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": largest, "stepSize": lot},
    ]
    base = instrument.symbol.removesuffix("USDT")
    common: dict[str, object] = {"symbol": instrument.symbol, "status": "TRADING", "baseAsset": base}
    common |= {"quoteAsset": "USDT" if base != instrument.symbol else "", "baseAssetPrecision": 8}
    if market is not Market.SPOT:
        common |= {"pair": instrument.symbol, "contractType": "PERPETUAL"}
    return common | {"quotePrecision": 8, "filters": filters}
