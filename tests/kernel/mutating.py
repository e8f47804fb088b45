"""Messages of a small market, ways to spoil them, and two kernels that must make the same of all of it."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import numpy as np

from hftcap.binance.endpoints import Market
from hftcap.capture.block import Block
from hftcap.capture.columns import BlockColumns
from hftcap.capture.format import NONE_NS, BlockHeader, Kind, TimeBase
from hftcap.kernel.changes import LevelColumns, TouchColumns
from hftcap.kernel.columns import Columns
from hftcap.kernel.compiled import CompiledKernel
from hftcap.kernel.reference import ReferenceKernel
from hftcap.kernel.result import Result
from hftcap.kernel.selection import Selection

Mutation = Callable[[bytes, random.Random], bytes]
_Kernel = TypeVar("_Kernel", bound=ReferenceKernel)


def block_of(
    payloads: list[bytes],
    *,
    conns: list[int] | None = None,
    kinds: list[Kind] | None = None,
    symbol: str | None = None,
    sequence: int = 0,
    capture_id: bytes = bytes(8),
) -> Block:
    """Return a block of payloads as a reader hands it over; `symbol` is what every REST body was asked for."""
    count = len(payloads)
    length = np.array([len(payload) for payload in payloads], dtype=np.uint32)
    end = np.cumsum(length.astype(np.int64) + 1)
    raw = b"".join(payload + b"\n" for payload in payloads)
    columns = BlockColumns(
        length=length,
        time_ns=np.arange(count, dtype=np.int64) * 1_000_000 + sequence * 1_000_000_000,
        rx_lag_ns=np.full(count, NONE_NS, dtype=np.int64),
        kind=np.array(kinds or [Kind.WS_TEXT] * count, dtype=np.uint8),
        conn=np.array(conns or [0] * count, dtype=np.uint16),
        flags=np.zeros(count, dtype=np.uint8),
    )
    header = BlockHeader(
        records=count,
        sequence=sequence,
        capture_id=capture_id,
        wall_offset_ns=0,
        min_mono_ns=NONE_NS,
        max_mono_ns=NONE_NS,
        min_recv_ns=0,
        max_recv_ns=0,
        wall_error_ns=0,
        columns_stored=0,
        columns_raw=0,
        notes_stored=0,
        notes_raw=0,
        payloads_stored=0,
        payloads_raw=len(raw),
        crc_columns_notes=0,
        payload_check=0,
        span=1,
    )
    notes = [{"note": "rest", "record": n, "symbol": symbol} for n in range(count) if kinds and kinds[n] is Kind.REST]
    return Block(header, TimeBase.WALL, columns, end - length - 1, raw, notes)


def difference(compiled: Result, reference: Result) -> str | None:
    """Say where two results differ first, None where they are equal."""
    for name in Columns.__dataclass_fields__:
        ours, theirs = getattr(compiled.columns, name), getattr(reference.columns, name)
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
            return f"{name} is {ours.dtype} {ours.shape}, the reference's {theirs.dtype} {theirs.shape}"
        if not np.array_equal(ours, theirs):
            row = int(np.flatnonzero(ours != theirs)[0])
            return f"{name} of row {row} is {ours[row]}, the reference's {theirs[row]}"
    for name in LevelColumns.__dataclass_fields__:
        if not np.array_equal(getattr(compiled.levels, name), getattr(reference.levels, name)):
            return f"levels differ in {name}"
    for name in TouchColumns.__dataclass_fields__:
        if not np.array_equal(getattr(compiled.touches, name), getattr(reference.touches, name)):
            return f"touches differ in {name}"
    if not np.array_equal(compiled.rows, reference.rows):
        return "other rows are selected"
    return None if compiled.gaps == reference.gaps else "gaps differ"


@dataclass
class Pair:
    """Both kernels, fed the same."""

    market: Market
    expects_snapshots: bool = False
    books_only: bool = False
    levels: bool = True
    selection: Selection | None = None
    compiled: CompiledKernel = field(init=False)
    reference: ReferenceKernel = field(init=False)

    def __post_init__(self) -> None:
        self.compiled = self.new(CompiledKernel)
        self.reference = self.new(ReferenceKernel)

    def new(self, kernel: type[_Kernel]) -> _Kernel:
        return kernel(
            self.market,
            expects_snapshots=self.expects_snapshots,
            books_only=self.books_only,
            levels=self.levels,
            selection=self.selection,
        )

    def run(self, block: Block, stop: int | None = None, *, first: int = 0) -> int:
        """Run a block through both and hold them against each other; return how many records were plain."""
        before = self.compiled.plain_records
        ours = self.compiled.run(block, stop, first=first)
        found = difference(ours, self.reference.run(block, stop, first=first))
        assert found is None, found
        return self.compiled.plain_records - before

    def assert_same_state(self) -> None:
        """All that is known must be equal to the last bit, and so must names and books."""
        ours, theirs = self.compiled.dump(), self.reference.dump()
        assert msgspec.to_builtins(ours) == msgspec.to_builtins(theirs)
        assert msgspec.msgpack.encode(ours) == msgspec.msgpack.encode(theirs)
        for symbol, book in self.reference.books.items():
            mine = self.compiled.books[symbol]
            assert mine.book.touch() == book.book.touch()
            assert mine.book.sha256() == book.book.sha256()
            assert (mine.has_depth, mine.beyond_snapshot) == (book.has_depth, book.beyond_snapshot)


def text(value_e8: int, decimals: int) -> str:
    return f"{value_e8 / 10**8:.{decimals}f}"


def compact(stream: str | None, event: dict[str, object]) -> bytes:
    whole = event if stream is None else {"stream": stream, "data": event}
    return json.dumps(whole, separators=(",", ":")).encode()


class Feeder:
    """Messages of one symbol as the venue sends them, ids rising, every sort in turn at random."""

    def __init__(self, symbol: str, market: Market, rng: random.Random, *, enveloped: bool = True) -> None:
        self.symbol = symbol
        self._futures = market is not Market.SPOT
        self._rng = rng
        self._enveloped = enveloped
        self._id = rng.randrange(10**9, 10**12)
        self._trade = rng.randrange(10**6, 10**9)
        self._aggregate = rng.randrange(10**6, 10**9)
        self._last = self._id
        self._ms = 1_723_161_255_208
        self._mid = 6_000_000

    def _stream(self, tail: str) -> str | None:
        return f"{self.symbol.lower()}@{tail}" if self._enveloped else None

    def _price(self, ticks: int) -> str:
        return text(ticks * 10**6, 2 if self._futures else 8)

    def _size(self, *, may_be_zero: bool = False) -> str:
        rng = self._rng
        size = 0 if may_be_zero and rng.random() < 0.3 else rng.randrange(1, 10 ** rng.randrange(6, 12))
        return text(size, 3 if self._futures else 8)

    def quote(self) -> bytes:
        self._id += self._rng.randrange(1, 20)
        spread = {"b": self._price(self._mid), "B": self._size(), "a": self._price(self._mid + 1), "A": self._size()}
        event: dict[str, object] = {"u": self._id, "s": self.symbol, **spread}
        if self._futures:
            event = {"e": "bookTicker", **event, "T": self._ms, "E": self._ms + 3}
        return compact(self._stream("bookTicker"), event)

    def trade(self) -> bytes:
        self._trade += 1
        event = {"e": "trade", "E": self._ms + 1, "T": self._ms, "s": self.symbol, "t": self._trade}
        event |= {"p": self._price(self._mid), "q": self._size(), "m": self._rng.random() < 0.5}
        if self._futures:
            event["X"] = self._rng.choice(("MARKET", "MARKET", "MARKET", "INSURANCE_FUND"))
        else:
            event["M"] = True
        return compact(self._stream("trade"), event)

    def agg_trade(self) -> bytes:
        self._aggregate += 1
        event = {"e": "aggTrade", "E": self._ms, "s": self.symbol, "a": self._aggregate, "p": self._price(self._mid)}
        event |= {
            "q": self._size(),
            "nq": self._size(),
            "f": self._aggregate * 3,
            "l": self._aggregate * 3 + 2,
            "T": self._ms,
        }
        return compact(self._stream("aggTrade"), event | {"m": False, "st": 1})

    def diff(self, levels: int = 6) -> bytes:
        rng = self._rng
        self._mid += rng.randrange(-3, 4)
        first, self._id = self._last + 1, max(self._id, self._last) + rng.randrange(1, 50)
        event: dict[str, object] = {"e": "depthUpdate", "E": self._ms, "s": self.symbol, "U": first, "u": self._id}
        if self._futures:
            event |= {"T": self._ms, "pu": self._last}
        self._last = self._id
        for key, sign in (("b", -1), ("a", 1)):
            prices = [self._mid + sign * rng.randrange(1, 30) for _ in range(rng.randrange(levels))]
            event[key] = [[self._price(price), self._size(may_be_zero=True)] for price in prices]
        return compact(self._stream("depth@100ms"), event)

    def kline(self) -> bytes:
        candle = {"t": self._ms, "T": self._ms, "i": "1m", "o": "1", "c": "1", "h": "1", "l": "1", "v": "1", "q": "1"}
        event = {"e": "kline", "E": self._ms, "s": self.symbol, "k": candle | {"n": 1, "f": 1, "L": 1, "x": False}}
        return compact(self._stream("kline_1m"), event)

    def snapshot(self) -> bytes:
        """A REST body that joins what has been sent so far."""
        bids = [[self._price(self._mid - ticks), self._size()] for ticks in range(1, 40)]
        asks = [[self._price(self._mid + ticks), self._size()] for ticks in range(1, 40)]
        return compact(None, {"lastUpdateId": self._last, "bids": bids, "asks": asks})

    def any(self) -> bytes:
        self._ms += self._rng.randrange(3)
        sorts = (self.quote, self.quote, self.quote, self.trade, self.trade, self.agg_trade, self.diff, self.diff)
        return self._rng.choice((*sorts, self.kline) if self._rng.random() < 0.1 else sorts)()


def _place(payload: bytes, rng: random.Random) -> int:
    return rng.randrange(len(payload)) if payload else 0


def _replaced(payload: bytes, at: int, by: bytes, length: int = 1) -> bytes:
    return payload[:at] + by + payload[at + length :]


def _digit_places(payload: bytes) -> list[int]:
    return [at for at, byte in enumerate(payload) if 48 <= byte <= 57] or [0]


def _event(payload: bytes) -> tuple[dict[str, object], dict[str, object]]:
    whole = json.loads(payload)
    return whole, whole.get("data", whole)


def _with_members(payload: bytes, change: Callable[[list[tuple[str, object]]], None]) -> bytes:
    """Change the members of the event; a list, so that one may stand twice."""
    whole, event = _event(payload)
    members = list(event.items())
    change(members)
    body = "{" + ",".join(f"{json.dumps(key)}:{json.dumps(v, separators=(',', ':'))}" for key, v in members) + "}"
    return (body if event is whole else '{"stream":' + json.dumps(whole["stream"]) + ',"data":' + body + "}").encode()


def flip_bit(payload: bytes, rng: random.Random) -> bytes:
    at = _place(payload, rng)
    return _replaced(payload, at, bytes([payload[at] ^ 1 << rng.randrange(8)]))


def replace_byte(payload: bytes, rng: random.Random) -> bytes:
    return _replaced(payload, _place(payload, rng), bytes([rng.randrange(256)]))


def delete_bytes(payload: bytes, rng: random.Random) -> bytes:
    return _replaced(payload, _place(payload, rng), b"", rng.randrange(1, 4))


def insert_byte(payload: bytes, rng: random.Random) -> bytes:
    return _replaced(payload, _place(payload, rng), bytes([rng.choice(b'"\\{}[],:0123456789.-eE \n\x00\xff')]), 0)


def truncate(payload: bytes, rng: random.Random) -> bytes:
    return payload[: _place(payload, rng)]


def repeat_slice(payload: bytes, rng: random.Random) -> bytes:
    at = _place(payload, rng)
    return _replaced(payload, at, payload[at : at + rng.randrange(1, 30)], 0)


def swap_bytes(payload: bytes, rng: random.Random) -> bytes:
    one, other = sorted((_place(payload, rng), _place(payload, rng)))
    changed = bytearray(payload)
    changed[one], changed[other] = changed[other], changed[one]
    return bytes(changed)


def other_digits(payload: bytes, rng: random.Random) -> bytes:
    for at in rng.sample(_digit_places(payload), k=1):
        payload = _replaced(payload, at, b"%d" % rng.randrange(10))
    return payload


def other_length(payload: bytes, rng: random.Random) -> bytes:
    at = rng.choice(_digit_places(payload))
    return _replaced(
        payload, at, rng.choice((b"", b"0", b"00", b"12345", b"999999999999", b"1.5", b".", b"-1", b"1e3"))
    )


def point_to_other(payload: bytes, rng: random.Random) -> bytes:
    points = [at for at, byte in enumerate(payload) if byte == 46]
    return _replaced(payload, rng.choice(points), bytes([rng.choice(b"/,-: 0")])) if points else payload


def add_space(payload: bytes, rng: random.Random) -> bytes:
    places = [at for at, byte in enumerate(payload) if byte in b'{}[],:"']
    return _replaced(payload, rng.choice(places), rng.choice((b" ", b"\t", b"\r", b"  ")), 0)


def reorder(payload: bytes, rng: random.Random) -> bytes:
    return _with_members(payload, rng.shuffle)


def add_member(payload: bytes, rng: random.Random) -> bytes:
    value = rng.choice((1, 123456, -1, 1.5, "x", "1.25", None, True, [1], {"a": 1}, [["1", "2"]], "é", "a\nb"))
    key = rng.choice(("z", "st", "ps", "T", "E", "e", "X", "é", "lastUpdateId", "stream", "data", "u", "b"))
    return _with_members(payload, lambda members: members.insert(rng.randrange(len(members) + 1), (key, value)))


def repeat_member(payload: bytes, rng: random.Random) -> bytes:
    return _with_members(payload, lambda members: members.append(rng.choice(members)))


def drop_member(payload: bytes, rng: random.Random) -> bytes:
    return _with_members(payload, lambda members: members.pop(rng.randrange(len(members))) and None)


def other_type(payload: bytes, rng: random.Random) -> bytes:
    def change(members: list[tuple[str, object]]) -> None:
        at = rng.randrange(len(members))
        values = (
            None,
            True,
            "1",
            1,
            0,
            [],
            {},
            "",
            1.0,
            10**18,
            10**19,
            "92233720368.54775807",
            "0.123456789",
            [["1"]],
        )
        members[at] = members[at][0], rng.choice(values)

    return _with_members(payload, change)


def escape(payload: bytes, rng: random.Random) -> bytes:
    letters = [at for at, byte in enumerate(payload) if 97 <= byte <= 122]
    at = rng.choice(letters)
    return _replaced(payload, at, b"\\u%04x" % payload[at])


def more_behind(payload: bytes, rng: random.Random) -> bytes:
    return payload + rng.choice((b" ", b"\n", b"}", b",", b"\x00", b"{}", payload))


def other_name(payload: bytes, rng: random.Random) -> bytes:
    names = (b"depth@100ms", b"depth5", b"rpiDepth@500ms", b"trade", b"depth", b"x")
    return payload.replace(b"depth@100ms", rng.choice(names), 1).replace(b"USDT", rng.choice((b"USDT", b"USDC")), 1)


def first_of_its_stream(payload: bytes, rng: random.Random) -> bytes:
    return payload


def untouched(payload: bytes, rng: random.Random) -> bytes:
    return payload


MUTATIONS: tuple[Mutation, ...] = (
    *(untouched, flip_bit, replace_byte, delete_bytes, insert_byte, truncate, repeat_slice, swap_bytes, other_digits),
    *(other_length, point_to_other, add_space, reorder, add_member, repeat_member, drop_member, other_type, escape),
    *(more_behind, other_name),
)


def spoilt(seed: int, market: Market, count: int) -> Iterator[tuple[Mutation, list[bytes]]]:
    """Yield runs of messages of one symbol, the first few sound, the others by one mutation each."""
    rng = random.Random(seed)
    run = 0
    while count > 0:
        feeder = Feeder(f"S{seed}N{run}USDT", market, rng, enveloped=rng.random() < 0.9)
        mutation = MUTATIONS[run % len(MUTATIONS)]
        sound = [make() for make in (feeder.quote, feeder.trade, feeder.agg_trade, feeder.diff, feeder.diff)]
        yield first_of_its_stream, sound
        yield mutation, [mutation(feeder.any(), rng) for _ in range(40)]
        yield untouched, [feeder.any() for _ in range(10)]
        run += 1
        count -= 40
