"""The compiled kernel makes of every record what the reference makes of it, and most of them without it."""

import json
import os
import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcap.binance.endpoints import Market
from hftcap.capture.format import Kind
from hftcap.capture.reader import open_recording
from hftcap.interop.importer import SourceFormat, import_capture

pytest.importorskip("hftcap.kernel._native", reason="the compiled kernel was not built")

from hftcap.kernel.compiled import CompiledKernel
from hftcap.kernel.reference import ReferenceKernel
from hftcap.kernel.selection import Selection
from tests.kernel.mutating import MUTATIONS, Feeder, Pair, block_of, difference, spoilt

MARKETS = (Market.SPOT, Market.USDM)
BTC = ("BTCUSDT", "ETHUSDT")
SOURCES = {
    "spot": (
        SourceFormat.HFTBACKTEST,
        ("hftbacktest/spot/btcusdt_20240808.gz", "hftbacktest/spot/btcusdt_20240809.gz"),
    ),
    "spot, without a snapshot": (SourceFormat.HFTBACKTEST, ("hftbacktest/spot/btcusdt_20240809.gz",)),
    "spot, ETH": (SourceFormat.HFTBACKTEST, ("hftbacktest/spot/ethusdt_20240808.gz",)),
    "usdm": (SourceFormat.HFTBACKTEST, ("hftbacktest/usdm/btcusdt_20240808.gz",)),
    "coinm": (SourceFormat.HFTBACKTEST, ("hftbacktest/cm/ethusd_perp_20240808.gz",)),
    "microseconds": (SourceFormat.HFTBACKTEST, ("microsecond/trxusdt_spot_microsecond_20250304.txt.gz",)),
    "many symbols, spot": (SourceFormat.CRYPTOFEED, ("BINANCE.0", "BINANCE.http.0.0", "BINANCE.ws.1.0")),
    "many symbols, usdm": (
        SourceFormat.CRYPTOFEED,
        ("BINANCE_FUTURES.0", "BINANCE_FUTURES.http.0.0", "BINANCE_FUTURES.ws.1.0"),
    ),
    "many symbols, coinm": (
        SourceFormat.CRYPTOFEED,
        ("BINANCE_DELIVERY.0", "BINANCE_DELIVERY.http.0.0", "BINANCE_DELIVERY.ws.1.0"),
    ),
}


def feed(market: Market, count: int, seed: int = 1, symbols: tuple[str, ...] = BTC) -> list[bytes]:
    rng = random.Random(seed)
    feeders = [Feeder(symbol, market, rng) for symbol in symbols]
    return [rng.choice(feeders).any() for _ in range(count)]


@pytest.fixture(params=SOURCES)
def recording(request, corpus, tmp_path):
    source, names = SOURCES[request.param]
    folder = corpus / "cryptofeed" / "sample_data" if source is SourceFormat.CRYPTOFEED else corpus
    import_capture(source, [folder / name for name in names], tmp_path / "c", market=None, created_ns=0)
    return open_recording([tmp_path / "c"])


def test_real_captures_come_out_the_same(recording):
    """Columns, changes of the books, gaps, counts and state, of every shared capture; nearly all of it in C."""
    pair = Pair(Market(recording.preamble.market))
    records = plain = usual = 0
    for chunk in recording.chunks():
        plain += pair.run(chunk.block)
        records += chunk.block.records
        payloads = chunk.block.payload_list()
        usual += sum(
            any(tail in p[:60] for tail in (b"@trade", b"@bookTicker", b"@depth", b"@aggTrade")) for p in payloads
        )
    pair.assert_same_state()
    assert difference(pair.compiled.finish(), pair.reference.finish()) is None
    pair.assert_same_state()
    assert plain >= usual - 10 * (1 + len(pair.reference.streams)), f"{plain} of {records}, {usual} of usual streams"


def test_the_odd_frames_come_out_the_same(corpus):
    """Frames known to be odd, among plain ones, one after the other and again."""
    frames = [json.loads(line) for line in (corpus / "odd_frames.jsonl").read_text(encoding="utf-8").splitlines()]
    for market in Market:
        raw = [frame["raw"].encode() for frame in frames]
        mixed = [payload for pair in zip(raw, feed(market, len(raw)), strict=True) for payload in pair]
        pair = Pair(market)
        for sequence in range(3):
            pair.run(block_of(mixed, sequence=sequence))
        pair.assert_same_state()


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("expects_snapshots", [False, True])
def test_pieces_of_blocks_make_no_difference(market, expects_snapshots):
    """A block taken in pieces of any length gives what it gives as a whole."""
    pair = Pair(market, expects_snapshots=expects_snapshots)
    rng = random.Random(2)
    for sequence in range(6):
        block = block_of(feed(market, 300, seed=sequence), sequence=sequence)
        first = 0
        while first < block.records:
            stop = min(block.records, first + rng.randrange(1, 60))
            pair.run(block, stop, first=first)
            first = stop
    pair.assert_same_state()


