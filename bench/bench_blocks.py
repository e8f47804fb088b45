"""What a block costs either kernel: payloads in memory become columns, and the book follows."""

import random

import pytest

from hftcap.binance.endpoints import Market
from hftcap.capture.block import Block
from hftcap.kernel.choice import chosen
from hftcap.kernel.reference import ReferenceKernel
from tests.kernel.mutating import Feeder, block_of, difference

RECORDS = 1_000
BLOCKS = 12
WARM = 2
"""Blocks in front of what is timed: what is learned once is not a cost of every message."""
PLAIN_LEAST = 0.95


@pytest.fixture(scope="module", params=[Market.SPOT, Market.USDM])
def blocks(request: pytest.FixtureRequest) -> tuple[Market, list[Block]]:
    feeder = Feeder("BTCUSDT", request.param, random.Random(1))
    return request.param, [block_of([feeder.any() for _ in range(RECORDS)], sequence=n) for n in range(BLOCKS)]


@pytest.mark.parametrize("kernel", {ReferenceKernel, chosen()}, ids=lambda kernel: kernel.name)
def test_block(blocks: tuple[Market, list[Block]], kernel: type[ReferenceKernel], benchmark) -> None:
    """The columns are the reference's, and of the compiled kernel's records nearly all are taken in C."""
    market, all_blocks = blocks

    def begun() -> ReferenceKernel:
        run = kernel(market, expects_snapshots=False)
        for block in all_blocks[:WARM]:
            run.run(block)
        return run

    reference, ours = ReferenceKernel(market, expects_snapshots=False), kernel(market, expects_snapshots=False)
    for block in all_blocks:
        found = difference(ours.run(block), reference.run(block))
        assert found is None, found
    if kernel is not ReferenceKernel:
        assert ours.plain_records > PLAIN_LEAST * RECORDS * BLOCKS  # type: ignore[attr-defined]  # the compiled one's

    def take(run: ReferenceKernel) -> None:
        for block in all_blocks[WARM:]:
            run.run(block)

    rounds = 5 if kernel is ReferenceKernel else 50
    benchmark.pedantic(take, setup=lambda: ((begun(),), {}), rounds=rounds)
    benchmark.extra_info["messages a round"] = RECORDS * (BLOCKS - WARM)
