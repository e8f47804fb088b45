"""A block in, columns out: each row says what its message says by itself, and where the book stands after it."""

import json
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcap.binance.endpoints import Market
from hftcap.binance.messages import (
    AggTrade,
    BookTicker,
    DepthDiff,
    MessageArray,
    PartialDepth,
    RestDepth,
    Trade,
)
from hftcap.binance.parser import parse
from hftcap.capture.block import Block, decode_block, encode_block, note_line
from hftcap.capture.columns import BlockColumns
from hftcap.capture.format import FRAME, NONE_NS, Kind, TimeBase
from hftcap.fixed import INT64_MAX
from hftcap.kernel import Columns, Kernel
from hftcap.kernel.columns import NULL, ODDITIES, STATES, TYPES, VERDICTS, Side

TOUCH = ("state", "bid_px_e8", "bid_sz_e8", "ask_px_e8", "ask_sz_e8")
E8 = 10**8
_COMPRESSOR = zstandard.ZstdCompressor(write_checksum=True, write_content_size=True)


@dataclass(frozen=True)
class Frame:
    """One record of a block to be; `asked` is the symbol that the note of a REST body names."""

    payload: bytes
    kind: Kind = Kind.WS_TEXT
    asked: str | None = None


def block_of(frames: list[Frame]) -> Block:
    """Make a block as a reader would hand it over."""
    count = len(frames)
    columns = BlockColumns(
        length=np.array([len(frame.payload) for frame in frames], dtype=np.uint32),
        time_ns=np.arange(count, dtype=np.int64),
        rx_lag_ns=np.full(count, NONE_NS, dtype=np.int64),
        kind=np.array([frame.kind for frame in frames], dtype=np.uint8),
        conn=np.zeros(count, dtype=np.uint16),
        flags=np.zeros(count, dtype=np.uint8),
    )
    notes = [{"note": "rest", "record": n, "symbol": f.asked} for n, f in enumerate(frames) if f.asked is not None]
    header, stored = encode_block(
        columns,
        b"".join(frame.payload + b"\n" for frame in frames),
        b"".join(note_line(note) for note in notes),
        time_base=TimeBase.WALL,
        sequence=0,
        capture_id=bytes(8),
        wall_offset_ns=0,
        wall_error_ns=0,
        compressor=_COMPRESSOR,
    )
    block = decode_block(header, stored[FRAME.size + 128 :], TimeBase.WALL)
    assert isinstance(block, Block), block
    return block


def spot(*, expects_snapshots: bool = False) -> Kernel:
    return Kernel(Market.SPOT, expects_snapshots=expects_snapshots)


def enveloped(stream: str, event: object) -> bytes:
    return json.dumps({"stream": stream, "data": event}).encode()


def text(value_e8: int) -> str:
    return f"{value_e8 // E8}.{value_e8 % E8:08d}"


def sides(bids, asks):
    return {name: [[text(p), text(s)] for p, s in side] for name, side in (("b", bids), ("a", asks))}


def trade(number=1, symbol="BTCUSDT", price=100 * E8, size=E8, *, sold=False, **more):
    fields = {"e": "trade", "E": 1_700_000_000_001, "s": symbol, "t": number, "p": text(price), "q": text(size)}
    event = fields | {"T": 1_700_000_000_000, "m": sold, "M": True} | more
    return Frame(enveloped(f"{symbol.lower()}@trade", event))


def agg_trade(first=10, last=12, symbol="BTCUSDT"):
    fields = {"e": "aggTrade", "E": 1_700_000_000_001, "s": symbol, "a": 7, "p": "1.5", "q": "2", "f": first, "l": last}
    return Frame(enveloped(f"{symbol.lower()}@aggTrade", fields | {"T": 1_700_000_000_000, "m": True, "M": True}))


def quote(update_id, symbol="BTCUSDT", **more):
    fields = {"u": update_id, "s": symbol, "b": "99.5", "B": "1", "a": "100.25", "A": "2.5"}
    return Frame(enveloped(f"{symbol.lower()}@bookTicker", fields | more))


