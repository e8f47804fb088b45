"""One symbol's streams: which message is due when something happens, and when time passes.

    fill      trade at once; aggTrade at once on spot, every 100 ms on futures
    touch     bookTicker whenever best price or size changed
    update    diffs at 0 ms at once; others, and partial depth, at their interval where something changed
    time      candles every 2 s (spot) or 250 ms (futures) where there were fills, and when one closes; miniTicker

On spot all intervals of a symbol stand on one grid of its own, 1 ms of jitter included, so a diff and a partial depth
of one instant end at the same id. On futures each push waits for its interval after the one before.

Source: protocol notes, sections 4.1, 4.2 and 5.2.
"""

from collections.abc import Callable, Set

from hftcap.binance.endpoints import Market
from hftcap.binance.streams import StreamName, StreamType
from hftcap.market.candles import Bar, Day
from hftcap.market.chance import Draw
from hftcap.market.instrument import Instrument
from hftcap.market.matching import Fill, OrderBook
from hftcap.market.plan import KLINE_MS, START_NS
from hftcap.market.wire import Range, Wire, enveloped, head_of, wire_of

MS = 1_000_000
GRID_NS = 100 * MS
AGG_NS = 100 * MS
SPOT_DEPTH_MS, FUTURES_DEPTH_MS = 1_000, 250
"""Of depth streams whose name states no speed."""
Send = Callable[[str, bytes, int], None]
"""Takes the stream's type, the frame, and the venue's time."""
Timer = tuple[int, Callable[[int], int]]
"""When it is due first, and what is then to be called; that returns when it is due next."""


class _Depth:
    """A stream of diffs or of partial depth: what has happened since its last message."""

    __slots__ = ("asks", "at_ms", "bids", "first", "head", "last", "levels", "period_ns", "previous")

    def __init__(self, name: StreamName, period_ns: int, update_id: int) -> None:
        self.head = head_of(name.text)
        self.levels = name.levels
        self.period_ns = period_ns
        self.bids: set[int] = set()
        self.asks: set[int] = set()
        self.first = self.at_ms = 0
        self.last = self.previous = update_id

    def add(self, now_ms: int, update_id: int, bids: Set[int], asks: Set[int]) -> None:
        """Take an update."""
        if not self.first:
            self.first = update_id
        self.last = update_id
        self.at_ms = now_ms
        if self.levels is None:
            self.bids |= bids
            self.asks |= asks

    def event(self, now_ms: int, wire: Wire, book: OrderBook) -> str:
        """Return the message that is due, and begin anew."""
        ids = Range(self.first, self.last, self.previous)
        self.first, self.previous = 0, self.last
        below, above = book.bids, book.asks
        if self.levels is not None:
            bids = [(price, below.levels[price].lots) for price in below.prices(self.levels)]
            asks = [(price, above.levels[price].lots) for price in above.prices(self.levels)]
            return wire.partial(now_ms, self.at_ms, ids, bids, asks)
        bids = [(price, below.lots_at(price)) for price in self.bids]
        asks = [(price, above.lots_at(price)) for price in self.asks]
        self.bids, self.asks = set(), set()
        return wire.diff(now_ms, self.at_ms, ids, bids, asks)


