"""One symbol's limit order book with price-time priority: orders in, fills out, sizes per price on the way.

    order ──▶ submit ──▶ crosses the other side?  yes: fill the best price first, and at a price the oldest order first
                                                  no, or not filled up: what is left rests behind those of its price

Whole numbers only: prices in ticks, sizes in lots. An order fills at the price of the order that rested. Nothing here
knows of time, of streams or of chance.
"""

from bisect import bisect_left, insort

BUY, SELL = 1, -1
"""Sides. A resting order's key is its price counted away from the market: `-side * price`, so the best is the least."""

Fill = tuple[int, int, int]
"""The order that rested, the price, the lots."""


class Level:
    """The orders at one price, oldest first, and how many lots they have together."""

    __slots__ = ("lots", "orders")

    def __init__(self) -> None:
        self.lots = 0
        self.orders: dict[int, int] = {}


class HalfBook:
    """One side. `keys` are those of its prices, best first; `changed` are prices whose size changed since `drain`."""

    __slots__ = ("changed", "keys", "levels", "side")

    def __init__(self, side: int) -> None:
        self.side = side
        self.keys: list[int] = []
        self.levels: dict[int, Level] = {}
        self.changed: set[int] = set()

    def best(self) -> tuple[int, int]:
        """Return the best price and the lots there; (0, 0) where the side is empty."""
        if not self.keys:
            return 0, 0
        price = -self.side * self.keys[0]
        return price, self.levels[price].lots

    def lots_at(self, price: int) -> int:
        """Return the lots that rest at a price, 0 where there are none."""
        level = self.levels.get(price)
        return level.lots if level is not None else 0

    def prices(self, count: int | None = None) -> list[int]:
        """Return the best `count` prices, or all, best first."""
        keys = self.keys[:count]
        return keys if self.side == SELL else [-key for key in keys]

    def drain(self) -> set[int]:
        """Return the prices whose size changed since the last call."""
        changed, self.changed = self.changed, set()
        return changed


class OrderBook:
    """Both sides, and every resting order by its number."""

    __slots__ = ("_orders", "asks", "bids")

    def __init__(self) -> None:
        self.bids = HalfBook(BUY)
        self.asks = HalfBook(SELL)
        self._orders: dict[int, tuple[HalfBook, int]] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, order_id: int) -> bool:
        return order_id in self._orders

    def touch(self) -> tuple[int, int, int, int]:
        """Return best bid price and lots, best ask price and lots; zeros for a side that is empty."""
        return (*self.bids.best(), *self.asks.best())

    def submit(self, order_id: int, side: int, price: int, lots: int, *, rests: bool = True) -> list[Fill]:
        """Match an order against the other side, best price and oldest order first; return its fills in that order.

        `price` is the worst the order takes. What is left rests, or is forgotten where `rests` is false.

        Raises:
            ValueError: the number is in use, or price or lots are not above 0.
        """
        if price <= 0 or lots <= 0 or order_id in self._orders:
            raise ValueError(f"order {order_id} of {lots} lots at {price}: expected a new number, and both above 0")
        own, other = (self.bids, self.asks) if side == BUY else (self.asks, self.bids)
        fills: list[Fill] = []
        while lots and other.keys:
            best = side * other.keys[0]
            if side * (price - best) < 0:
                break
            lots = self._take(other, best, lots, fills)
        if lots and rests:
            self._rest(own, order_id, price, lots)
        return fills

    def cancel(self, order_id: int) -> int:
        """Take a resting order out; return how many lots it still had, 0 where it is not (any more) there."""
        found = self._orders.pop(order_id, None)
        if found is None:
            return 0
        half, price = found
        level = half.levels[price]
        lots = level.orders.pop(order_id)
        level.lots -= lots
        half.changed.add(price)
        if not level.orders:
            self._empty(half, price)
        return lots

    def queue(self, side: int, price: int) -> list[tuple[int, int]]:
        """Return number and lots of the orders at a price, oldest first."""
        level = (self.bids if side == BUY else self.asks).levels.get(price)
        return [] if level is None else list(level.orders.items())

    def _take(self, half: HalfBook, price: int, lots: int, fills: list[Fill]) -> int:
        """Fill from one level, oldest order first; return the lots still wanted."""
        level = half.levels[price]
        half.changed.add(price)
        done = []
        for maker, resting in level.orders.items():
            if resting > lots:
                level.orders[maker] = resting - lots
                fills.append((maker, price, lots))
                level.lots -= lots
                lots = 0
                break
            fills.append((maker, price, resting))
            level.lots -= resting
            lots -= resting
            done.append(maker)
            if not lots:
                break
        for maker in done:
            del level.orders[maker], self._orders[maker]
        if not level.orders:
            self._empty(half, price)
        return lots

    def _rest(self, half: HalfBook, order_id: int, price: int, lots: int) -> None:
        level = half.levels.get(price)
        if level is None:
            level = half.levels[price] = Level()
            insort(half.keys, -half.side * price)
        level.orders[order_id] = lots
        level.lots += lots
        half.changed.add(price)
        self._orders[order_id] = (half, price)

    def _empty(self, half: HalfBook, price: int) -> None:
        del half.levels[price]
        del half.keys[bisect_left(half.keys, -half.side * price)]
