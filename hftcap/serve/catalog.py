"""What a capture has to serve: its streams and symbols, how it writes numbers, what is known before the market begins.

Read from the beginning of the capture, as far as `SCAN_RECORDS`: what comes later is served all the same, but cannot be
promised before. Tick and step are the finest that were seen, where no exchangeInfo was captured.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hftcap.binance.endpoints import Market
from hftcap.binance.streams import StreamType, parse_stream
from hftcap.capture.format import Kind
from hftcap.kernel import SymbolBook
from hftcap.pipeline import Run
from hftcap.serve.times import first_time_ns
from hftcap.serve.unnamed import UnnamedStreams
from hftcap.serve.wire import DATA_KEY, event_of, opened

SCAN_RECORDS = 200_000
OPENING_NS = 1_000_000_000
"""Before the market begins the books are shown as they are after so much of it, where there is no snapshot."""
SNAPSHOT_NS = 10_000_000_000
"""A captured snapshot this near the beginning is shown until the book has joined one."""
_LOOKED_AT = 64
"""So many messages of each stream show how its numbers are written."""
_CLOCK_LOOKED_AT = 5_000
_PRICES, _SIZES = ("p", "b", "a"), ("q", "B", "A")


@dataclass(slots=True)
class SymbolFacts:
    """How a symbol's numbers are written, and how fine they were seen to be; digits behind the point."""

    price_decimals: int = 0
    size_decimals: int = 0
    price_finest: int = 0
    size_finest: int = 0
    types: set[StreamType] = field(default_factory=set)
    snapshot: bytes | None = None
    opening: SymbolBook | None = None

    def saw(self, price: str, size: str) -> None:
        """Take note of a price and a size as written."""
        self.price_decimals = max(self.price_decimals, len(price.partition(".")[2]))
        self.size_decimals = max(self.size_decimals, len(size.partition(".")[2]))
        self.price_finest = max(self.price_finest, len(price.partition(".")[2].rstrip("0")))
        self.size_finest = max(self.size_finest, len(size.partition(".")[2].rstrip("0")))


@dataclass(slots=True)
class Catalog:
    """What there is. `ahead_ns` is the venue's clock minus the host's, as its fastest message says."""

    market: Market
    first_ns: int = 0
    ahead_ns: int = 0
    microseconds: bool = False
    streams: dict[str, int] = field(default_factory=dict)
    symbols: dict[str, SymbolFacts] = field(default_factory=dict)
    exchange_info: dict[str, Any] | None = None  # Any: JSON
    unnamed: list[str] = field(default_factory=list)

    def symbol(self, name: str) -> SymbolFacts:
        """Return what is known of a symbol, new where it was not."""
        return self.symbols.setdefault(name, SymbolFacts())


def read_catalog(run: Run, start_ns: int | None = None) -> Catalog:
    """Read the beginning of a capture."""
    preamble = run.recordings[0].preamble
    catalog = Catalog(run.market)
    for recording in run.recordings:
        for symbol in recording.preamble.symbols:
            catalog.symbol(symbol.upper())
        for name in recording.preamble.streams:
            _add_stream(catalog, name, 0)
    reader = _Reader(catalog, UnnamedStreams(run.market, preamble.streams))
    for at_ns, recv_ns, kind, payload, asked in _records(run, start_ns):
        reader.take(at_ns, recv_ns, kind, payload, asked)
    catalog.ahead_ns = reader.ahead_ns or 0
    catalog.unnamed = sorted(reader.unnamed.served)
    return catalog


def open_books(catalog: Catalog, run: Run, start_ns: int | None = None) -> None:
    """Put the books as they are OPENING_NS after the beginning into a catalog."""
    for _ in run.batches(catalog.first_ns + OPENING_NS, start_ns=start_ns):
        pass
    for symbol, book in run.kernel.books.items():
        catalog.symbol(symbol).opening = book


_Record = tuple[int, int, int, bytes, str | None]


