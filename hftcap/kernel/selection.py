"""Which records a run is about: by symbol, stream and connection."""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hftcap.binance.messages import Message, RestDepth
from hftcap.binance.parser import parse
from hftcap.binance.streams import parse_stream
from hftcap.capture.format import Kind
from hftcap.capture.reader import Chunk

_KIND_OF_TYPE = {"depthUpdate": "depth", "partialDepth": "depth"}
"""What a message is called in stream names where that is not the name of its event."""


_ENVELOPE = re.compile(rb'\{"stream":"([!#-\[\]-~]+)"')
"""A name as the venue writes it, without escapes."""


class Selection:
    """What is to be taken; an empty part takes all. Records that are not taken touch no book and no count.

    A stream is named whole (`btcusdt@depth@100ms`), or by what stands behind its symbol, of every symbol: `trade`,
    `depth@100ms`, or `depth` for all that begin so. A message that came without a stream's name is taken by its event.
    A REST snapshot is taken with the diff stream of its symbol. What has no symbol (an answer, a malformed payload, an
    array of many symbols) is not taken where symbols are named, and what has no stream not where streams are.
    """

    def __init__(
        self, symbols: Iterable[str] = (), streams: Iterable[str] = (), connections: Iterable[int] = ()
    ) -> None:
        self.symbols = frozenset(symbol.upper() for symbol in symbols)
        self.streams = frozenset(streams)
        self.connections = frozenset(connections)
        self._taken: dict[str, bool] = {}
        self._names: dict[bytes, bool] = {}

    def __bool__(self) -> bool:
        return bool(self.symbols or self.streams or self.connections)

    def takes(self, message: Message, connection: int) -> bool:
        """Say whether a message that came over a connection is taken."""
        if self.connections and connection not in self.connections:
            return False
        if self.symbols and message.symbol not in self.symbols:
            return False
        if not self.streams:
            return True
        if isinstance(message, RestDepth):
            return message.symbol is not None and self._takes_depth(message.symbol.lower())
        if message.stream is not None:
            return self._takes_stream(message.stream)
        kind = _KIND_OF_TYPE.get(message.type, message.type)
        return self._takes_stream(f"{(message.symbol or '').lower()}@{kind}")

    def forecast_of(self, chunk: Chunk) -> NDArray[np.bool_]:
        """Say of each record of a chunk whether it will be taken, by the name in its envelope alone where it has one.

        What pacing counts before anything is parsed. It differs from `takes` only where an envelope's name and its
        content are not of the same symbol.
        """
        block, first, stop = chunk.block, chunk.first, chunk.stop
        taken = np.ones(stop - first, dtype=np.bool_)
        conns, kinds = block.columns.conn[first:stop].tolist(), block.columns.kind[first:stop].tolist()
        requests = block.requests()
        for at, payload in enumerate(block.payload_list(first, stop)):
            conn, kind = conns[at], kinds[at]
            named = _ENVELOPE.match(payload)
            if kind == Kind.WS_BINARY:
                taken[at] = self.takes_unnamed(conn)
            elif named and kind == Kind.WS_TEXT:
                taken[at] = (not self.connections or conn in self.connections) and self._takes_name(named[1])
            else:
                asked = requests.get(first + at, {}).get("symbol")
                taken[at] = self.takes(parse(payload, rest=kind == Kind.REST, symbol=asked), conn)
        return taken

    def takes_unnamed(self, connection: int) -> bool:
        """Say whether a payload of which nothing is known but its connection is taken."""
        return not (self.symbols or self.streams) and (not self.connections or connection in self.connections)

    def _takes_name(self, name: bytes) -> bool:
        """Say whether what comes under a stream's name is taken."""
        taken = self._names.get(name)
        if taken is None:
            stream = parse_stream(name.decode())
            symbol = None if stream is None else stream.payload_symbol
            of_symbol = not self.symbols or symbol in self.symbols
            taken = self._names[name] = of_symbol and (not self.streams or self._takes_stream(name.decode()))
        return taken

    def _takes_stream(self, name: str) -> bool:
        taken = self._taken.get(name)
        if taken is None:
            tail = name.partition("@")[2]
            families = (tail[:at] for at in range(len(tail)) if tail[at] == "@")
            taken = self._taken[name] = not self.streams.isdisjoint((name, tail, *families))
        return taken

    def _takes_depth(self, symbol: str) -> bool:
        return any(
            tail.partition("@")[0] == "depth" and owner in ("", symbol)
            for owner, tail in (_parts(stream) for stream in self.streams)
        )


def _parts(stream: str) -> tuple[str, str]:
    """Split a stream's name into symbol and what stands behind it; a name by its tail alone has no symbol."""
    symbol, separator, tail = stream.partition("@")
    is_tail = not separator or symbol in ("depth", "rpiDepth") or tail == "arr" or symbol.startswith("!")
    return ("", stream) if is_tail else (symbol, tail)
