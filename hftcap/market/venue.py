"""One symbol at the venue: orders come, the book changes, ids are given, the truth is told, the streams are fed."""

from collections.abc import Callable

from hftcap.binance.endpoints import Market
from hftcap.binance.streams import StreamName
from hftcap.market.chance import Draw, draw_of
from hftcap.market.feed import MS, Send, SymbolFeed, Timer
from hftcap.market.flow import OrderFlow
from hftcap.market.instrument import Instrument
from hftcap.market.matching import BUY, OrderBook
from hftcap.market.pace import Pace
from hftcap.market.plan import START_NS
from hftcap.market.truth import SymbolTruth, Truth

PACE_EVERY_NS = 20 * MS
_FOREIGN_BITS = 3
_NONE: frozenset[int] = frozenset()


class UpdateIds:
    """The numbering of updates: each symbol's own on spot, one for the whole market on futures.

    On futures other symbols, of which nothing is seen here, take numbers in between.
    """

    __slots__ = ("_draw", "_shared", "last")

    def __init__(self, draw: Draw, *, shared: bool) -> None:
        self._draw = draw
        self._shared = shared
        self.last = (10**12 if shared else 10**10) + draw(32)

    def next(self) -> int:
        """Return the next id."""
        self.last += 1 + (self._draw(_FOREIGN_BITS) if self._shared else 0)
        return self.last


class SymbolMarket:
    """A symbol's book with all that moves it and all that tells of it.

    `update_id` and `trade_id` are the last given. `request` is called with the time when a snapshot is to be asked for.
    """

    def __init__(
        self,
        instrument: Instrument,
        market: Market,
        names: list[StreamName],
        seed: int,
        ids: UpdateIds,
        pace: Pace,
        truth: Truth,
        send: Send,
        request: Callable[[int, "SymbolMarket"], None],
    ) -> None:
        self.symbol = instrument.symbol
        self.book = OrderBook()
        self._ids = ids
        self._flow = OrderFlow(
            draw_of(seed, "flow", self.symbol), self.book, instrument.start_ticks, int(pace.per_second)
        )
        self._flow.open_book()
        self.book.bids.drain()
        self.book.asks.drain()
        self.update_id = ids.next()
        draw = draw_of(seed, "feed", self.symbol)
        self.trade_id = 10**8 + draw(32)
        self.first_trade_id = self.trade_id + 1
        self.truth = SymbolTruth(truth, instrument, self.book)
        self.truth.state(START_NS, self.update_id)
        self.feed = SymbolFeed(instrument, market, names, self.book, self.update_id, draw, send, self._depth_sent)
        self._awaited_since: int | None = 0
        self._request = request
        self._pace = pace
        self._adjust_ns = START_NS + PACE_EVERY_NS

    def first_step(self) -> Timer:
        """Return when the first order comes, and what lets it come."""
        return START_NS + self._flow.wait_ns(self._pace.mean_ns), self._step

    def await_snapshot(self) -> None:
        """Let a request for a snapshot follow the next diff that is pushed; without a stream of diffs, none."""
        self._awaited_since = self.feed.diffs

    def snapshot(self, now_ns: int) -> bytes:
        """Return the body of a REST answer with the book as it stands."""
        self.truth.state(now_ns, self.update_id)
        wire, book = self.feed.wire, self.book
        bids, asks = (
            [(price, half.levels[price].lots) for price in half.prices(wire.levels_kept)]
            for half in (book.bids, book.asks)
        )
        return wire.snapshot(now_ns // MS, self.feed.at_ms, self.update_id, bids, asks)

    def _step(self, now_ns: int) -> int:
        """Let one order or cancel come; return when the next one does."""
        flow, book = self._flow, self.book
        fills = flow.step()
        bids = book.bids.drain() if book.bids.changed else _NONE
        asks = book.asks.drain() if book.asks.changed else _NONE
        if bids or asks:
            update_id = self.update_id = self._ids.next()
            if fills:
                first_id = self.trade_id + 1
                taker_bought = flow.side == BUY
                for trade_id, fill in enumerate(fills, first_id):
                    self.truth.trade(now_ns, update_id, trade_id, fill, not taker_bought)
                self.trade_id += len(fills)
                self.feed.filled(now_ns, fills, first_id, taker_bought)
            self.truth.update(now_ns, update_id, bids, asks)
            self.feed.updated(now_ns, update_id, bids, asks)
        pace = self._pace
        pace.steps += 1
        if now_ns >= self._adjust_ns:
            self._adjust_ns = now_ns + PACE_EVERY_NS
            pace.adjust(now_ns, self.feed.live, self.feed.timed)
        return now_ns + flow.wait_ns(pace.mean_ns)

    def _depth_sent(self, now_ns: int) -> None:
        self.truth.state(now_ns, self.update_id)
        if self._awaited_since is not None and self.feed.diffs > self._awaited_since:
            self._awaited_since = None
            self._request(now_ns, self)