@pytest.mark.parametrize("market", MARKETS)
def test_a_snapshot_joins_what_was_kept_in_c(market):
    """Updates kept for joining are the reference's when a snapshot comes, and books go on from it."""
    pair = Pair(market, expects_snapshots=True)
    feeder = Feeder("BTCUSDT", market, random.Random(3))
    early = [feeder.diff() for _ in range(40)]
    snapshot = feeder.snapshot()
    late = [feeder.any() for _ in range(200)]
    payloads = [*early, snapshot, *late]
    kinds = [Kind.WS_TEXT] * len(early) + [Kind.REST] + [Kind.WS_TEXT] * len(late)
    pair.run(block_of(early))
    pair.assert_same_state()
    plain = pair.run(block_of(payloads, kinds=kinds, symbol="BTCUSDT", sequence=1))
    assert plain > 160
    pair.assert_same_state()
    assert pair.compiled.books["BTCUSDT"].trusted


def test_what_is_kept_for_joining_is_bounded():
    """Beyond the bound the oldest updates go, those C kept and those Python kept alike."""
    pair = Pair(Market.SPOT, levels=False)
    feeder = Feeder("BTCUSDT", Market.SPOT, random.Random(4))
    for sequence in range(9):
        wide = [feeder.diff(2 if sequence < 5 else 900) for _ in range(1_000 if sequence < 5 else 60)]
        wide[::97] = [payload.replace(b'"a":', b'"a" :') for payload in wide[::97]]  # for the reference
        pair.run(block_of(wide, sequence=sequence))
        pair.assert_same_state()


@pytest.mark.parametrize("market", MARKETS)
def test_gaps_and_stale_updates_come_out_the_same(market):
    """Updates that are lost, repeated or late: states, gaps, counts and what the book is trusted for."""
    rng = random.Random(5)
    pair = Pair(market)
    feeder = Feeder("BTCUSDT", market, rng)
    for sequence in range(8):
        payloads = [feeder.any() for _ in range(200)]
        for _ in range(10):
            at = rng.randrange(len(payloads) - 1)
            payloads.insert(at, payloads.pop(at + 1)) if rng.random() < 0.5 else payloads.pop(at)
        payloads.append(feeder.snapshot())
        kinds = [Kind.WS_TEXT] * (len(payloads) - 1) + [Kind.REST]
        pair.run(block_of(payloads, kinds=kinds, symbol="BTCUSDT", sequence=sequence))
        pair.assert_same_state()
    assert pair.compiled.books["BTCUSDT"].sync.gaps > 0


@pytest.mark.parametrize("market", MARKETS)
def test_several_lines_come_out_the_same(market):
    """Redundant connections and a second recording: copies, holes filled late, ids by line."""
    rng = random.Random(6)
    pair = Pair(market)
    for sequence in range(4):
        payloads, conns = [], []
        waiting: list[tuple[bytes, int]] = []
        for payload in feed(market, 200, seed=sequence):
            waiting += [(payload, line) for line in range(rng.randrange(1, 4))]
            rng.shuffle(waiting)
            while len(waiting) > 4:
                sent, line = waiting.pop()
                payloads.append(sent)
                conns.append(line)
        pair.run(block_of(payloads, conns=conns, sequence=sequence, capture_id=bytes([sequence % 2] * 8)))
        pair.assert_same_state()


@pytest.mark.parametrize("market", MARKETS)
def test_a_state_taken_over_goes_on_the_same(market):
    """Either kernel goes on from the state of the other, anywhere; a dump is not changed by what follows."""
    pair = Pair(market)
    for sequence in range(6):
        pair.run(block_of(feed(market, 150, seed=sequence), sequence=sequence))
        ours, theirs = pair.compiled.dump(), pair.reference.dump()
        kept = msgspec.msgpack.encode(ours)
        pair.compiled, pair.reference = pair.new(CompiledKernel), pair.new(ReferenceKernel)
        pair.compiled.load(msgspec.msgpack.decode(msgspec.msgpack.encode(theirs), type=type(theirs)))
        pair.reference.load(ours)
        pair.assert_same_state()
        if sequence % 2:
            pair.compiled.restart_counts()
            pair.reference.restart_counts()
        pair.run(block_of(feed(market, 150, seed=sequence + 10), sequence=sequence))
        assert msgspec.msgpack.encode(ours) == kept


