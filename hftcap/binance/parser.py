"""Payload bytes to messages: the reference implementation, which with `frames` alone spells the venue's letters.

Any key order, unknown keys ignored, the last of duplicate keys wins, escapes and white space as JSON has them,
envelope or none, arrays, answers and errors told apart. Nothing here raises on any payload: what cannot be typed
comes back as an `Oddity`. The compiled kernel must agree with this module on every payload.

Source: protocol notes, sections 2.1, 3, 4 and 5 (binance-spot-api-docs a5e0bc3, web-socket-streams.md; the futures
stream pages of 2026-08).
"""

from collections.abc import Callable
from decimal import InvalidOperation
from typing import Any

import msgspec

from hftcap.binance.control import reply, unknown
from hftcap.binance.fields import (
    Fields,
    Malformed,
    boolean,
    decimal,
    event_ns_if_any,
    symbol_if_any,
    symbol_of,
    taker_side,
    text,
    venue_ns,
    whole,
)
from hftcap.binance.frames import UNUSUAL, Heads
from hftcap.binance.messages import (
    OTHER_EVENTS,
    TICKER_EVENTS,
    AggTrade,
    BlockTrade,
    BookTicker,
    DepthDiff,
    ErrorReply,
    Kline,
    Level,
    MarkPrice,
    Message,
    MessageArray,
    Oddity,
    OddityKind,
    OtherEvent,
    PartialDepth,
    ReferencePrice,
    RestDepth,
    RestOther,
    RpiDepth,
    ServerShutdown,
    Ticker,
    Trade,
    mark_capped,
)
from hftcap.binance.streams import StreamName, StreamType, parse_stream
from hftcap.errors import NotADecimal, Unrepresentable
from hftcap.fixed import DecimalCache

_BRACE = ord("}")
_STREAMS_REMEMBERED = 16_384
_decode = msgspec.json.Decoder().decode