def diff(first, last, bids=(), asks=(), symbol="BTCUSDT"):
    fields = {"e": "depthUpdate", "E": 1_700_000_000_002, "s": symbol, "U": first, "u": last}
    return Frame(enveloped(f"{symbol.lower()}@depth@100ms", fields | sides(bids, asks)))


def partial(update_id, symbol="BTCUSDT"):
    event = {"lastUpdateId": update_id, "bids": [["1", "1"], ["0.5", "1"]], "asks": [["9", "1"]]}
    return Frame(enveloped(f"{symbol.lower()}@depth20@100ms", event))


def snapshot(update_id, bids=(), asks=(), asked: str | None = "BTCUSDT"):
    levels = sides(bids, asks)
    body = {"lastUpdateId": update_id, "bids": levels["b"], "asks": levels["a"]}
    return Frame(json.dumps(body).encode(), Kind.REST, asked)


ACK = Frame(b'{"result":null,"id":1}')
GARBAGE = Frame(b'{"stream":"btcusdt@trade","data":{"e":"tra')
EMPTY = Frame(b"")
TICKER_ARRAY = Frame(
    enveloped(
        "!ticker@arr",
        [{"e": "24hrTicker", "E": 1_700_000_000_003, "s": symbol, "c": "1"} for symbol in ("BTCUSDT", "ETHUSDT")],
    )
)


def touch_of(columns: Columns, row: int) -> tuple[object, ...]:
    """Return a row's state by name, and its touch with None for null."""
    state, *touch = (int(getattr(columns, name)[row]) for name in TOUCH)
    return STATES[state], *(None if value == NULL else value for value in touch)


def test_every_record_has_one_row_in_record_order():
    """Text, binary and REST, readable or not: a row each, in its place."""
    frames = [trade(), GARBAGE, Frame(b"\x00\xff", Kind.WS_BINARY), snapshot(5), EMPTY, ACK, TICKER_ARRAY]
    columns = spot().run(block_of(frames)).columns
    assert len(columns) == len(frames)
    assert all(len(getattr(columns, field.name)) == len(frames) for field in fields(Columns))
    assert [TYPES[code] for code in columns.type] == [
        "trade",
        "malformed",
        "unknown",
        "rest_depth",
        "malformed",
        "ack",
        "24hrTicker",
    ]


def test_a_block_of_notes_alone_has_no_row():
    """No record, no row, and nothing learned."""
    kernel = spot()
    assert len(kernel.run(block_of([])).columns) == 0
    assert (kernel.symbols, kernel.streams, kernel.books) == ([], [], {})


def test_a_print_says_price_size_side_and_ids():
    """The taker sold where the buyer is the maker; an aggregate names its first and last trade."""
    columns = spot().run(block_of([trade(8, price=123, size=456, sold=True), trade(9), agg_trade()])).columns
    assert columns.final_id.tolist() == [8, 9, 7]
    assert columns.first_id.tolist() == [NULL, NULL, 10]
    assert columns.prev_id.tolist() == [NULL, NULL, 12]
    assert columns.price_e8.tolist() == [123, 100 * E8, 150_000_000]
    assert columns.size_e8.tolist() == [456, E8, 2 * E8]
    assert columns.side.tolist() == [Side.SELL, Side.BUY, Side.SELL]
    assert set(columns.event_ns.tolist()) == {1_700_000_000_001_000_000}
    assert set(columns.trade_ns.tolist()) == {1_700_000_000_000_000_000}


@pytest.mark.parametrize(
    ("kind", "of_the_market"), [("MARKET", 1), ("INSURANCE_FUND", 0), ("ADL", 0), ("NA", 0), (None, 1)]
)
def test_only_prints_of_the_market_count_as_such(kind, of_the_market):
    """The venue's X tells liquidations and the insurance fund; a spot trade has none and is of the market."""
    columns = spot().run(block_of([trade(**({} if kind is None else {"X": kind}))])).columns
    assert columns.market_print.tolist() == [of_the_market]
    assert TYPES[columns.type[0]] == "trade"


