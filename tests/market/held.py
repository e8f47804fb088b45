"""Hold a synthetic capture against the truth beside it, by code that shares nothing with what made either.

The capture is read through `hftcap.replay` alone, in `events_of`; the truth is read as docs/synth.md says.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import hftcap

E8 = 10**8


def events_of(folder: Path) -> Iterator[Any]:
    """Yield every event of a capture with the book behind it: the one place that knows how books are had."""
    yield from hftcap.replay(folder, speed="max")


def e8(text: str) -> int:
    return int(Decimal(text) * E8)


def truth_lines(folder: Path) -> list[dict[str, Any]]:
    with (folder / "truth.jsonl").open() as file:
        return [json.loads(line) for line in file]


class TrueBook:
    """One symbol's states in the order of their ids: the first full state, then every update."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        full = next(line for line in lines if "n_bids" in line)
        self.id = full["id"]
        self._updates = iter([line for line in lines if line["type"] == "update"])
        self._next = next(self._updates, None)
        self.sides = {name: {e8(price): e8(size) for price, size in full[name]} for name in ("bids", "asks")}

    def at(self, update_id: int) -> "TrueBook":
        """Go on to the last state at or before an id."""
        while self._next is not None and self._next["id"] <= update_id:
            self.id = self._next["id"]
            for name, side in self.sides.items():
                for price, size in self._next[name]:
                    if e8(size):
                        side[e8(price)] = e8(size)
                    else:
                        del side[e8(price)]  # only what is there is removed
            self._next = next(self._updates, None)
        return self

    def levels(self, count: int | None = None) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        bids, asks = (sorted(self.sides[name].items()) for name in ("bids", "asks"))
        return bids[::-1][:count], asks[:count]

    def sha256(self) -> str:
        bids, asks = self.levels()
        text = "".join(f"b {p} {s}\n" for p, s in bids) + "".join(f"a {p} {s}\n" for p, s in asks)
        return hashlib.sha256(text.encode()).hexdigest()


def hold(folder: Path) -> Counter[str]:
    """Assert that a capture says what the truth says; return how often each thing was compared."""
    lines = truth_lines(folder)
    by_symbol: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if "symbol" in line:
            by_symbol.setdefault(line["symbol"], []).append(line)
    gaps = [(line["from_ns"], line["to_ns"]) for line in lines if line["type"] == "gap"]
    counts: Counter[str] = Counter()
    for symbol_lines in by_symbol.values():
        _hold_truth(symbol_lines, counts)
    walks = {(symbol, what): TrueBook(found) for symbol, found in by_symbol.items() for what in "dqp"}
    trades = {(line["symbol"], line["id"]): line for line in lines if line["type"] == "trade"}
    unseen = set(trades)
    for event in events_of(folder):
        message = event.message
        counts[message.type] += 1
        match message.type:
            case "depthUpdate":
                # What is behind the book by now is a copy, or of a slower stream.
                if event.book.state == "synced" and event.book.update_id == message.final_update_id:
                    true = walks[message.symbol, "d"].at(message.final_update_id)
                    assert true.id == message.final_update_id
                    assert (event.book.bids(), event.book.asks()) == true.levels(), message.final_update_id
                    counts["states"] += 1
            case "rest_depth":
                true = TrueBook(by_symbol[message.symbol]).at(message.update_id)
                assert (list(message.bids), list(message.asks)) == true.levels()
                assert true.id == message.update_id
            case "bookTicker" if not event.arrival:
                true = walks[message.symbol, "q"].at(message.update_id)
                assert true.id == message.update_id
                bids, asks = true.levels(1)
                assert (message.bid_px_e8, message.bid_sz_e8) == bids[0]
                assert (message.ask_px_e8, message.ask_sz_e8) == asks[0]
            case "partialDepth" if not event.arrival:
                true = walks[message.symbol, "p"].at(message.update_id)
                assert (list(message.bids), list(message.asks)) == true.levels(20)
            case "trade":
                true = trades[message.symbol, message.trade_id]
                assert (message.price_e8, message.size_e8) == (e8(true["price"]), e8(true["size"]))
                assert message.side == ("A" if true["buyer_is_maker"] else "B")
                assert message.trade_ns == true["time_ns"] // 10**6 * 10**6
                unseen.discard((message.symbol, message.trade_id))
            case "kline":
                first_ns, last_ns = message.open_ns, message.close_ns + 10**6
                fills = [line for line in by_symbol[message.symbol] if line["type"] == "trade"]
                fills = [line for line in fills if first_ns <= line["time_ns"] < last_ns]
                _hold_bar(message, message.close_e8, fills)
            case "24hrMiniTicker":
                fills = [line for line in by_symbol[message.symbol] if line["type"] == "trade"]
                _hold_bar(message, message.last_e8, fills)
    if counts["trade"]:
        for key in unseen:
            assert any(start <= trades[key]["time_ns"] < end for start, end in gaps), key
    counts["lost trades"] = len(unseen)
    return counts


def _hold_bar(message: Any, close_e8: int, fills: list[dict[str, Any]]) -> None:
    """Prices and sums are those of the fills so far; of those in the millisecond of its time any may be in it."""
    fewest, most = (sum(line["time_ns"] < message.event_ns + late_ns for line in fills) for late_ns in (0, 10**6))
    told = message.open_e8, message.high_e8, message.low_e8, close_e8
    for count in range(fewest, most + 1):
        prices = [Decimal(line["price"]) for line in fills[:count]]
        sizes = [Decimal(line["size"]) for line in fills[:count]]
        quote = sum(price * size for price, size in zip(prices, sizes, strict=True))
        if message.volume != sum(sizes) or message.quote_volume != quote.quantize(Decimal("1e-8"), ROUND_DOWN):
            continue
        if prices:
            assert told == tuple(e8(str(price)) for price in (prices[0], max(prices), min(prices), prices[-1]))
        if message.type == "kline":
            ids = [line["id"] for line in fills[:count]] or [-1]
            assert (message.trades, message.first_trade_id, message.last_trade_id) == (count, ids[0], ids[-1])
        return
    raise AssertionError(message)


def _hold_truth(lines: list[dict[str, Any]], counts: Counter[str]) -> None:
    """The truth agrees with itself: every digest and every full state is that of the updates before it."""
    walk = TrueBook(lines)
    for line in lines:
        if line["type"] == "book":
            assert walk.at(line["id"]).id == line["id"]
            assert walk.sha256() == line["sha256"]
            bids, asks = walk.levels()
            assert (len(bids), len(asks)) == (line["n_bids"], line["n_asks"])
            assert bids[0][0] < asks[0][0]
            counts["digests"] += 1
            if "bids" in line:
                assert [(e8(p), e8(s)) for p, s in line["bids"]] == bids
                assert [(e8(p), e8(s)) for p, s in line["asks"]] == asks
                counts["full states"] += 1


def chains(folder: Path) -> int:
    """Assert that the diffs of each stream on each connection follow each other by the venue's rule; count the steps.

    A new connection begins anew.
    """
    last: dict[tuple[str, int], int] = {}
    steps = 0
    for event in events_of(folder):
        message = event.message
        if message.type != "depthUpdate":
            continue
        key = message.stream, event.record.conn
        if key in last:
            steps += 1
            if message.prev_final_update_id is None:
                assert message.first_update_id == last[key] + 1
            else:
                assert message.prev_final_update_id == last[key] < message.first_update_id
        assert message.first_update_id <= message.final_update_id
        last[key] = message.final_update_id
    return steps
