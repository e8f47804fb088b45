"""The truth beside a synthetic capture: `truth.jsonl`, one JSON object a line, written as the market goes.

Every state of every book can be had from it: take the last `book` line with levels at or before an update id, and set
each level of the `update` lines behind it, up to that id (size 0 removes). docs/synth.md names every line and key.
"""

import hashlib
import json
from collections.abc import Callable, Set
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hftcap.errors import AlreadyExists, WriteFailed
from hftcap.market.instrument import Instrument, Texts
from hftcap.market.matching import Fill, OrderBook

NAME = "truth.jsonl"
LINES_BUFFERED = 4_096
"""Then they are written, so memory does not grow with the run."""
FULL_EVERY_NS = 10_000_000_000
"""So often a `book` line has all levels."""


class Truth:
    """Write the file, under a temporary name until the context is left without an exception.

    Raises:
        AlreadyExists: there is one.
        WriteFailed: the operating system refused.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        if self.path.exists():
            raise AlreadyExists(self.path)
        self._part = folder / f"{NAME}.part"
        self._lines: list[str] = []
        try:
            self._file = self._part.open("wb")
        except OSError as error:
            raise WriteFailed(self._part, error.strerror or str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with self._file:
                if error is None:
                    self._flush()
            if error is None:
                self._part.rename(self.path)
        except OSError as refused:
            raise WriteFailed(self._part, refused.strerror or str(refused)) from refused

    def add(self, line: str) -> None:
        """Append one line, given without its newline."""
        lines = self._lines
        lines.append(line)
        if len(lines) >= LINES_BUFFERED:
            self._flush()

    def tell(self, kind: str, **values: Any) -> None:  # Any: JSON
        """Append an object of a kind that is rare."""
        self.add(json.dumps({"type": kind} | values, separators=(",", ":"), ensure_ascii=False))

    def _flush(self) -> None:
        self._lines.append("")
        try:
            self._file.write("\n".join(self._lines).encode())
        except OSError as error:
            raise WriteFailed(self._part, error.strerror or str(error)) from error
        self._lines = []


class SymbolTruth:
    """One symbol's part of it."""

    def __init__(self, truth: Truth, instrument: Instrument, book: OrderBook) -> None:
        self._add = truth.add
        self._instrument = instrument
        self._book = book
        self._symbol = json.dumps(instrument.symbol, ensure_ascii=False)
        self._price = Texts(instrument.tick_e8, None)
        self._size = Texts(instrument.lot_e8, None)
        self._told_id = -1
        self._full_ns = 0

    def trade(self, now_ns: int, update_id: int, trade_id: int, fill: Fill, maker_bought: bool) -> None:
        """Tell of a fill, which made the book's state `update_id`."""
        self._add(
            f'{{"type":"trade","symbol":{self._symbol},"id":{trade_id},"time_ns":{now_ns},"price":"{self._price[fill[1]]}",'
            f'"size":"{self._size[fill[2]]}","buyer_is_maker":{"true" if maker_bought else "false"},'
            f'"update_id":{update_id}}}'
        )

    def update(self, now_ns: int, update_id: int, bids: Set[int], asks: Set[int]) -> None:
        """Tell the sizes that an order or a cancel changed."""
        book = self._book
        below = self._levels(sorted(bids, reverse=True), book.bids.lots_at) if bids else ""
        above = self._levels(sorted(asks), book.asks.lots_at) if asks else ""
        self._add(
            f'{{"type":"update","symbol":{self._symbol},"id":{update_id},"time_ns":{now_ns},'
            f'"bids":[{below}],"asks":[{above}]}}'
        )

    def state(self, now_ns: int, update_id: int) -> None:
        """Tell the digest of the whole book, now and then all of its levels; nothing where it was told already."""
        if update_id == self._told_id:
            return
        self._told_id = update_id
        bids, asks = self._book.bids, self._book.asks
        levels = ""
        if now_ns >= self._full_ns:
            self._full_ns = now_ns + FULL_EVERY_NS
            below, above = self._levels(bids.prices(), bids.lots_at), self._levels(asks.prices(), asks.lots_at)
            levels = f',"bids":[{below}],"asks":[{above}]'
        self._add(
            f'{{"type":"book","symbol":{self._symbol},"id":{update_id},"time_ns":{now_ns},"sha256":"{self.sha256()}",'
            f'"n_bids":{len(bids.keys)},"n_asks":{len(asks.keys)}{levels}}}'
        )

    def sha256(self) -> str:
        """Return the digest over all levels, as `hftcap book` has it."""
        tick, lot = self._instrument.tick_e8, self._instrument.lot_e8
        lines = [
            f"{name} {price * tick} {half.levels[price].lots * lot}\n"
            for name, half in (("b", self._book.bids), ("a", self._book.asks))
            for price in half.prices()
        ]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _levels(self, prices: list[int], lots_at: Callable[[int], int]) -> str:
        price, size = self._price, self._size
        return ",".join([f'["{price[at]}","{size[lots_at(at)]}"]' for at in prices])