def test_a_quote_on_spot_has_no_time():
    """A bookTicker without E and T has null times, not zero; with them it has both."""
    columns = (
        spot().run(block_of([quote(5), quote(6, e="bookTicker", E=1_700_000_000_001, T=1_700_000_000_000)])).columns
    )
    assert columns.event_ns.tolist() == [NULL, 1_700_000_000_001_000_000]
    assert columns.trade_ns.tolist() == [NULL, 1_700_000_000_000_000_000]
    assert columns.final_id.tolist() == [5, 6]
    assert (columns.price_e8[0], columns.size_e8[0]) == (9_950_000_000, E8)
    assert (columns.quote_ask_px_e8[0], columns.quote_ask_sz_e8[0]) == (10_025_000_000, 250_000_000)


def test_microseconds_are_told_from_milliseconds():
    """A 16-digit E is microseconds, exact to the microsecond."""
    columns = spot().run(block_of([trade(E=1_741_046_400_000_123, T=1_741_046_399_999_999)])).columns
    assert columns.event_ns.tolist() == [1_741_046_400_000_123_000]
    assert columns.trade_ns.tolist() == [1_741_046_399_999_999_000]


def test_a_row_without_a_value_is_null_in_that_column():
    """An acknowledgement, a malformed frame and an empty payload have no symbol, stream, time, id, price or book."""
    columns = spot().run(block_of([trade(), ACK, EMPTY])).columns
    for row in (1, 2):
        for field in fields(Columns):
            value = int(getattr(columns, field.name)[row])
            if field.name in ("symbol", "stream", "kind"):
                assert value == -1, field.name
            elif getattr(columns, field.name).dtype == np.int64:
                assert value == NULL, field.name
            elif field.name not in ("type", "oddity"):
                assert value == 0, field.name
    assert [ODDITIES[code] for code in columns.oddity] == ["", "", "malformed"]


def test_binary_frames_are_never_parsed():
    """A binary frame is unknown even where its bytes are a perfect update; no book comes of it."""
    kernel = spot()
    frames = [replace(frame, kind=Kind.WS_BINARY) for frame in (diff(1, 2, [(5, 1)]), trade(), ACK, EMPTY)]
    columns = kernel.run(block_of(frames)).columns
    assert {TYPES[code] for code in columns.type} == {"unknown"}
    assert {ODDITIES[code] for code in columns.oddity} == {"unknown"}
    assert (kernel.symbols, kernel.streams, kernel.books) == ([], [], {})


def test_a_rest_body_belongs_to_the_symbol_that_was_asked_for():
    """The note names it. Without a note nothing does: the body is a row of no symbol, and touches no book."""
    kernel = spot()
    columns = kernel.run(
        block_of([snapshot(5, [(7, 1)], asked=None), snapshot(6, [(8, 1)], asked="ETHUSDT"), snapshot(7, [(9, 1)])])
    ).columns
    named = [kernel.symbols[index] if index >= 0 else None for index in columns.symbol]
    assert named == [None, "ETHUSDT", "BTCUSDT"]
    assert columns.final_id.tolist() == [5, 6, 7]
    assert columns.book_id.tolist() == [NULL, 6, 7]
    assert columns.verdict[0] == 0
    assert touch_of(columns, 0) == ("", None, None, None, None)
    assert {symbol: book.book.touch()[0] for symbol, book in kernel.books.items()} == {"ETHUSDT": 8, "BTCUSDT": 9}


def test_kind_decides_what_a_body_with_last_update_id_is():
    """Over the websocket it is a partial depth, which touches no book; as a REST body a snapshot."""
    kernel = spot()
    columns = kernel.run(block_of([replace(snapshot(5, [(7, 1)], asked=None), kind=Kind.WS_TEXT), partial(6)])).columns
    assert [TYPES[code] for code in columns.type] == ["partialDepth", "partialDepth"]
    assert columns.levels.tolist() == [1, 3]
    assert columns.final_id.tolist() == [5, 6]
    assert kernel.books == {}