class _Candle:
    """A stream of candles of one interval."""

    __slots__ = ("bar", "changed", "head", "interval", "span_ms")

    def __init__(self, name: StreamName, price: int) -> None:
        self.head = head_of(name.text)
        self.interval = name.interval or ""
        self.span_ms = KLINE_MS[self.interval]
        self.bar = Bar.at(START_NS // MS, self.span_ms, price)
        self.changed = False


class SymbolFeed:
    """What the venue pushes about one symbol.

    `live` and `timed` count messages, of orders and of time; `diffs` those of either that are diffs.
    `on_depth` is called with the time after each message of diffs that was timed; where there is no such stream, every
    100 ms.
    """

    def __init__(
        self,
        instrument: Instrument,
        market: Market,
        names: list[StreamName],
        book: OrderBook,
        update_id: int,
        draw: Draw,
        send: Send,
        on_depth: Callable[[int], None],
    ) -> None:
        self.live = self.timed = self.diffs = 0
        self.wire = wire_of(instrument, market)
        self.at_ms = START_NS // MS
        self._spot = market is Market.SPOT
        self._book = book
        self._send = send
        self._on_depth = on_depth
        self._draw = draw
        self._phase_ns = draw(32) % GRID_NS
        self._touch = book.touch()
        self._price = instrument.start_ticks
        self._agg_id = draw(31)
        self._aggs: list[tuple[int, int, int, int, int, bool]] = []  # price, lots, first id, last id, ms, buyer rested
        heads = {name.type: head_of(name.text) for name in names}
        self._trade = heads.get(StreamType.TRADE)
        self._quote = heads.get(StreamType.BOOK_TICKER)
        self._agg = heads.get(StreamType.AGG_TRADE)
        self._mini = heads.get(StreamType.MINI_TICKER)
        self._day = Day()
        self._day_changed = False
        depths = [
            _Depth(name, self._period_ns(name), update_id)
            for name in names
            if name.type in (StreamType.DEPTH, StreamType.PARTIAL_DEPTH)
        ]
        self._depths = depths
        self._at_once = [depth for depth in depths if not depth.period_ns]
        self._candles = [_Candle(name, instrument.start_ticks) for name in names if name.type is StreamType.KLINE]

    def _period_ns(self, name: StreamName) -> int:
        default = SPOT_DEPTH_MS if self._spot else FUTURES_DEPTH_MS
        return (default if name.speed_ms is None else name.speed_ms) * MS

    # What happens

    def filled(self, now_ns: int, fills: list[Fill], first_id: int, taker_bought: bool) -> None:
        """Take the fills of one order, numbered from `first_id`."""
        now_ms = now_ns // MS
        if self._trade is not None:
            for trade_id, (_, price, lots) in enumerate(fills, first_id):
                event = self.wire.trade(now_ms, trade_id, price, lots, not taker_bought)
                self._send(StreamType.TRADE, enveloped(self._trade, event), now_ns)
            self.live += len(fills)
        if self._agg is not None:
            self._aggregate(now_ms, fills, first_id, taker_bought)
            if self._spot:
                self._send_aggs(now_ns)
        if self._mini is not None:
            self._day_changed = True
            for trade_id, (_, price, lots) in enumerate(fills, first_id):
                self._day.add(now_ms, price, lots, trade_id, taker_bought)
        for candle in self._candles:
            candle.changed = True
            for trade_id, (_, price, lots) in enumerate(fills, first_id):
                candle.bar.add(price, lots, trade_id, taker_bought)

    def updated(self, now_ns: int, update_id: int, bids: Set[int], asks: Set[int]) -> None:
        """Take a change of the book; `bids` and `asks` are the prices whose size changed."""
        now_ms = self.at_ms = now_ns // MS
        for depth in self._depths:
            depth.add(now_ms, update_id, bids, asks)
        if self._quote is not None:
            touch = self._book.touch()
            if touch != self._touch:
                self._touch = touch
                self._send(
                    StreamType.BOOK_TICKER,
                    enveloped(self._quote, self.wire.book_ticker(now_ms, update_id, touch)),
                    now_ns,
                )
                self.live += 1
        for depth in self._at_once:
            event = depth.event(now_ms, self.wire, self._book)
            self._send(StreamType.DEPTH, enveloped(depth.head, event), now_ns)
            self.live += 1
            self.diffs += 1

    def _aggregate(self, now_ms: int, fills: list[Fill], first_id: int, taker_bought: bool) -> None:
        """Join fills of one side and price that follow each other; on futures those of several orders."""
        aggs = self._aggs
        for trade_id, (_, price, lots) in enumerate(fills, first_id):
            if aggs and aggs[-1][0] == price and aggs[-1][5] is not taker_bought:
                _, sum_lots, first, _, _, bought = aggs[-1]
                aggs[-1] = price, sum_lots + lots, first, trade_id, now_ms, bought
            else:
                aggs.append((price, lots, trade_id, trade_id, now_ms, not taker_bought))

    def _send_aggs(self, now_ns: int) -> int:
        assert self._agg is not None  # noqa: S101  aggregates are gathered only for a stream
        for price, lots, first, last, at_ms, bought in self._aggs:
            self._agg_id += 1
            event = self.wire.agg_trade(now_ns // MS, self._agg_id, (first, last), (price, lots), at_ms, bought)
            self._send(StreamType.AGG_TRADE, enveloped(self._agg, event), now_ns)
        self.live += len(self._aggs)
        self._aggs = []
        return now_ns + AGG_NS

    # What time brings

    def timers(self) -> list[Timer]:
        """Return what is to be called as time passes."""
        due = [self._depth_timer(depth) for depth in self._depths if depth.period_ns]
        due += [self._candle_timer(candle) for candle in self._candles]
        if self._mini is not None:
            due.append((START_NS + self._phase_ns, self._mini_ticker))
        if self._agg is not None and not self._spot:
            due.append((START_NS + self._phase_ns, self._send_aggs))
        if not any(depth.period_ns and depth.levels is None for depth in self._depths):
            due.append((START_NS + self._phase_ns, self._look))
        return due

    def _look(self, now_ns: int) -> int:
        """Stand in for a timed stream of diffs where there is none."""
        self._on_depth(now_ns)
        return now_ns + GRID_NS

    def _depth_timer(self, depth: _Depth) -> Timer:
        stream_type = StreamType.DEPTH if depth.levels is None else StreamType.PARTIAL_DEPTH
        due = START_NS + self._phase_ns

        def push(now_ns: int) -> int:
            nonlocal due
            if depth.first:
                event = depth.event(now_ns // MS, self.wire, self._book)
                self._send(stream_type, enveloped(depth.head, event), now_ns)
                self.timed += 1
                if depth.levels is None:
                    self.diffs += 1
                    self._on_depth(now_ns)
            if not self._spot:
                return now_ns + depth.period_ns + self._draw(32) % (depth.period_ns >> 4)
            due += depth.period_ns
            return due + self._jitter_ns(due)

        return due + depth.period_ns + (self._jitter_ns(due + depth.period_ns) if self._spot else 0), push

    def _jitter_ns(self, grid_ns: int) -> int:
        """Return how late the grid's instant is, up to 1 ms: the same for all streams of the symbol."""
        return (grid_ns // GRID_NS * 2_654_435_761 + self._phase_ns) % MS

    def _candle_timer(self, candle: _Candle) -> Timer:
        cadence_ns = (250 if not self._spot else 1_000 if candle.interval == "1s" else 2_000) * MS

        def push(now_ns: int) -> int:
            now_ms = now_ns // MS
            closed = now_ms > candle.bar.close_ms
            if candle.changed or closed:
                event = self.wire.kline(now_ms, candle.interval, candle.bar, closed)
                self._send(StreamType.KLINE, enveloped(candle.head, event), now_ns)
                self.timed += 1
                candle.changed = False
            if closed:
                candle.bar = Bar.at(now_ms, candle.span_ms, candle.bar.close)
            return min(now_ns + cadence_ns, (candle.bar.close_ms + 1) * MS)

        return min(START_NS + self._phase_ns + cadence_ns, (candle.bar.close_ms + 1) * MS), push

    def _mini_ticker(self, now_ns: int) -> int:
        bar = self._day.bar(now_ns // MS) if self._day_changed else None
        if bar is not None and self._mini is not None:
            self._day_changed = False
            self._send(StreamType.MINI_TICKER, enveloped(self._mini, self.wire.mini_ticker(now_ns // MS, bar)), now_ns)
            self.timed += 1
        return now_ns + (1_000 if self._spot else 2_000) * MS
