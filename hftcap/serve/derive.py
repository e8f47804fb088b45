"""`aggTrade` made from `trade`, for captures that have only the latter: marked as derived wherever it is told of.

Trades of one taker order at one price and time are one aggregate: the taker's order is the same where the trades name
orders (`a` and `b`, until 2024-06), otherwise its side is. An aggregate is sent when the first trade that is not of it
comes, or anything that is later than `WAIT_NS` on the timeline. Its id counts from 1.

Source: protocol notes, section 4.2.
"""

from collections.abc import Iterator

import msgspec

from hftcap.binance.endpoints import Market
from hftcap.fixed import format_e8, parse_e8

WAIT_NS = 100_000_000


class _Trade(msgspec.Struct):
    E: int
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool
    a: int | None = None
    b: int | None = None
    M: bool | None = None
    X: str = "MARKET"


_decode = msgspec.json.Decoder(_Trade).decode


class _Open:
    """An aggregate that may still grow."""

    __slots__ = ("count_e8", "key", "last", "since_ns", "trade")

    def __init__(self, trade: _Trade, key: tuple[object, ...], at_ns: int) -> None:
        self.trade = trade
        self.key = key
        self.last = trade.t
        self.count_e8 = parse_e8(trade.q)
        self.since_ns = at_ns


class AggTrades:
    """The aggregates of every symbol."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._open: dict[str, _Open] = {}
        self._ids: dict[str, int] = {}

    def take(self, event: bytes, at_ns: int) -> Iterator[tuple[str, bytes]]:
        """Take a trade's own bytes; yield name and envelope of an aggregate that is complete by it."""
        try:
            trade = _decode(event)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        if trade.X != "MARKET":
            return
        order = trade.a if trade.m else trade.b
        key = (order, trade.p, trade.T, trade.m)
        held = self._open.get(trade.s)
        if held is not None and held.key == key and trade.t == held.last + 1:
            held.last = trade.t
            held.count_e8 += parse_e8(trade.q)
            return
        if held is not None:
            yield self._closed(held)
        self._open[trade.s] = _Open(trade, key, at_ns)

    def overdue(self, at_ns: int | None) -> Iterator[tuple[str, bytes]]:
        """Yield the aggregates to which nothing more can come by an instant, or at all."""
        if self._open:
            for symbol, held in list(self._open.items()):
                if at_ns is None or at_ns - held.since_ns > WAIT_NS:
                    del self._open[symbol]
                    yield self._closed(held)

    def _closed(self, held: _Open) -> tuple[str, bytes]:
        trade = held.trade
        number = self._ids[trade.s] = self._ids.get(trade.s, 0) + 1
        decimals = len(trade.q.partition(".")[2])
        fields: dict[str, object] = {
            "e": "aggTrade",
            "E": trade.E,
            "s": trade.s,
            "a": number,
            "p": trade.p,
            "q": padded(held.count_e8, decimals),
            "f": trade.t,
            "l": held.last,
            "T": trade.T,
            "m": trade.m,
        }
        if self._market is Market.SPOT:
            fields["M"] = True
        name = f"{trade.s.lower()}@aggTrade"
        return name, msgspec.json.encode({"stream": name, "data": fields})


def padded(value_e8: int, decimals: int) -> str:
    """Write a scaled integer with so many digits behind the point at least, as the venue pads its numbers."""
    whole, _, fraction = format_e8(value_e8).partition(".")
    fraction = fraction.ljust(decimals, "0")
    return f"{whole}.{fraction}" if fraction else whole
