"""cryptofeed: its message handler, up to the callbacks; best prices are read once, at the end.

    python cryptofeed_book.py PAYLOADS MARKET

To read them after every update, which is what a callback would do, costs it four to twelve times as much. It knows
aggregate trades only, so trades are renamed to those before anything is timed. Its sockets are not in the time.
"""

import asyncio
import logging
import sys
from collections import defaultdict
from decimal import Decimal
from typing import Any

from cryptofeed.defines import TRADES
from cryptofeed.exchanges import Binance, BinanceFutures
from cryptofeed.types import OrderBook
from serving import Watch, payloads_in, serve
from yapic import json

snapshot, payloads = payloads_in(sys.argv[1])
messages = [
    payload.replace(b"@trade", b"@aggTrade", 1)
    .replace(b'"e":"trade"', b'"e":"aggTrade"', 1)
    .replace(b'"t":', b'"a":', 1)
    .decode()
    if b"@trade" in payload[:40]
    else payload.decode()
    for payload in payloads
]
# Without a snapshot it begins with an empty book where the first update joins.
before = next(json.loads(each)["data"]["U"] for each in messages if "@depth" in each[:40]) - 1
begun: dict[str, Any] = {"lastUpdateId": before, "bids": [], "asks": []}  # Any: JSON
base = Binance if sys.argv[2] == "spot" else BinanceFutures
logging.getLogger("feedhandler").setLevel(logging.ERROR)


class Handler(base):  # type: ignore[misc, valid-type]  # chosen above
    """The exchange without its connections: what its constructor would make for them is not needed."""

    def __init__(self) -> None:
        self.callbacks = defaultdict(list)
        self.requires_authentication = False
        self.max_depth = 0
        self.cross_check = False
        self._reset()

    def exchange_symbol_to_std_symbol(self, symbol: str) -> str:
        return symbol

    async def _snapshot(self, pair: str) -> None:
        asked = begun if snapshot is None else json.loads(snapshot.decode(), parse_float=Decimal)
        self.last_update_id[pair] = asked["lastUpdateId"]
        sides = {name: {Decimal(p): Decimal(q) for p, q in asked[name]} for name in ("bids", "asks")}
        self._l2_book[pair] = OrderBook(self.id, pair, max_depth=0, **sides)


def one_round(watch: Watch) -> dict[str, object]:
    handler = Handler()
    traded = [0, Decimal(0)]

    async def count(trade: Any, _: float) -> None:  # Any: the peer's
        traded[0] += 1
        traded[1] += trade.amount

    handler.callbacks[TRADES].append(count)
    handle = handler.message_handler

    async def replay() -> None:
        for message in messages:
            await handle(message, None, 0.0)

    with watch.running():
        asyncio.run(replay())
    book = handler._l2_book["BTCUSDT"].book
    return {
        "bid": float(book.bids.index(0)[0]),
        "ask": float(book.asks.index(0)[0]),
        "levels": len(book.bids) + len(book.asks),
        "trades": traded[0],
        "traded": float(traded[1]),
    }


serve(one_round)