def test_an_array_is_one_row_of_its_rows_type_and_time():
    """A payload with a list of messages stays one record, of no symbol, since its messages may be of many."""
    kernel = spot()
    columns = kernel.run(block_of([TICKER_ARRAY])).columns
    assert (TYPES[columns.type[0]], columns.event_ns[0]) == ("24hrTicker", 1_700_000_000_003_000_000)
    assert (columns.symbol[0], kernel.streams[columns.stream[0]]) == (-1, "!ticker@arr")


@pytest.mark.parametrize(
    ("frame", "oddity"),
    [
        (diff(1, 2, [(5, INT64_MAX)]), "size_capped"),
        (quote(1, B="92233720368.54775807"), "size_capped"),
        (snapshot(1, [(5, INT64_MAX)]), "size_capped"),
        (agg_trade(12, 10), "ids_reversed"),
        (diff(3, 2, [(5, 1)]), "ids_reversed"),
    ],
    ids=["diff", "quote", "snapshot", "aggTrade", "diff ids"],
)
def test_an_odd_message_keeps_its_type_and_carries_its_oddity(frame, oddity):
    """A size at the venue's cap, and ids in reverse, are flagged; the values stand as they are."""
    columns = spot().run(block_of([frame])).columns
    assert ODDITIES[columns.oddity[0]] == oddity
    assert TYPES[columns.type[0]] not in ("malformed", "unknown", "unrepresentable")


def test_a_capped_size_stands_in_the_book_as_it_is():
    """The largest size fits the column and is the touch."""
    columns = spot().run(block_of([diff(1, 2, [(5, INT64_MAX)])])).columns
    assert touch_of(columns, 0) == ("partial", 5, INT64_MAX, None, None)


def test_the_touch_stands_until_it_changes_per_symbol():
    """Between two updates every record of that symbol has the touch after the last; other symbols have theirs."""
    kernel = spot()
    frames = [
        trade(1),
        diff(1, 1, [(5, 1)], [(9, 2)]),
        trade(2),
        quote(1),
        trade(1, "ETHUSDT"),
        diff(1, 1, [(3, 3)], symbol="ETHUSDT"),
        diff(2, 2, [(6, 4), (5, 0)]),
        quote(9, "ETHUSDT"),
        agg_trade(),
        partial(5),
        ACK,
    ]
    columns = kernel.run(block_of(frames)).columns
    none = ("", None, None, None, None)
    before, after, other = ("partial", 5, 1, 9, 2), ("partial", 6, 4, 9, 2), ("partial", 3, 3, None, None)
    assert [touch_of(columns, row) for row in range(len(frames))] == [
        none,
        before,
        before,
        before,
        none,
        other,
        after,
        other,
        after,
        after,
        none,
    ]


def test_the_touch_goes_on_into_the_next_block():
    """A block without any update begins with the touch the last one ended with."""
    kernel = spot()
    kernel.run(block_of([diff(1, 1, [(5, 1)]), diff(1, 1, [(7, 1)], symbol="ETHUSDT")]))
    kernel.run(block_of([ACK]))
    columns = kernel.run(block_of([trade(), trade(symbol="ETHUSDT"), diff(2, 2, [(6, 1)]), trade()])).columns
    assert columns.bid_px_e8.tolist() == [5, 7, 6, 6]


def test_a_touch_that_went_is_null_again():
    """Removing the last level of a side makes it null, price and size."""
    columns = spot().run(block_of([diff(1, 1, [(5, 1)], [(9, 1)]), diff(2, 2, [], [(9, 0)]), trade()])).columns
    assert [touch_of(columns, row)[3:] for row in range(3)] == [(9, 1), (None, None), (None, None)]


