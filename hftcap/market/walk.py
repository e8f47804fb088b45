"""A small seeded market for tests and benchmarks: a random walk of quotes and trades in the venue's own frames.

Not a matching engine: that is the synthetic market's job. Ids chain by the venue's spot rules, the REST snapshot
joins the diffs, and bookTicker agrees with the book, so a replay of it has a right answer.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

TICK_E8 = 1_000_000
LOT_E8 = 1_000
SYMBOL = "BTCUSDT"
START_NS = 1_767_225_600_000_000_000
DIFF_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One payload and when it is received; `is_snapshot` marks the REST body."""

    recv_ns: int
    payload: bytes
    is_snapshot: bool = False


def _text(value_e8: int) -> str:
    whole, fraction = divmod(value_e8, 100_000_000)
    return f"{whole}.{fraction:08d}"


class Walk:
    """The market: a book of 50 levels a side around a mid price that walks."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  a seeded market is the point
        self._mid = 6_000_000
        self._bids = {self._mid - step: self._lots() for step in range(1, 51)}
        self._asks = {self._mid + step: self._lots() for step in range(1, 51)}
        self._update_id = 1_000
        self._trade_id = 500
        self._changed: dict[str, dict[int, int]] = {"b": {}, "a": {}}
        self._first_id = self._update_id + 1

    def _lots(self) -> int:
        return self._random.randint(1, 400_000)

    def frames(self, seconds: float) -> Iterator[Frame]:
        """Yield frames in the order of their receive times, for so many seconds of market time."""
        now = START_NS
        next_diff = now + DIFF_NS
        snapshot_at = now + 250_000_000
        sent_snapshot = False
        while now < START_NS + round(seconds * 1e9):
            now += round(self._random.expovariate(200) * 1e9)
            while now >= next_diff:
                yield self._diff(next_diff)
                next_diff += DIFF_NS
            if not sent_snapshot and now >= snapshot_at:
                sent_snapshot = True
                yield self._snapshot(now)
            yield from self._event(now)

    def _event(self, now: int) -> Iterator[Frame]:
        before = self._touch()
        if self._random.random() < 0.3:
            yield self._trade(now)
        side, levels = ("b", self._bids) if self._random.random() < 0.5 else ("a", self._asks)
        best = max(levels) if side == "b" else min(levels)
        away = round(self._random.expovariate(0.2))
        price = best - away if side == "b" else best + away
        crowded = len(levels) > 30 and price != best
        self._set(side, price, 0 if crowded and self._random.random() < 0.45 else self._lots())
        if self._random.random() < 0.02:
            self._step()
        if self._touch() != before:
            yield self._book_ticker(now)

    def _step(self) -> None:
        """Move the touch: one side retreats a tick, the other follows."""
        side, levels, other, others = (
            ("b", self._bids, "a", self._asks) if self._random.random() < 0.5 else ("a", self._asks, "b", self._bids)
        )
        best = max(levels) if side == "b" else min(levels)
        self._set(side, best, 0)
        target = max(levels) + 1 if side == "b" else min(levels) - 1
        if target not in others:
            self._set(other, target, self._lots())

    def _set(self, side: str, price: int, lots: int) -> None:
        levels = self._bids if side == "b" else self._asks
        self._update_id += 1
        if lots:
            levels[price] = lots
        else:
            levels.pop(price, None)
        self._changed[side][price] = lots

    def _touch(self) -> tuple[int, int, int, int]:
        bid, ask = max(self._bids), min(self._asks)
        return bid, self._bids[bid], ask, self._asks[ask]

    def _trade(self, now: int) -> Frame:
        buy = self._random.random() < 0.5
        side, levels = ("a", self._asks) if buy else ("b", self._bids)
        price = min(levels) if buy else max(levels)
        lots = self._random.randint(1, levels[price])
        left = levels[price] - lots
        self._set(side, price, left or self._lots())
        self._trade_id += 1
        event = (now - 1_500_000) // 1_000_000
        return self._enveloped(
            now,
            "trade",
            {
                "e": "trade",
                "E": event,
                "s": SYMBOL,
                "t": self._trade_id,
                "p": _text(price * TICK_E8),
                "q": _text(lots * LOT_E8),
                "T": event,
                "m": not buy,
                "M": True,
            },
        )

    def _book_ticker(self, now: int) -> Frame:
        bid, bid_lots, ask, ask_lots = self._touch()
        return self._enveloped(
            now,
            "bookTicker",
            {
                "u": self._update_id,
                "s": SYMBOL,
                "b": _text(bid * TICK_E8),
                "B": _text(bid_lots * LOT_E8),
                "a": _text(ask * TICK_E8),
                "A": _text(ask_lots * LOT_E8),
            },
        )

    def _diff(self, now: int) -> Frame:
        sides = {
            side: [[_text(price * TICK_E8), _text(lots * LOT_E8)] for price, lots in sorted(changed.items())]
            for side, changed in self._changed.items()
        }
        first, self._first_id = self._first_id, self._update_id + 1
        self._changed = {"b": {}, "a": {}}
        event = (now - 1_500_000) // 1_000_000
        fields = {"e": "depthUpdate", "E": event, "s": SYMBOL, "U": first, "u": self._update_id, **sides}
        return self._enveloped(now, "depth@100ms", fields)

    def _snapshot(self, now: int) -> Frame:
        sides = {
            name: [
                [_text(price * TICK_E8), _text(lots * LOT_E8)] for price, lots in sorted(levels.items(), reverse=back)
            ]
            for name, levels, back in (("bids", self._bids, True), ("asks", self._asks, False))
        }
        body = json.dumps({"lastUpdateId": self._update_id, **sides}, separators=(",", ":")).encode()
        return Frame(now, body, is_snapshot=True)

    def _enveloped(self, now: int, stream: str, fields: dict[str, object]) -> Frame:
        envelope = {"stream": f"{SYMBOL.lower()}@{stream}", "data": fields}
        return Frame(now, json.dumps(envelope, separators=(",", ":")).encode())
