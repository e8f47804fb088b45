"""nautilus_trader: its Binance adapter's handlers and its OrderBook, best prices read after every update.

    python nautilus_book.py PAYLOADS MARKET

The handlers run on a stand-in for the data client, without message bus, cache and data engine: real use is slower.
"""

import sys
from types import SimpleNamespace
from typing import Any

import msgspec
from nautilus_trader.adapters.binance.common.schemas.market import (
    BinanceDepth,
    BinanceOrderBookMsg,
    BinanceQuoteMsg,
)
from nautilus_trader.adapters.binance.data import BinanceCommonDataClient
from nautilus_trader.adapters.binance.futures.data import BinanceFuturesDataClient
from nautilus_trader.adapters.binance.futures.schemas.market import BinanceFuturesTradeMsg
from nautilus_trader.adapters.binance.spot.data import BinanceSpotDataClient
from nautilus_trader.adapters.binance.spot.schemas.market import BinanceSpotTradeMsg
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import OrderBookDeltas, TradeTick
from nautilus_trader.model.enums import BookType
from nautilus_trader.model.identifiers import InstrumentId
from serving import Watch, payloads_in, serve

snapshot, payloads = payloads_in(sys.argv[1])
client = BinanceSpotDataClient if sys.argv[2] == "spot" else BinanceFuturesDataClient
trade_of = {BinanceSpotDataClient: "_decoder_spot_trade", BinanceFuturesDataClient: "_decoder_futures_trade_msg"}
instrument = InstrumentId.from_str("BTCUSDT.BINANCE")


def one_round(watch: Watch) -> dict[str, Any]:  # Any: JSON
    book = OrderBook(instrument, BookType.L2_MBP)
    trades, traded = 0, 0.0
    snapshot_id = 0

    def take(event: Any) -> None:  # Any: the peer's
        nonlocal trades, traded
        kind = type(event)
        if kind is OrderBookDeltas:
            if event.sequence > snapshot_id:
                book.apply_deltas(event)
                book.best_bid_price(), book.best_ask_price()
        elif kind is TradeTick:
            trades += 1
            traded += event.size.as_double()

    stand_in = SimpleNamespace(
        _decoder_order_book_msg=msgspec.json.Decoder(BinanceOrderBookMsg),
        _decoder_quote_msg=msgspec.json.Decoder(BinanceQuoteMsg),
        _get_cached_instrument_id=lambda symbol: instrument,
        _clock=SimpleNamespace(timestamp_ns=lambda: 0),
        _book_buffer={},
        _handle_data=take,
    )
    trade_type = BinanceSpotTradeMsg if client is BinanceSpotDataClient else BinanceFuturesTradeMsg
    setattr(stand_in, trade_of[client], msgspec.json.Decoder(trade_type))
    handle_diff = BinanceCommonDataClient._handle_book_diff_update
    handle_quote = BinanceCommonDataClient._handle_book_ticker
    handle_trade = client._handle_trade
    with watch.running():
        if snapshot is not None:
            depth = msgspec.json.decode(snapshot, type=BinanceDepth)
            book.apply_deltas(depth.parse_to_order_book_snapshot(instrument, 0))
            snapshot_id = depth.lastUpdateId
        for payload in payloads:
            at = payload.find(b"@", 0, 64)
            stream = payload[at + 1 : at + 3]
            if stream == b"bo":
                handle_quote(stand_in, payload)
            elif stream == b"tr":
                handle_trade(stand_in, payload)
            else:
                handle_diff(stand_in, payload)
    return {
        "bid": float(book.best_bid_price()),
        "ask": float(book.best_ask_price()),
        "levels": len(book.bids()) + len(book.asks()),
        "trades": trades,
        "traded": traded,
    }


serve(one_round)