def test_a_book_that_buffers_says_so_and_shows_no_touch():
    """Until the snapshot joins the state is buffering, the touch null; `book_id` marks the record that changed it."""
    frames = [diff(1, 1, [(5, 1)]), trade(), snapshot(1, [(6, 1)], [(8, 1)]), trade()]
    columns = spot(expects_snapshots=True).run(block_of(frames)).columns
    waiting = ("buffering", None, None, None, None)
    assert [touch_of(columns, row) for row in range(4)] == [waiting, waiting, *[("synced", 6, 1, 8, 1)] * 2]
    assert columns.book_id.tolist() == [NULL, NULL, 1, NULL]


def test_stopping_inside_a_block_leaves_the_book_there():
    """The first `stop` rows are those of a whole run, and the kernel knows nothing of what is behind them."""
    frames = [diff(1, 1, [(5, 1)]), trade(), trade(1, "ETHUSDT"), diff(2, 2, [(6, 1)]), quote(3, "SOLUSDT")]
    block = block_of(frames)
    whole = spot().run(block).columns
    for stop in range(len(frames) + 1):
        kernel = spot()
        columns = kernel.run(block, stop).columns
        for field in fields(Columns):
            assert getattr(columns, field.name).tolist() == getattr(whole, field.name)[:stop].tolist(), field.name
        assert ("SOLUSDT" in kernel.books) == (stop == 5)
        if stop:
            assert kernel.books["BTCUSDT"].book.touch()[0] == (6 if stop > 3 else 5)


def test_a_block_may_be_taken_in_pieces():
    """Runs that begin inside a block give the rows of one run over all of it; REST bodies keep their own notes."""
    frames = [
        snapshot(5, [(7, 1)]),
        trade(),
        diff(6, 6, [(8, 1)]),
        snapshot(3, [(4, 1)], asked="ETHUSDT"),
        trade(symbol="ETHUSDT"),
        snapshot(9, [(1, 1)], asked=None),
        quote(7),
    ]
    block = block_of(frames)
    whole = spot().run(block).columns
    for first in range(len(frames) + 1):
        for second in range(first, len(frames) + 1):
            kernel = spot()
            bounds = [0, first, second, len(frames)]
            pieces = [kernel.run(block, end, first=begin).columns for begin, end in pairwise(bounds)]
            for field in fields(Columns):
                found = [value for piece in pieces for value in getattr(piece, field.name).tolist()]
                assert found == getattr(whole, field.name).tolist(), (field.name, first, second)


def test_name_tables_grow_and_never_change_what_was_handed_out():
    """An index means the same name for as long as the kernel lives, also for names that are not ASCII."""
    kernel = spot()
    first = kernel.run(block_of([trade(symbol="ETHUSDT"), quote(1, "币安人生USDT")])).columns
    second = kernel.run(block_of([quote(1), trade(symbol="ETHUSDT"), quote(2, "币安人生USDT")])).columns
    assert [kernel.symbols[index] for index in first.symbol] == ["ETHUSDT", "币安人生USDT"]
    assert [kernel.symbols[index] for index in second.symbol] == ["BTCUSDT", "ETHUSDT", "币安人生USDT"]
    assert [kernel.streams[index] for index in second.stream] == [
        "btcusdt@bookTicker",
        "ethusdt@trade",
        "币安人生usdt@bookTicker",
    ]


# A block of anything against messages taken one by one, and a book kept in two dicts.

