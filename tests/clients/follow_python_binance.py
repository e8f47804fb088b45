"""python-binance: a checked depth cache and a trade socket, pointed at a local endpoint by its class attributes."""

import asyncio

from binance import AsyncClient, BinanceSocketManager, DepthCacheManager
from told import followed

REST, WS, SEEN = followed()
SYMBOL = "BTCUSDT"


class Client(AsyncClient):
    API_URL = f"{REST}/api"


class Sockets(BinanceSocketManager):
    STREAM_URL = f"{WS}/"


class Cache(DepthCacheManager):
    """Counts how often it begins anew: that is all it says of a hole."""

    begun = 0

    async def _init_cache(self):
        Cache.begun += 1
        await super()._init_cache()


async def main() -> None:
    client = await Client.create()
    await client.get_exchange_info()
    sockets = Sockets(client, max_queue_size=100_000)
    trades = sockets.trade_socket(SYMBOL)
    finished = asyncio.Event()

    async def follow_trades() -> None:
        async with trades as socket:
            while not finished.is_set():
                message = await socket.recv()
                if message.get("e") == "error":
                    SEEN.errors.append(str(message))
                else:
                    SEEN.trade(message["t"])

    async with Cache(client, SYMBOL, bm=sockets, limit=5000, ws_interval=100) as manager:
        task = asyncio.create_task(follow_trades())
        cache = manager.get_depth_cache()
        while not SEEN.done:
            try:
                cache = await asyncio.wait_for(manager.recv(), 2)
            except TimeoutError:
                continue
            SEEN.update = manager._last_update_id if Cache.begun == 0 else max(SEEN.update, manager._last_update_id)
        finished.set()
        task.cancel()
    # Once at the start, and once more where the first update does not begin where the snapshot ends.
    SEEN.out_of_sync = max(Cache.begun - 2, 0)
    SEEN.tell(cache.get_bids()[0][0], cache.get_asks()[0][0])
    await client.close_connection()


asyncio.run(main())
