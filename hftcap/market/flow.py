"""The orders that arrive at one symbol's book: limits, cancels and sweeps from seeded chance, in bursts.

Each step is one order or cancel. Two fifths rest near the touch, as many are cancelled, and a sixth take what rests,
mostly in the direction of the moment. Some steps begin a burst: up to 511 steps come 32 times as fast.
The book stays within bounds: at most `ORDERS` orders, at least `THIN - SWEEP_LEVELS` levels a side.
"""

from hftcap.market.chance import WAIT_BITS, WAIT_SCALE_BITS, Draw, log_uniform, waits
from hftcap.market.matching import BUY, SELL, Fill, HalfBook, OrderBook

ORDERS = 1_600
"""Live orders at most, so also the levels of both sides together."""
THIN = 16
"""A side with fewer levels gets an order, whatever was to happen."""
SWEEP_LEVELS = 8
"""A sweep reaches no deeper, so it cannot empty a side."""
NEAR_BITS, FAR_BITS = 3, 9
"""How many ticks from the touch an order rests: as many near as far."""
SIZE_BITS, SWEEP_BITS = 16, 18
BURST_SHIFT = 5
BURST_BITS = 9

_SWEEPS = 40  # of 256
_IMPROVES = 64  # of 256, of the orders that rest
_BURST_MASK = 0x3FF
_TURN_MASK = 0x1F
_REACH_BITS = SWEEP_LEVELS.bit_length() - 1
_NO_FILLS: list[Fill] = []


class OrderFlow:
    """What happens next in one book, from the bits of `draw` alone. `side` is that of the last order that took.

    `per_second`, the messages wanted, bounds a burst to what comes in half a second.
    """

    __slots__ = (
        "_book",
        "_burst_bits",
        "_burst_left",
        "_draw",
        "_lean",
        "_live",
        "_next_order",
        "_start",
        "_waits",
        "side",
    )

    def __init__(self, draw: Draw, book: OrderBook, start_ticks: int, per_second: int) -> None:
        self.side = BUY
        self._draw = draw
        self._book = book
        self._start = start_ticks
        self._lean = BUY
        self._burst_bits = min(BURST_BITS, max(1, per_second.bit_length() - 1))
        self._burst_left = 0
        self._live: list[int] = []
        self._next_order = 0
        self._waits = waits()

    def open_book(self) -> None:
        """Fill the book to a quarter before the market begins, around the start price."""
        for number in range(ORDERS // 4):
            word = self._draw(64)
            side = BUY if number & 1 else SELL
            self._rest(side, self._start - side * log_uniform(word, FAR_BITS), word >> 32)

    def wait_ns(self, mean_ns: int) -> int:
        """Return how long until the next step, an exponential law around `mean_ns`, far less inside a burst."""
        gap = mean_ns * self._waits[self._draw(WAIT_BITS)] >> WAIT_SCALE_BITS
        if self._burst_left:
            self._burst_left -= 1
            gap >>= BURST_SHIFT
        return gap + 1

    def step(self) -> list[Fill]:
        """Let one thing happen to the book; return the fills, all of one order that took."""
        word = self._draw(64)
        book = self._book
        bids, asks = book.bids, book.asks
        if not (word >> 54) & _BURST_MASK and not self._burst_left:
            self._burst_left = log_uniform(word >> 16, self._burst_bits)
        choice = word & 0xFF
        side = BUY if word & 0x100 else SELL
        word >>= 9
        if len(bids.keys) < THIN:
            self._place(BUY, bids, asks, word)
        elif len(asks.keys) < THIN:
            self._place(SELL, asks, bids, word)
        elif choice < _SWEEPS:
            return self._sweep(word)
        elif len(self._live) >= ORDERS or (choice & 7 < 3 and len(self._live) > ORDERS // 2):
            self._cancel(word)
        elif side == BUY:
            self._place(BUY, bids, asks, word)
        else:
            self._place(SELL, asks, bids, word)
        return _NO_FILLS

    def _place(self, side: int, own: HalfBook, other: HalfBook, word: int) -> None:
        """Let an order rest: at or behind the best of its side, or a little ahead of it where there is room."""
        best = -side * own.keys[0]
        room = side * (side * other.keys[0] - best) - 1
        if word & 0xFF < _IMPROVES and room > 0:
            price = best + side * (1 + (word >> 8 & 0xFFFF) % min(room, 64))
        else:
            bits = NEAR_BITS if word & 0x100 else FAR_BITS
            price = max(1, best - side * (log_uniform(word >> 9, bits) - 1))
        self._rest(side, price, word >> 24)

    def _sweep(self, word: int) -> list[Fill]:
        """Take what rests on the other side, a few levels at most; of a quarter of these orders the rest stays."""
        if not word & _TURN_MASK:
            self._lean = self._direction(word >> 5)
        self.side = side = self._lean if word >> 6 & 3 else -self._lean
        other = self._book.asks if side == BUY else self._book.bids
        reach = log_uniform(word >> 8, _REACH_BITS) - 1
        limit = side * other.keys[reach]
        rests = not word >> 20 & 3
        self._next_order += 1
        fills = self._book.submit(self._next_order, side, limit, log_uniform(word >> 22, SWEEP_BITS), rests=rests)
        if rests and self._next_order in self._book:
            self._live.append(self._next_order)
        return fills

    def _direction(self, word: int) -> int:
        """Return which way the market leans next; far from where it began it turns back."""
        bid = self._book.bids.best()[0]
        away = bid - self._start
        if abs(away) << 4 > self._start:
            return SELL if away > 0 else BUY
        return BUY if word & 1 else SELL

    def _rest(self, side: int, price: int, word: int) -> None:
        self._next_order += 1
        self._book.submit(self._next_order, side, price, log_uniform(word, SIZE_BITS))
        self._live.append(self._next_order)

    def _cancel(self, word: int) -> None:
        """Cancel one order that still rests; those that were filled meanwhile are dropped on the way."""
        live = self._live
        while live:
            at = word % len(live)
            order_id = live[at]
            live[at] = live[-1]
            live.pop()
            if self._book.cancel(order_id):
                return
