"""The quickest ways to typed messages and a book without this package: orjson or msgspec, and two dicts.

Each takes a snapshot, if there is one, and then the payloads, and its best prices can be read after every update.
They work on floats, join nothing but by the snapshot's id, and check nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import orjson

from hftcap.kernel.columns import TYPE_CODE, Columns
from hftcap.kernel.reference import ReferenceKernel

SNAPSHOT = b'{"lastUpdateId"'
_SUM_ERROR = 1e-9
"""Sums of floats differ by at most this share from the sum of the integers."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is compared before a time counts; `levels` of both sides, `traded` is the sum of all trades' sizes."""

    bid: float
    ask: float
    levels: int
    trades: int
    traded: float

    def agrees(self, other: "Outcome", *, level_error: int = 0) -> bool:
        """Say whether two contenders did the same; the numbers of levels may differ by `level_error`."""
        return (
            self._exact() == other._exact()
            and abs(self.levels - other.levels) <= level_error
            and abs(self.traded - other.traded) <= _SUM_ERROR * self.traded
        )

    def _exact(self) -> tuple[int, ...]:
        return round(self.bid * 1e8), round(self.ask * 1e8), self.trades


class DictBook:
    """Floats in two dicts, best prices cached, looked for again where they were removed."""

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.bid = 0.0
        self.ask = float("inf")

    def apply(self, bids: Iterable[tuple[float, float]], asks: Iterable[tuple[float, float]]) -> None:
        held, best, gone = self.bids, self.bid, False
        for price, size in bids:
            if size:
                held[price] = size
                if price > best:
                    best, gone = price, False
            elif held.pop(price, 0.0) and price == best:
                gone = True
        self.bid = max(held, default=0.0) if gone else best
        held, best, gone = self.asks, self.ask, False
        for price, size in asks:
            if size:
                held[price] = size
                if price < best:
                    best, gone = price, False
            elif held.pop(price, 0.0) and price == best:
                gone = True
        self.ask = min(held, default=float("inf")) if gone else best

    def outcome(self, trades: int, traded: float) -> Outcome:
        return Outcome(self.bid, self.ask, len(self.bids) + len(self.asks), trades, traded)


def split_snapshot(payloads: Sequence[bytes]) -> tuple[bytes | None, list[bytes]]:
    """Return the snapshot, wherever it stands, and all other payloads, as contenders take them."""
    snapshots = [payload for payload in payloads if payload.startswith(SNAPSHOT)]
    assert len(snapshots) <= 1
    return (snapshots or [None])[0], [payload for payload in payloads if not payload.startswith(SNAPSHOT)]


def _floats(levels: list[list[str]]) -> list[tuple[float, float]]:
    return [(float(price), float(size)) for price, size in levels]


def _begun(book: DictBook, snapshot: bytes | None) -> int:
    if snapshot is None:
        return 0
    fields = orjson.loads(snapshot)
    book.apply(_floats(fields["bids"]), _floats(fields["asks"]))
    return int(fields["lastUpdateId"])


def orjson_dict(snapshot: bytes | None, payloads: Sequence[bytes]) -> tuple[DictBook, Outcome]:
    """Take payloads with orjson."""
    book = DictBook()
    snapshot_id = _begun(book, snapshot)
    trades, traded = 0, 0.0
    for payload in payloads:
        fields = orjson.loads(payload)["data"]
        event = fields.get("e")
        if event == "depthUpdate":
            if fields["u"] > snapshot_id:
                book.apply(_floats(fields["b"]), _floats(fields["a"]))
        elif event == "trade":
            float(fields["p"]), fields["t"], fields["T"], fields["m"]
            trades += 1
            traded += float(fields["q"])
        else:
            float(fields["b"]), float(fields["B"]), float(fields["a"]), float(fields["A"]), fields["u"]
    return book, book.outcome(trades, traded)


class _Quote(msgspec.Struct, gc=False):
    u: int
    s: str
    b: float
    B: float
    a: float
    A: float
    E: int = 0
    T: int = 0


class _Trade(msgspec.Struct, gc=False):
    E: int
    T: int
    s: str
    t: int
    p: float
    q: float
    m: bool


class _Diff(msgspec.Struct, gc=False):
    E: int
    s: str
    U: int
    u: int
    b: list[tuple[float, float]]
    a: list[tuple[float, float]]
    T: int = 0
    pu: int = 0


class _QuoteEnvelope(msgspec.Struct, gc=False):
    stream: str
    data: _Quote


class _TradeEnvelope(msgspec.Struct, gc=False):
    stream: str
    data: _Trade


class _DiffEnvelope(msgspec.Struct, gc=False):
    stream: str
    data: _Diff


def msgspec_dict(snapshot: bytes | None, payloads: Sequence[bytes]) -> tuple[DictBook, Outcome]:
    """Take payloads with msgspec, each straight to floats in a type of its own, chosen by the stream's name."""
    as_quote, as_trade, as_diff = (
        msgspec.json.Decoder(envelope, strict=False).decode
        for envelope in (_QuoteEnvelope, _TradeEnvelope, _DiffEnvelope)
    )
    book = DictBook()
    snapshot_id = _begun(book, snapshot)
    trades, traded = 0, 0.0
    for payload in payloads:
        at = payload.find(b"@", 0, 64)
        stream = payload[at + 1 : at + 3]
        if stream == b"bo":
            as_quote(payload)
        elif stream == b"tr":
            trades += 1
            traded += as_trade(payload).data.q
        else:
            diff = as_diff(payload).data
            if diff.u > snapshot_id:
                book.apply(diff.b, diff.a)
    return book, book.outcome(trades, traded)


@dataclass(slots=True)
class Prints:
    """Trades counted in columns, as the contenders count theirs."""

    trades: int = 0
    traded_e8: int = 0

    def add(self, columns: Columns) -> None:
        sizes = columns.size_e8[columns.type == TYPE_CODE["trade"]]
        self.trades += len(sizes)
        self.traded_e8 += int(np.add.reduce(sizes))

    def outcome(self, kernel: ReferenceKernel) -> Outcome:
        """Return what a kernel ended with."""
        ((_, book),) = kernel.books.items()
        bid, _, ask, _ = book.book.touch()
        levels = book.book.n_bids + book.book.n_asks
        return Outcome(bid / 1e8, ask / 1e8, levels, self.trades, self.traded_e8 / 1e8)


def same_levels(kernel: ReferenceKernel, book: DictBook) -> bool:
    """Say whether a kernel's book and a contender's are the same level by level."""
    ((_, ours),) = kernel.books.items()
    bids, asks = ours.book.sides()
    theirs = ({round(p * 1e8): round(q * 1e8) for p, q in side.items()} for side in (book.bids, book.asks))
    return (dict(bids), dict(asks)) == tuple(theirs)
