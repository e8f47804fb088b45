"""cryptofeed: the L2 book with its check, and aggregate trades, pointed at a local endpoint by its endpoint lists."""

import asyncio
import logging

from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import L2_BOOK, TRADES
from cryptofeed.exchanges import Binance
from told import followed

REST, WS, SEEN = followed()
BOOK = {}


class LocalBinance(Binance):
    websocket_endpoints = [WebsocketEndpoint(WS)]
    rest_endpoints = [
        RestEndpoint(REST, routes=Routes("/api/v3/exchangeInfo", l2book="/api/v3/depth?symbol={}&limit={}"))
    ]


class Listener(logging.Handler):
    """Its warnings are how it says that something is wrong."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "Missing book update" in text:
            SEEN.out_of_sync += 1
        elif record.levelno >= logging.WARNING:
            SEEN.errors.append(text)


async def on_trade(trade, _receipt) -> None:
    SEEN.trade(trade.raw["f"], trade.raw["l"])
    finish_if_done()


async def on_book(book, _receipt) -> None:
    BOOK["book"] = book.book
    SEEN.update = book.sequence_number
    finish_if_done()


def finish_if_done() -> None:
    if SEEN.done:
        asyncio.get_running_loop().stop()


handler = FeedHandler(config={"log": {"filename": "/dev/null", "level": "WARNING", "disabled": False}})
logging.getLogger("feedhandler").addHandler(Listener())
callbacks = {L2_BOOK: on_book, TRADES: on_trade}
handler.add_feed(LocalBinance(symbols=["BTC-USDT"], channels=[L2_BOOK, TRADES], callbacks=callbacks))
handler.run(install_signal_handlers=False, start_loop=False)
loop = asyncio.get_event_loop()
loop.run_forever()
SEEN.tell(BOOK["book"].bids.index(0)[0], BOOK["book"].asks.index(0)[0])