def _records(run: Run, start_ns: int | None) -> Iterator[_Record]:
    count = 0
    for chunk in run.chunks(start_ns=start_ns):
        requests = chunk.block.requests()
        kinds = chunk.block.columns.kind[chunk.rows].tolist()
        times = chunk.timeline_ns[chunk.rows].tolist()
        received = chunk.block.received(chunk.first, chunk.stop).tolist()
        for at, payload in enumerate(chunk.block.payload_list(chunk.first, chunk.stop)):
            asked = requests.get(chunk.first + at, {}).get("symbol")
            yield times[at], received[at], kinds[at], payload, asked
        count += chunk.records
        if count >= SCAN_RECORDS:
            return


def _add_stream(catalog: Catalog, name: str, count: int = 1) -> None:
    seen = catalog.streams.get(name)
    catalog.streams[name] = (seen or 0) + count
    if seen is None:
        parsed = parse_stream(name, catalog.market)
        if parsed is not None and parsed.payload_symbol is not None:
            catalog.symbol(parsed.payload_symbol).types.add(parsed.type)


class _Reader:
    def __init__(self, catalog: Catalog, unnamed: UnnamedStreams) -> None:
        self.catalog = catalog
        self.unnamed = unnamed
        self.ahead_ns: int | None = None
        self._begun = False
        self._heads: dict[bytes, str] = {}
        self._clocked = 0

    def take(self, at_ns: int, recv_ns: int, kind: int, payload: bytes, asked: str | None) -> None:
        if not self._begun:
            self._begun = True
            self.catalog.first_ns = at_ns
        if kind == Kind.REST:
            self._rest(at_ns, payload, asked)
        elif kind == Kind.WS_TEXT:
            self._event(recv_ns, payload)

    def _rest(self, at_ns: int, payload: bytes, asked: str | None) -> None:
        try:
            body = msgspec.json.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if type(body) is not dict:
            return
        if "lastUpdateId" in body:
            symbol = body.get("symbol", asked)
            if type(symbol) is str:
                facts = self.catalog.symbol(symbol.upper())
                facts.types.add(StreamType.DEPTH)
                for side in ("bids", "asks"):
                    _saw_levels(facts, body.get(side))
                if facts.snapshot is None and at_ns - self.catalog.first_ns <= SNAPSHOT_NS:
                    facts.snapshot = payload
        elif "symbols" in body and self.catalog.exchange_info is None:
            self.catalog.exchange_info = body

    def _event(self, recv_ns: int, payload: bytes) -> None:
        head, _, _ = payload.partition(DATA_KEY)
        name = self._heads.get(head)
        if name is None:
            found = opened(payload)
            name = self.unnamed.name_of(payload) if found is None else found[0]
            if name is None:
                return
            if found is not None and len(self._heads) < SCAN_RECORDS:
                self._heads[head] = name
        _add_stream(self.catalog, name)
        if self._clocked < _CLOCK_LOOKED_AT:
            event_ns = first_time_ns(payload)
            if event_ns is not None:
                self._clocked += 1
                ahead = event_ns - recv_ns
                self.ahead_ns = ahead if self.ahead_ns is None else max(self.ahead_ns, ahead)
        if self.catalog.streams[name] <= _LOOKED_AT:
            self._look(name, event_of(payload))

    def _look(self, name: str, event: bytes) -> None:
        """See how an event writes its numbers."""
        if re.search(rb'"E":\s?\d{16}[,}]', event):
            self.catalog.microseconds = True
        parsed = parse_stream(name, self.catalog.market)
        if parsed is None or parsed.payload_symbol is None:
            return
        try:
            fields = msgspec.json.decode(event)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if type(fields) is not dict:
            return
        facts = self.catalog.symbol(parsed.payload_symbol)
        if parsed.type in (StreamType.TRADE, StreamType.AGG_TRADE, StreamType.BOOK_TICKER):
            for price, size in zip(_PRICES, _SIZES, strict=True):
                if type(fields.get(price)) is str and type(fields.get(size)) is str:
                    facts.saw(fields[price], fields[size])
        elif parsed.type in (StreamType.DEPTH, StreamType.PARTIAL_DEPTH):
            for side in ("b", "a", "bids", "asks"):
                _saw_levels(facts, fields.get(side))


def _saw_levels(facts: SymbolFacts, levels: Any) -> None:  # Any: decoded JSON
    for level in levels if type(levels) is list else ():
        if type(level) is list and len(level) > 1 and type(level[0]) is str and type(level[1]) is str:
            facts.saw(level[0], level[1])
