"""ccxt pro: watchOrderBook with its check on, and watchTrades, pointed at a local endpoint by `urls`."""

import asyncio

import ccxt.pro
from ccxt.base.errors import ChecksumError
from told import followed

REST, WS, SEEN = followed()
SYMBOL = "BTC/USDT"


async def main() -> None:
    exchange = ccxt.pro.binance(
        {"newUpdates": True, "options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}}
    )
    exchange.urls["api"]["public"] = f"{REST}/api/v3"
    exchange.urls["api"]["ws"]["spot"] = f"{WS}/ws"
    exchange.has["fetchCurrencies"] = False
    await exchange.load_markets()

    async def follow_trades() -> None:
        while True:
            for trade in await exchange.watch_trades(SYMBOL):
                SEEN.trade(int(trade["id"]))

    task = asyncio.create_task(follow_trades())
    book = None
    while not SEEN.done:
        try:
            book = await asyncio.wait_for(exchange.watch_order_book(SYMBOL), 2)
            SEEN.update = book["nonce"]
        except TimeoutError:
            if task.done():
                SEEN.errors.append(repr(task.exception()))
                break
        except ChecksumError:
            SEEN.out_of_sync += 1
    SEEN.tell(book["bids"][0][0], book["asks"][0][0])
    task.cancel()
    await exchange.close()


asyncio.run(main())