class Parser:
    """Parse payloads one at a time, remembering decimal texts and stream names (both bounded)."""

    def __init__(self, decimals: DecimalCache | None = None) -> None:
        self._decimals = DecimalCache() if decimals is None else decimals
        self._e8 = self._decimals.__getitem__
        self._usual = Heads()
        self._streams: dict[str, StreamName | None] = {}
        self._typed: dict[str, Callable[[Fields, str | None], Message]] = {
            "trade": self._trade,
            "aggTrade": self._agg_trade,
            "blockTrade": self._block_trade,
            "bookTicker": self._book_ticker,
            "depthUpdate": self._depth_update,
            "kline": self._kline,
            "markPriceUpdate": self._mark_price,
            "referencePrice": self._reference_price,
            "serverShutdown": self._server_shutdown,
        }

    def parse(
        self, payload: bytes, *, rest: bool | None = None, symbol: str | None = None, stream: str | None = None
    ) -> Message:
        """Return the message in `payload`.

        `rest` says whether it is a REST body (True) or came over a WebSocket (False); where that is not known, a
        bare `lastUpdateId` body is taken for a REST snapshot. `symbol` is the one a REST request asked for;
        `stream` the name of the only stream of a raw connection, used where the payload has no envelope.
        """
        head, _, body = payload.partition(b'"data":')
        usual = None if rest else self._usual.get(head)
        if usual is not None and body and body[-1] == _BRACE:
            typed, name = usual
            try:
                message = typed(body[:-1], name, self._decimals)
                if not self._decimals.capped:
                    return message
            except UNUSUAL:
                pass  # said below what it is instead
        try:
            value = _decode(payload)
            if rest:
                message = self._rest(value, symbol)
            else:
                if type(value) is dict and "stream" in value and "data" in value:
                    # Rebound here, so that an oddity, too, has the name in its envelope.
                    stream, value = text(value["stream"]), value["data"]
                message = self._message(value, stream, symbol, rest)
                if usual is None:
                    self._usual.learn(head, message)
            if self._decimals.capped:
                self._decimals.capped = False
                return mark_capped(message)
            return message
        except Unrepresentable as error:
            return Oddity(oddity=OddityKind.UNREPRESENTABLE, detail=str(error), stream=stream, symbol=symbol)
        except KeyError as error:
            detail = f"found no key {error.args[0]!r}"
        except (Malformed, NotADecimal) as error:
            detail = str(error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            detail = f"not JSON: {error}"
        except (TypeError, IndexError, InvalidOperation) as error:
            detail = f"a field has the wrong type: {error}"
        return Oddity(oddity=OddityKind.MALFORMED, detail=detail, stream=stream, symbol=symbol)

    def _message(self, data: Any, stream: str | None, symbol: str | None, rest: bool | None) -> Message:
        """Type what an envelope holds, or a bare payload. `data` is decoded JSON."""
        if type(data) is dict:
            return self._event(data, stream, symbol, rest)
        if type(data) is list and data:
            return self._array(data, stream)
        return unknown(f"found {str(data)[:40]!r}, expected an event", stream)

    def _event(self, data: Fields, stream: str | None, symbol: str | None, rest: bool | None) -> Message:
        event = data.get("e")
        if event is not None:
            if type(event) is not str:
                raise Malformed(f"e is {event!r}, expected an event name")
            typed = self._typed.get(event)
            if typed is not None:
                return typed(data, stream)
            if event in TICKER_EVENTS:
                return self._ticker(data, stream)
            if event in OTHER_EVENTS:
                order = data.get("o")  # a liquidation names its symbol inside the order
                named = order if event == "forceOrder" and type(order) is dict else data
                return OtherEvent(
                    kind=event, stream=stream, symbol=symbol_if_any(named), event_ns=event_ns_if_any(data)
                )
            return unknown(f"event {event[:40]!r} is not known", stream, symbol_if_any(data), event_ns_if_any(data))
        if "lastUpdateId" in data:
            if stream is not None or rest is False:
                return self._spot_partial_depth(data, stream)
            return self._rest_depth(data, symbol)
        if "u" in data and "s" in data and "b" in data and "A" in data:
            return self._book_ticker(data, stream)
        return reply(data, stream)

    def _array(self, data: list[Any], stream: str | None) -> Message:  # Any: decoded JSON
        rows = []
        for row in data:
            if type(row) is not dict:
                return unknown(f"an array row is {str(row)[:40]!r}, expected an event", stream)
            rows.append(self._event(row, stream, None, False))
        oddity = next((row.oddity for row in rows if row.oddity is not None), None)
        untyped = next((row for row in rows if isinstance(row, Oddity)), None)
        if untyped is not None:
            return untyped
        return MessageArray(rows=tuple(rows), stream=stream, event_ns=rows[0].event_ns, oddity=oddity)

    def _rest(self, value: object, symbol: str | None) -> Message:
        if type(value) is dict:
            if "lastUpdateId" in value:
                return self._rest_depth(value, symbol)
            if type(value.get("code")) is int and type(value.get("msg")) is str:
                return ErrorReply(code=value["code"], text=value["msg"], symbol=symbol)
        return RestOther(symbol=symbol)

    # Prints

    def _trade(self, data: Fields, stream: str | None) -> Message:
        kind = data.get("X")
        return Trade(
            stream=stream,
            symbol=symbol_of(data),
            event_ns=venue_ns(data["E"]),
            trade_id=whole(data["t"]),
            price_e8=self._e8(data["p"]),
            size_e8=self._e8(data["q"]),
            trade_ns=venue_ns(data["T"]),
            side=taker_side(data),
            kind="trade" if kind is None else text(kind),
        )

    def _agg_trade(self, data: Fields, stream: str | None) -> Message:
        first, last = whole(data["f"]), whole(data["l"])
        return AggTrade(
            stream=stream,
            symbol=symbol_of(data),
            event_ns=venue_ns(data["E"]),
            trade_id=whole(data["a"]),
            price_e8=self._e8(data["p"]),
            size_e8=self._e8(data["q"]),
            first_trade_id=first,
            last_trade_id=last,
            trade_ns=venue_ns(data["T"]),
            side=taker_side(data),
            oddity=OddityKind.IDS_REVERSED if first > last else None,
        )

    def _block_trade(self, data: Fields, stream: str | None) -> Message:
        return BlockTrade(
            stream=stream,
            symbol=symbol_of(data),
            event_ns=venue_ns(data["E"]),
            trade_id=whole(data["t"]),
            price_e8=self._e8(data["p"]),
            size_e8=self._e8(data["q"]),
            trade_ns=venue_ns(data["T"]),
            side=taker_side(data),
        )

    # The touch and the levels

    def _book_ticker(self, data: Fields, stream: str | None) -> Message:
        e8 = self._e8
        event = data.get("E")
        transaction = data.get("T")
        return BookTicker(
            stream=stream,
            symbol=symbol_of(data),
            event_ns=None if event is None else venue_ns(event),
            trade_ns=None if transaction is None else venue_ns(transaction),
            update_id=whole(data["u"]),
            bid_px_e8=e8(data["b"]),
            bid_sz_e8=e8(data["B"]),
            ask_px_e8=e8(data["a"]),
            ask_sz_e8=e8(data["A"]),
        )

    def _depth_update(self, data: Fields, stream: str | None) -> Message:
        kind = StreamType.DEPTH if stream is None else self._stream_type(stream)
        symbol = symbol_of(data)
        event_ns = venue_ns(data["E"])
        transaction = data.get("T")
        trade_ns = None if transaction is None else venue_ns(transaction)
        first, final = whole(data["U"]), whole(data["u"])
        previous = data.get("pu")
        if previous is not None:
            previous = whole(previous, lowest=-1)
        bids, asks = self._levels(data["b"]), self._levels(data["a"])
        if kind is StreamType.PARTIAL_DEPTH:
            return PartialDepth(
                stream=stream,
                symbol=symbol,
                event_ns=event_ns,
                trade_ns=trade_ns,
                update_id=final,
                bids=bids,
                asks=asks,
            )
        diff = RpiDepth if kind is StreamType.RPI_DEPTH else DepthDiff
        return diff(
            stream=stream,
            symbol=symbol,
            event_ns=event_ns,
            trade_ns=trade_ns,
            first_update_id=first,
            final_update_id=final,
            prev_final_update_id=previous,
            bids=bids,
            asks=asks,
            oddity=OddityKind.IDS_REVERSED if first > final else None,
        )

    def _spot_partial_depth(self, data: Fields, stream: str | None) -> Message:
        name = None if stream is None else self._stream(stream)
        return PartialDepth(
            stream=stream,
            symbol=None if name is None else name.payload_symbol,
            update_id=whole(data["lastUpdateId"], lowest=-1),
            bids=self._levels(data["bids"]),
            asks=self._levels(data["asks"]),
        )

    def _rest_depth(self, data: Fields, symbol: str | None) -> Message:
        transaction = data.get("T")
        named = data.get("symbol", symbol)
        return RestDepth(
            symbol=None if named is None else text(named),
            event_ns=event_ns_if_any(data),
            trade_ns=None if transaction is None else venue_ns(transaction),
            update_id=whole(data["lastUpdateId"], lowest=-1),
            bids=self._levels(data["bids"]),
            asks=self._levels(data["asks"]),
        )

    def _levels(self, raw: Any) -> list[Level]:  # Any: decoded JSON
        """Type one side. A level may have a third element, as in 2018; it is ignored."""
        if type(raw) is not list:
            raise Malformed(f"levels are {str(raw)[:40]!r}, expected a list")
        levels = self._decimals.pairs(raw)
        if len(levels) != len(raw):
            raise Malformed("a level is not a list of price and size")
        return levels

    # Statistics and the rest

    def _kline(self, data: Fields, stream: str | None) -> Message:
        candle = data["k"]
        e8 = self._e8
        return Kline(
            stream=stream,
            symbol=symbol_of(data),
            event_ns=venue_ns(data["E"]),
            interval=text(candle["i"]),
            open_ns=venue_ns(candle["t"]),
            close_ns=venue_ns(candle["T"]),
            open_e8=e8(candle["o"]),
            high_e8=e8(candle["h"]),
            low_e8=e8(candle["l"]),
            close_e8=e8(candle["c"]),
            volume=decimal(candle["v"]),
            quote_volume=decimal(candle["q"]),
            trades=whole(candle["n"]),
            first_trade_id=whole(candle["f"], lowest=-1),
            last_trade_id=whole(candle["L"], lowest=-1),
            closed=boolean(candle["x"]),
        )

    def _ticker(self, data: Fields, stream: str | None) -> Message:
        def price(key: str) -> int | None:
            return self._e8(data[key]) if key in data else None

        symbol_type = data.get("st")
        return Ticker(
            kind=data["e"],
            stream=stream,
            symbol=symbol_of(data),
            event_ns=venue_ns(data["E"]),
            last_e8=price("c"),
            open_e8=price("o"),
            high_e8=price("h"),
            low_e8=price("l"),
            volume=decimal(data["v"]) if "v" in data else None,
            quote_volume=decimal(data["q"]) if "q" in data else None,
            symbol_type=None if symbol_type is None else whole(symbol_type),
        )

    def _mark_price(self, data: Fields, stream: str | None) -> Message:
        rate, index, following, symbol_type = (data.get(key) for key in ("r", "i", "T", "st"))
        return MarkPrice(
            stream=stream,
            symbol=symbol_of(data),
            event_ns=venue_ns(data["E"]),
            mark_e8=self._e8(data["p"]),
            index_e8=None if index is None else self._e8(index),
            funding_rate=None if rate in (None, "") else decimal(rate),
            next_funding_ns=None if not following else venue_ns(following),
            symbol_type=None if symbol_type is None else whole(symbol_type),
        )

    def _reference_price(self, data: Fields, stream: str | None) -> Message:
        price = data["r"]
        return ReferencePrice(
            stream=stream,
            symbol=symbol_of(data),
            price_e8=None if price is None else self._e8(price),
            engine_ns=venue_ns(data["t"]),
        )

    def _server_shutdown(self, data: Fields, stream: str | None) -> Message:
        return ServerShutdown(stream=stream, event_ns=event_ns_if_any(data))

    # Stream names

    def _stream(self, text: str) -> StreamName | None:
        if text in self._streams:
            return self._streams[text]
        if len(self._streams) >= _STREAMS_REMEMBERED:
            self._streams.clear()
        name = self._streams[text] = parse_stream(text)
        return name

    def _stream_type(self, text: str) -> StreamType | None:
        name = self._stream(text)
        return None if name is None else name.type


def parse(payload: bytes, *, rest: bool | None = None, symbol: str | None = None, stream: str | None = None) -> Message:
    """Parse one payload; see `Parser.parse`, which is cheaper for many."""
    return Parser().parse(payload, rest=rest, symbol=symbol, stream=stream)