symbols = st.sampled_from(["BTCUSDT", "ETHUSDT"])
levels = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), max_size=4, unique_by=lambda level: level[0])
# Ids are steps from where the symbol's feed stands: 1 follows, less overlaps or is stale, more leaves a gap.
diffs = st.tuples(st.just("diff"), symbols, st.integers(-2, 3), st.integers(0, 2), levels, levels)
snapshots = st.tuples(st.just("snapshot"), st.none() | symbols, st.integers(-3, 3), levels, levels)
others = st.tuples(
    st.just("other"),
    st.one_of(
        st.builds(trade, st.integers(1, 99), symbols, st.integers(1, INT64_MAX), st.integers(0, INT64_MAX)),
        st.builds(agg_trade, st.integers(1, 9), st.integers(1, 9), symbols),
        st.builds(quote, st.integers(1, 99), symbols),
        st.builds(partial, st.integers(1, 99), symbols),
        st.sampled_from([ACK, GARBAGE, EMPTY, TICKER_ARRAY, replace(diff(1, 2), kind=Kind.WS_BINARY)]),
        st.binary(max_size=20).map(Frame),
        st.builds(replace, st.builds(quote, st.integers(1, 99), symbols), kind=st.just(Kind.REST)),
    ),
)
feeds = st.lists(st.one_of(diffs, snapshots, others), max_size=30)


def frames_of(feed) -> list[Frame]:
    """Turn steps of ids into frames."""
    last = {"BTCUSDT": 10, "ETHUSDT": 20}
    frames = []
    for name, *rest in feed:
        if name == "other":
            frames.append(rest[0])
        elif name == "diff":
            symbol, step, length, bids, asks = rest
            first = last[symbol] + step
            frames.append(diff(first, first + length, bids, asks, symbol))
            last[symbol] = max(last[symbol], first + length)
        else:
            asked, step, bids, asks = rest
            frames.append(snapshot(last.get(asked or "BTCUSDT", 0) + step, bids, asks, asked))
    return frames


class PlainBook:
    """A spot book in two dicts, by the rules of the interface: kept apart from all code of the package."""

    def __init__(self, *, waits: bool) -> None:
        self.state = "buffering" if waits else "partial"
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.feed: int | None = None
        self.kept: list[DepthDiff] = []
        self.must_follow: int | None = None

    def apply(self, bids, asks) -> None:
        for side, changes in ((self.bids, bids), (self.asks, asks)):
            side.update(changes)
            for price in [price for price, size in changes if not size]:
                del side[price]

    def diff(self, update: DepthDiff) -> tuple[str, int | None]:
        """Take an update; return its verdict and the id the book came to stand at."""
        first, last = update.first_update_id, update.final_update_id
        if self.feed is not None and last <= self.feed:
            return "STALE", None
        verdict = "FOLLOWS" if self.feed is None or first <= self.feed + 1 else "GAP"
        self.feed = last
        if verdict == "GAP":
            self.kept = []
        if self.state == "synced":
            if self.must_follow is not None:
                if last <= self.must_follow:
                    return verdict, None
                joined = first <= self.must_follow + 1
                self.must_follow = None
            else:
                joined = verdict == "FOLLOWS"
            if not joined:
                self.state = "gap"
        if self.state != "synced":
            self.kept.append(update)
        if self.state == "buffering":
            return verdict, None
        self.apply(update.bids, update.asks)
        return verdict, last

    def snapshot(self, body: RestDepth) -> tuple[str, int | None]:
        if self.state == "synced":
            return "COMPARED", None
        behind = [update for update in self.kept if update.final_update_id > body.update_id]
        if behind and behind[0].first_update_id > body.update_id + 1:
            return "TOO_OLD", None
        self.state, self.kept, self.bids, self.asks = "synced", [], {}, {}
        self.must_follow = None if behind else body.update_id
        self.apply(body.bids, body.asks)
        for update in behind:
            self.apply(update.bids, update.asks)
        return "JOINS", behind[-1].final_update_id if behind else body.update_id

    def touch(self) -> tuple[object, ...]:
        if self.state == "buffering":
            return self.state, None, None, None, None
        bid, ask = max(self.bids, default=None), min(self.asks, default=None)
        return self.state, bid, self.bids.get(bid), ask, self.asks.get(ask)


