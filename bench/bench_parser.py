"""What the reference parser makes of a payload of each sort, and what it costs."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from hftcap.binance.endpoints import Market
from hftcap.binance.messages import AggTrade, BookTicker, DepthDiff, Message, Trade
from hftcap.binance.parser import Parser
from hftcap.fixed import parse_e8
from tests.kernel.mutating import Feeder

PAYLOADS = 1_000
SORTS = ("quote", "trade", "agg_trade", "diff", "kline")


@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
@pytest.mark.parametrize("sort", SORTS)
def test_payloads(sort: str, market: Market, benchmark) -> None:
    """Every message has its type, symbol and numbers as the payload's own JSON has them."""
    make: Callable[[], bytes] = getattr(Feeder("BTCUSDT", market, random.Random(1)), sort)
    payloads = [make() for _ in range(PAYLOADS)]

    one = Parser().parse

    def parse() -> list[Message]:
        return [one(payload, rest=False) for payload in payloads]

    for payload, message in zip(payloads, parse(), strict=True):
        _check(json.loads(payload)["data"], message)
    benchmark(parse)
    benchmark.extra_info["messages a round"] = PAYLOADS


def _check(fields: dict[str, Any], message: Message) -> None:  # Any: JSON
    assert (message.symbol, message.oddity) == (fields["s"], None)
    match message:
        case BookTicker():
            numbers = (message.bid_px_e8, message.bid_sz_e8, message.ask_px_e8, message.ask_sz_e8)
            assert numbers == tuple(parse_e8(fields[name]) for name in "bBaA")
            assert message.update_id == fields["u"]
        case Trade() | AggTrade():
            assert (message.price_e8, message.size_e8) == (parse_e8(fields["p"]), parse_e8(fields["q"]))
            assert message.trade_id == fields["a" if isinstance(message, AggTrade) else "t"]
            assert message.side == ("A" if fields["m"] else "B")
        case DepthDiff():
            assert [_levels(fields[side]) for side in "ba"] == [[*message.bids], [*message.asks]]
            assert (message.first_update_id, message.final_update_id) == (fields["U"], fields["u"])
        case _:
            assert message.type == fields["e"]


def _levels(levels: list[list[str]]) -> list[tuple[int, int]]:
    return [(parse_e8(price), parse_e8(size)) for price, size in levels]
