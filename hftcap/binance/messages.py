"""The venue's events as slotted, immutable types.

Every message has `type` (the name counts and tables use), `stream` (the envelope's name, None without one),
`symbol` (upper case, None where nothing tells it), `event_ns` (the venue's `E`, epoch nanoseconds, None where the
event has none) and `oddity` (None, or what is odd about a message that could be typed all the same).
Prices and sizes are integers scaled by 1e8. Volumes, rates and price changes stay `Decimal`.

    Message
    ├── Trade  AggTrade  BlockTrade          prints
    ├── BookTicker                           the touch
    ├── DepthDiff  PartialDepth  RestDepth   levels: changes, a full top N, a REST snapshot
    ├── Kline  Ticker  MarkPrice  ReferencePrice  OtherEvent
    ├── ServerShutdown  Ack  ErrorReply  RestOther
    ├── MessageArray                         one payload, several messages of one type
    └── Oddity                               what could not be typed
"""

from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

import msgspec

from hftcap.fixed import CAPPED_E8

Level = tuple[int, int]
"""Price and size of a level, both scaled by 1e8; size 0 removes the level."""


TICKER_EVENTS = ("24hrTicker", "24hrMiniTicker", "1hTicker", "4hTicker", "1dTicker")
OTHER_EVENTS = (
    "avgPrice",
    "forceOrder",
    "compositeIndex",
    "contractInfo",
    "assetIndexUpdate",
    "indexPriceUpdate",
    "continuous_kline",
    "indexPrice_kline",
    "markPrice_kline",
    "EquityUpdate",
    "CommodityUpdate",
    "KR_EquityUpdate",
    "HK_EquityUpdate",
    "CN_EquityUpdate",
)
"""Events known by name and kept as `OtherEvent`."""


class OddityKind(StrEnum):
    """What is odd about a payload; the first three mean that it has no type."""

    MALFORMED = "malformed"
    UNREPRESENTABLE = "unrepresentable"
    UNKNOWN = "unknown"
    SIZE_CAPPED = "size_capped"
    IDS_REVERSED = "ids_reversed"