def ids_of(message) -> tuple[int | None, int | None, int | None]:
    """Return first, final and previous id as the columns have them."""
    match message:
        case Trade():
            return None, message.trade_id, None
        case AggTrade():
            return message.first_trade_id, message.trade_id, message.last_trade_id
        case BookTicker() | PartialDepth() | RestDepth():
            return None, message.update_id, None
        case DepthDiff():
            return message.first_update_id, message.final_update_id, message.prev_final_update_id
    return None, None, None


def said_by(message) -> dict[str, object]:
    """Return what the columns must hold of one message, None for null."""
    first, final, previous = ids_of(message)
    levels = [*getattr(message, "bids", ()), *getattr(message, "asks", ())]
    quoted = isinstance(message, BookTicker)
    side = getattr(message, "side", None)
    return {
        "type": message.type,
        "symbol": message.symbol,
        "stream": message.stream,
        "event_ns": message.event_ns,
        "trade_ns": getattr(message, "trade_ns", None),
        "first_id": first,
        "final_id": final,
        "prev_id": previous,
        "price_e8": message.bid_px_e8 if quoted else getattr(message, "price_e8", None),
        "size_e8": message.bid_sz_e8 if quoted else getattr(message, "size_e8", None),
        "quote_ask_px_e8": message.ask_px_e8 if quoted else None,
        "quote_ask_sz_e8": message.ask_sz_e8 if quoted else None,
        "side": {"B": Side.BUY, "A": Side.SELL, None: Side.NONE}[side],
        "levels": len(levels),
        "oddity": message.oddity or "",
    }


def row_of(columns: Columns, row: int, kernel: Kernel) -> dict[str, object]:
    """Return a row of the columns in the same terms."""
    found: dict[str, object] = {}
    for field in fields(Columns):
        value = int(getattr(columns, field.name)[row])
        found[field.name] = None if value == NULL else value
    tables = {"type": TYPES, "oddity": ODDITIES, "symbol": kernel.symbols, "stream": kernel.streams}
    return found | {name: table[found[name]] if found[name] >= 0 else None for name, table in tables.items()}


@settings(max_examples=300)
@given(feeds, st.booleans(), st.lists(st.integers(0, 30), max_size=3))
def test_the_columns_say_what_the_messages_say_one_by_one(feed, waits, cuts):
    """Any feed, cut into blocks anywhere: every row equals its message, and the touch that of a book in two dicts."""
    frames = frames_of(feed)
    kernel = spot(expects_snapshots=waits)
    books: dict[str, PlainBook] = {}
    bounds = [0, *sorted(min(cut, len(frames)) for cut in cuts), len(frames)]
    for begin, end in pairwise(bounds):
        columns = kernel.run(block_of(frames[begin:end])).columns
        for row, frame in enumerate(frames[begin:end]):
            found = row_of(columns, row, kernel)
            if frame.kind is Kind.WS_BINARY:
                assert (found["type"], found["symbol"], found["state"]) == ("unknown", None, 0)
                continue
            message = parse(frame.payload, rest=frame.kind is Kind.REST, symbol=frame.asked)
            assert not isinstance(message, MessageArray) or message.symbol is None
            expected = said_by(message)
            assert {name: found[name] for name in expected} == expected
            verdict, book_id = None, None
            if isinstance(message, DepthDiff | RestDepth) and message.symbol is not None:
                book = books.setdefault(message.symbol, PlainBook(waits=waits))
                verdict, book_id = book.diff(message) if isinstance(message, DepthDiff) else book.snapshot(message)
            told = VERDICTS[columns.verdict[row]]
            assert (None if told is None else told.name, found["book_id"]) == (verdict, book_id)
            touch = books[message.symbol].touch() if message.symbol in books else ("", None, None, None, None)
            assert touch_of(columns, row) == touch
            if isinstance(message, DepthDiff):
                assert found["removals"] == [size for _, size in (*message.bids, *message.asks)].count(0)
    for symbol, book in books.items():
        if book.state != "buffering":
            found_book = kernel.books[symbol].book
            assert found_book.bids() == sorted(book.bids.items(), reverse=True)
            assert found_book.asks() == sorted(book.asks.items())
