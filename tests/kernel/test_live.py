"""Records taken singly come out as a block gives them."""

import random

import pytest

from hftcap.binance.endpoints import Market
from hftcap.capture.format import Kind
from hftcap.kernel import live as live_module
from hftcap.kernel.choice import Kernel
from hftcap.kernel.columns import Columns
from hftcap.kernel.live import Live
from hftcap.kernel.reference import ReferenceKernel
from tests.kernel.mutating import Feeder, block_of, spoilt

MS = 1_000_000
KERNELS = pytest.mark.parametrize("kernel", [ReferenceKernel, Kernel])


def taken(payloads, kinds, market, *, lines=1):
    """Return rows of the same records taken singly and as one block, and both kernels."""
    live = Live(market, expects_snapshots=True)
    block = block_of(payloads, kinds=kinds, symbol="BTCUSDT", conns=[at % lines for at in range(len(payloads))])
    rows = []
    for at, (payload, kind) in enumerate(zip(payloads, kinds, strict=True)):
        record = (payload, at % lines, at * MS)
        if kind is Kind.REST:
            live.rest(*record, symbol="BTCUSDT")
        elif kind is Kind.WS_BINARY:
            live.binary(*record)
        else:
            live.text(*record)
        rows.append({name: getattr(live.row, name)[0] for name in Columns.__dataclass_fields__})
    whole = ReferenceKernel(market, expects_snapshots=True)
    columns = whole.run(block).columns
    names = Columns.__dataclass_fields__
    return rows, [{name: getattr(columns, name)[at] for name in names} for at in range(len(payloads))], live, whole


@KERNELS
@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
@pytest.mark.parametrize("lines", [1, 2])
def test_records_taken_singly_come_out_as_in_a_block(kernel, market, lines, monkeypatch):
    """Text, REST, binary; joined, with gaps, over one line and two: every column, and the books."""
    monkeypatch.setattr(live_module, "Kernel", kernel)
    rng = random.Random(7)
    feeder = Feeder("BTCUSDT", market, rng)
    payloads = [feeder.any() for _ in range(60)] + [feeder.snapshot()] + [feeder.any() for _ in range(400)]
    del payloads[200:205]
    kinds = [
        Kind.REST if at == 60 else Kind.WS_BINARY if at % 97 == 96 else Kind.WS_TEXT for at in range(len(payloads))
    ]
    singly, together, live, whole = taken(payloads, kinds, market, lines=lines)
    assert singly == together
    for symbol, book in whole.books.items():
        assert live.kernel.books[symbol].book.sha256() == book.book.sha256()
        assert live.kernel.books[symbol].updates == book.updates


@KERNELS
def test_spoilt_messages_taken_singly_come_out_as_in_a_block(kernel, monkeypatch):
    """Each spoilt in some way, between plain ones; short and empty ones as well."""
    monkeypatch.setattr(live_module, "Kernel", kernel)
    payloads = [b"", b"{", b"[]"]
    for _, messages in spoilt(8, Market.SPOT, 400):
        payloads += messages
    singly, together, _, _ = taken(payloads, [Kind.WS_TEXT] * len(payloads), Market.SPOT)
    assert singly == together


def test_plain_frames_do_not_become_blocks(monkeypatch):
    """The compiled kernel takes them as they are: of a thousand only what is new is odd."""
    pytest.importorskip("hftcap.kernel._native", reason="the compiled kernel was not built")
    if Kernel is ReferenceKernel:
        pytest.skip("HFTCAP_PURE=1 leaves the compiled kernel out")
    live = Live(Market.SPOT, expects_snapshots=False)
    feeder = Feeder("BTCUSDT", Market.SPOT, random.Random(9))
    odd = []
    live_take = live._take
    monkeypatch.setattr(live, "_take", lambda *record: (odd.append(record), live_take(*record)))
    for at in range(1_000):
        live.text(feeder.quote(), 0, at)
    assert len(odd) < 5
    assert live.kernel.plain_records > 990
