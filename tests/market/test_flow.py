"""Orders from chance keep the book within its bounds, and its market alive."""

from itertools import pairwise

import pytest

from hftcap.market.chance import draw_of
from hftcap.market.flow import ORDERS, SWEEP_LEVELS, THIN, OrderFlow
from hftcap.market.matching import OrderBook

STEPS = 8_000


def flow_of(seed: int, start: int = 50_000) -> tuple[OrderBook, OrderFlow]:
    book = OrderBook()
    flow = OrderFlow(draw_of(seed, "test"), book, start, 10_000)
    flow.open_book()
    return book, flow


@pytest.mark.parametrize("start", [15_000, 6_000_000])
@pytest.mark.parametrize("seed", range(3))
def test_a_book_stays_within_its_bounds(seed, start):
    """Never crossed, never empty, never more orders than allowed; the price stays near where it began."""
    book, flow = flow_of(seed, start)
    for _ in range(STEPS):
        flow.step()
        bid, _, ask, _ = book.touch()
        assert 0 < bid < ask
        assert min(len(book.bids.keys), len(book.asks.keys)) >= THIN - SWEEP_LEVELS
        assert len(book) <= ORDERS + 1
    assert abs(bid - start) < start // 4


def test_everything_happens():
    """Orders rest, are cancelled, fill one another, sweep levels, and move the touch both ways."""
    book, flow = flow_of(1)
    sizes, touches, swept, sides = [], [], 0, set()
    for _ in range(STEPS):
        fills = flow.step()
        sizes.append(len(book))
        touches.append(book.touch()[0])
        swept += len({price for _, price, _ in fills}) > 1
        if fills:
            sides.add(flow.side)
    moves = [after - before for before, after in pairwise(touches)]
    assert swept > STEPS // 100
    assert sides == {1, -1}
    assert sum(move > 0 for move in moves) > STEPS // 50 < sum(move < 0 for move in moves)
    assert any(after < before for before, after in pairwise(sizes))


def test_waits_have_their_mean_and_their_bursts():
    """Outside of bursts the mean is the one asked for; inside, steps come far closer."""
    _, flow = flow_of(2)
    waits = []
    for _ in range(STEPS * 4):
        flow.step()
        waits.append(flow.wait_ns(1_000_000))
    quick = sum(wait < 20_000 for wait in waits)
    assert quick > len(waits) // 50
    assert min(waits) > 0
    assert 500_000 < sum(waits) / len(waits) < 1_050_000
