"""Candles and the statistics of the last 24 hours, from fills in whole ticks and lots."""

from collections import deque
from dataclasses import dataclass, field, replace

MINUTE_MS = 60_000
DAY_MINUTES = 1_440


@dataclass(slots=True)
class Bar:
    """Prices, sizes and ids of the fills between two instants, epoch milliseconds, both included.

    `quote` is the sum of ticks times lots. Without a fill all prices are the last one before, and both ids -1.
    """

    open_ms: int
    close_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    quote: int = 0
    taker_lots: int = 0
    taker_quote: int = 0
    trades: int = 0
    first_id: int = -1
    last_id: int = -1

    @classmethod
    def at(cls, now_ms: int, span_ms: int, price: int) -> "Bar":
        """Return the empty bar that an instant falls into."""
        start = now_ms - now_ms % span_ms
        return cls(start, start + span_ms - 1, price, price, price, price)

    def add(self, price: int, lots: int, trade_id: int, taker_bought: bool) -> None:
        """Take a fill."""
        if not self.trades:
            self.open = self.high = self.low = price
            self.first_id = trade_id
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.last_id = trade_id
        self.trades += 1
        self.lots += lots
        self.quote += price * lots
        if taker_bought:
            self.taker_lots += lots
            self.taker_quote += price * lots


@dataclass(slots=True)
class Day:
    """The last 24 hours by minutes: what has left is at most a minute late in leaving."""

    # Of 1,441 minutes the first and the last are there in part.
    minutes: deque[Bar] = field(default_factory=lambda: deque(maxlen=DAY_MINUTES + 1))

    def add(self, now_ms: int, price: int, lots: int, trade_id: int, taker_bought: bool) -> None:
        """Take a fill."""
        if not self.minutes or now_ms > self.minutes[-1].close_ms:
            self.minutes.append(Bar.at(now_ms, MINUTE_MS, price))
        self.minutes[-1].add(price, lots, trade_id, taker_bought)

    def bar(self, now_ms: int) -> Bar | None:
        """Return one bar over all of them, None where there was no fill."""
        oldest_ms = now_ms - DAY_MINUTES * MINUTE_MS
        while self.minutes and self.minutes[0].close_ms < oldest_ms:
            self.minutes.popleft()
        if not self.minutes:
            return None
        first, last = self.minutes[0], self.minutes[-1]
        return replace(
            first,
            close_ms=last.close_ms,
            close=last.close,
            high=max(minute.high for minute in self.minutes),
            low=min(minute.low for minute in self.minutes),
            lots=sum(minute.lots for minute in self.minutes),
            quote=sum(minute.quote for minute in self.minutes),
            trades=sum(minute.trades for minute in self.minutes),
            last_id=last.last_id,
        )
