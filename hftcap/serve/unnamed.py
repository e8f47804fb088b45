"""Stream names for events that were captured bare, from a raw connection: by event and symbol, as far as that tells.

Nothing in a depth update says at which interval it was pushed, and a spot partial depth has no symbol. Where the
capture lists its streams, the only one that fits is taken; otherwise an update is served as the stream most often
recorded.
"""

from collections.abc import Iterable

from hftcap.binance.endpoints import Market
from hftcap.binance.messages import AggTrade, BlockTrade, BookTicker, DepthDiff, Kline, Message, Ticker, Trade
from hftcap.binance.parser import Parser
from hftcap.binance.streams import StreamType, parse_stream

_TAILS: dict[type[Message], str] = {
    Trade: "trade",
    AggTrade: "aggTrade",
    BlockTrade: "blockTrade",
    BookTicker: "bookTicker",
}
_TICKERS = {"24hrTicker": "ticker", "24hrMiniTicker": "miniTicker"}


class UnnamedStreams:
    """Names bare events; `served` has the names that were given."""

    def __init__(self, market: Market, listed: Iterable[str] = ()) -> None:
        self.served: set[str] = set()
        self._parse = Parser().parse
        self._depth_tail = "depth@100ms" if market is Market.SPOT else "depth@0ms"
        self._depth: dict[str, str] = {}
        for name in listed:
            parsed = parse_stream(name, market)
            if parsed is not None and parsed.type is StreamType.DEPTH and parsed.symbol is not None:
                self._depth[parsed.symbol] = name

    def name_of(self, payload: bytes) -> str | None:
        """Return the name of the stream a bare event is served as, None where nothing tells."""
        message = self._parse(payload, rest=False)
        if message.symbol is None:
            return None
        symbol = message.symbol.lower()
        tail = _TAILS.get(type(message))
        if isinstance(message, DepthDiff):
            name = self._depth.get(symbol, f"{symbol}@{self._depth_tail}")
        elif isinstance(message, Kline):
            name = f"{symbol}@kline_{message.interval}"
        elif isinstance(message, Ticker) and message.kind in _TICKERS:
            name = f"{symbol}@{_TICKERS[message.kind]}"
        elif tail is not None:
            name = f"{symbol}@{tail}"
        else:
            return None
        self.served.add(name)
        return name