SELECTIONS = (
    Selection(symbols=["BTCUSDT"]),
    Selection(streams=["trade"]),
    Selection(streams=["depth"], symbols=["ETHUSDT"]),
    Selection(connections=[1]),
    Selection(connections=[1], streams=["bookTicker"]),
)


@pytest.mark.parametrize("selection", SELECTIONS, ids=range(len(SELECTIONS)))
@pytest.mark.parametrize("books_only", [False, True])
def test_a_selection_comes_out_the_same(selection, books_only):
    """By symbol, stream and connection, with and without all but the books."""
    pair = Pair(Market.SPOT, selection=selection, books_only=books_only)
    plain = 0
    for sequence in range(4):
        payloads = feed(Market.SPOT, 300, seed=sequence)
        conns = [sequence % 2 + 1] * 300
        plain += pair.run(block_of(payloads, conns=conns, sequence=sequence))
    pair.assert_same_state()
    assert plain > 100


def test_books_alone_come_out_the_same():
    """With `books_only` all other rows are empty, and most are passed over in C."""
    pair = Pair(Market.USDM, books_only=True)
    plain = sum(pair.run(block_of(feed(Market.USDM, 400, seed=n), sequence=n)) for n in range(3))
    pair.assert_same_state()
    assert plain > 600


def test_binary_rest_and_short_payloads_come_out_the_same():
    """Kinds of records that are never plain, payloads of no length and longer than any buffer."""
    payloads = [
        b"",
        b"{}",
        b"\x00\xff" * 40,
        b'{"lastUpdateId":5,"bids":[],"asks":[]}',
        b"x" * 300_000,
        *feed(Market.SPOT, 40),
    ]
    kinds = [Kind.WS_TEXT, Kind.REST, Kind.WS_BINARY, Kind.REST, *[Kind.WS_TEXT] * 41]
    pair = Pair(Market.SPOT)
    for sequence in range(2):
        pair.run(block_of(payloads, kinds=kinds, symbol="BTCUSDT", sequence=sequence))
    pair.assert_same_state()


def mutated(market: Market, seed: int, count: int) -> tuple[Counter[str], Counter[str]]:
    """Run spoilt messages through both kernels; return how many of each mutation there were, and were plain."""
    pair = Pair(market)
    seen, plain = Counter[str](), Counter[str]()
    for sequence, (mutation, payloads) in enumerate(spoilt(seed, market, count)):
        plain[mutation.__name__] += pair.run(block_of(payloads, sequence=sequence))
        seen[mutation.__name__] += len(payloads)
    pair.assert_same_state()
    return seen, plain


@pytest.mark.parametrize("market", MARKETS)
def test_spoilt_messages_come_out_the_same(market):
    """Mutations of every kind, through kernels that keep what they have learned; some must stay plain."""
    count = int(os.environ.get("HFTCAP_MUTATIONS", "2400"))
    seen, plain = mutated(market, seed=7, count=count)
    assert seen.keys() >= {mutation.__name__ for mutation in MUTATIONS}
    assert plain["untouched"] > 0.6 * seen["untouched"]
    assert plain["other_digits"] > 0.2 * seen["other_digits"]
    assert plain["flip_bit"] > 0, "some bits make one digit of another"
    assert 0 < sum(plain.values()) < sum(seen.values())


@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(0, 2**32))
@settings(max_examples=60)
def test_random_bytes_come_out_the_same(payloads, seed):
    """Bytes that are nothing, among plain messages."""
    mixed = [*payloads, *feed(Market.SPOT, 30, seed)]
    random.Random(seed).shuffle(mixed)
    Pair(Market.SPOT).run(block_of(mixed))


def test_a_message_cut_anywhere_comes_out_the_same():
    """Every length of every sort of message, at the end of a block, where nothing lies behind it."""
    feeder = Feeder("BTCUSDT", Market.USDM, random.Random(8))
    pair = Pair(Market.USDM)
    pair.run(block_of([make() for make in (feeder.quote, feeder.trade, feeder.agg_trade, feeder.diff, feeder.diff)]))
    for make in (feeder.quote, feeder.trade, feeder.diff):
        payload = make()
        for length in range(len(payload) + 1):
            pair.run(block_of([payload[:length]], sequence=length))
    pair.assert_same_state()