class Message(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What all events share."""

    NAME: ClassVar[str] = ""
    stream: str | None = None
    symbol: str | None = None
    event_ns: int | None = None
    oddity: OddityKind | None = None

    @property
    def type(self) -> str:
        """Name under which counts and tables know this message."""
        return self.NAME


class Trade(Message, frozen=True, gc=False, kw_only=True):
    """One fill. `side` is the taker's, `B` bought or `A` sold; `kind` is the venue's `X` where it gives one."""

    NAME: ClassVar[str] = "trade"
    trade_id: int
    price_e8: int
    size_e8: int
    trade_ns: int
    side: str
    kind: str


class AggTrade(Message, frozen=True, gc=False, kw_only=True):
    """The fills of one taker order at one price; `trade_id` is the aggregate's own id."""

    NAME: ClassVar[str] = "aggTrade"
    trade_id: int
    price_e8: int
    size_e8: int
    first_trade_id: int
    last_trade_id: int
    trade_ns: int
    side: str
    kind: str = "aggTrade"


class BlockTrade(Message, frozen=True, gc=False, kw_only=True):
    """A block trade, numbered apart from trades."""

    NAME: ClassVar[str] = "blockTrade"
    trade_id: int
    price_e8: int
    size_e8: int
    trade_ns: int
    side: str
    kind: str = "blockTrade"


class BookTicker(Message, frozen=True, gc=False, kw_only=True):
    """Best bid and ask after book update `update_id`. On spot it has no time at all."""

    NAME: ClassVar[str] = "bookTicker"
    update_id: int
    bid_px_e8: int
    bid_sz_e8: int
    ask_px_e8: int
    ask_sz_e8: int
    trade_ns: int | None = None


class DepthDiff(Message, frozen=True, kw_only=True):
    """Changed levels, sizes absolute. Ids are inclusive; `prev_final_update_id` exists on futures only."""

    NAME: ClassVar[str] = "depthUpdate"
    first_update_id: int
    final_update_id: int
    bids: list[Level]
    asks: list[Level]
    prev_final_update_id: int | None = None
    trade_ns: int | None = None

    @property
    def levels(self) -> int:
        """Number of levels in the update, both sides."""
        return len(self.bids) + len(self.asks)


class PartialDepth(Message, frozen=True, kw_only=True):
    """A full top N, not a diff. Futures send it in the very shape of a diff; the stream name tells them apart."""

    NAME: ClassVar[str] = "partialDepth"
    update_id: int
    bids: list[Level]
    asks: list[Level]
    trade_ns: int | None = None


class RpiDepth(Message, frozen=True, kw_only=True):
    """Levels with retail price improvement orders (USD-M); never mixed with the normal book."""

    NAME: ClassVar[str] = "rpiDepth"
    first_update_id: int
    final_update_id: int
    bids: list[Level]
    asks: list[Level]
    prev_final_update_id: int | None = None
    trade_ns: int | None = None


class RestDepth(Message, frozen=True, kw_only=True):
    """A REST depth snapshot; `symbol` comes from the request, since spot and USD-M bodies do not name it."""

    NAME: ClassVar[str] = "rest_depth"
    update_id: int
    bids: list[Level]
    asks: list[Level]
    trade_ns: int | None = None


class Kline(Message, frozen=True, kw_only=True):
    """A candle, closed or in the making. Trade ids are -1 where there was no trade."""

    NAME: ClassVar[str] = "kline"
    interval: str
    open_ns: int
    close_ns: int
    open_e8: int
    high_e8: int
    low_e8: int
    close_e8: int
    volume: Decimal
    quote_volume: Decimal
    trades: int
    first_trade_id: int
    last_trade_id: int
    closed: bool


class Ticker(Message, frozen=True, kw_only=True):
    """Rolling statistics; `kind` is the venue's event name (`24hrTicker`, `24hrMiniTicker`, `1hTicker` …).

    `symbol_type` is the venue's `st` (1 USD-M, 2 COIN-M): all-market arrays carry rows of both.
    """

    kind: str
    last_e8: int | None = None
    open_e8: int | None = None
    high_e8: int | None = None
    low_e8: int | None = None
    volume: Decimal | None = None
    quote_volume: Decimal | None = None
    symbol_type: int | None = None

    @property
    def type(self) -> str:
        """The venue's event name."""
        return self.kind


class MarkPrice(Message, frozen=True, kw_only=True):
    """Mark price, index price and funding of a future; the rate may be absent."""

    NAME: ClassVar[str] = "markPriceUpdate"
    mark_e8: int
    index_e8: int | None = None
    funding_rate: Decimal | None = None
    next_funding_ns: int | None = None
    symbol_type: int | None = None


class ReferencePrice(Message, frozen=True, kw_only=True):
    """The reference price at `engine_ns`, None while there is none. It has no event time."""

    NAME: ClassVar[str] = "referencePrice"
    price_e8: int | None
    engine_ns: int


class OtherEvent(Message, frozen=True, kw_only=True):
    """An event of a known name whose fields are not needed here; the payload has them."""

    kind: str

    @property
    def type(self) -> str:
        """The venue's event name."""
        return self.kind


class ServerShutdown(Message, frozen=True, kw_only=True):
    """The venue's notice that this connection is about to end."""

    NAME: ClassVar[str] = "serverShutdown"


class Ack(Message, frozen=True, kw_only=True):
    """The answer to a control request that was accepted, which does not prove that data will come."""

    NAME: ClassVar[str] = "ack"
    id: int | str | None
    result: object = None


class ErrorReply(Message, frozen=True, kw_only=True):
    """The answer to a request that was refused."""

    NAME: ClassVar[str] = "error"
    code: int
    text: str
    id: int | str | None = None


class RestOther(Message, frozen=True, kw_only=True):
    """A REST body that is no depth snapshot: exchangeInfo, time and the like."""

    NAME: ClassVar[str] = "rest_other"


class MessageArray(Message, frozen=True, kw_only=True):
    """One payload that carries a list of messages of one type, in wire order, at least one."""

    rows: tuple[Message, ...]

    @property
    def type(self) -> str:
        """The type of its rows."""
        return self.rows[0].type


class Oddity(Message, frozen=True, kw_only=True):
    """A payload without a type: `oddity` says which sort, `detail` what was found and expected."""

    detail: str

    @property
    def type(self) -> str:
        """The sort of oddity."""
        return self.oddity or OddityKind.UNKNOWN


def mark_capped(message: Message) -> Message:
    """Flag a message of which a size stands at the venue's cap, where it means "this much or more"."""
    match message:
        case Trade() | AggTrade() | BlockTrade():
            sizes = [message.size_e8]
        case BookTicker():
            sizes = [message.bid_sz_e8, message.ask_sz_e8]
        case DepthDiff() | PartialDepth() | RpiDepth() | RestDepth():
            sizes = [size for _, size in (*message.bids, *message.asks)]
        case _:
            return message
    if CAPPED_E8 not in sizes:
        return message
    return msgspec.structs.replace(message, oddity=OddityKind.SIZE_CAPPED)
