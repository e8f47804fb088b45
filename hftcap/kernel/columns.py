"""The columns a block becomes: one row per record, numpy arrays, the meaning of each.

Nullable 64-bit columns hold `NULL` where there is no value. `symbol` and `stream` are indices into the tables of
the kernel that made them, -1 for none. A payload that carries an array has one row: type and event time are those of
its first message, and it has no symbol, because its messages may be of many.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from hftcap.binance.depth_sync import BookState, Verdict
from hftcap.binance.messages import OTHER_EVENTS, TICKER_EVENTS, OddityKind

NULL = -(2**63)

TYPES: tuple[str, ...] = (
    "unknown",
    "malformed",
    "unrepresentable",
    "trade",
    "aggTrade",
    "blockTrade",
    "bookTicker",
    "depthUpdate",
    "partialDepth",
    "rpiDepth",
    "rest_depth",
    "rest_other",
    "ack",
    "error",
    "serverShutdown",
    "kline",
    *TICKER_EVENTS,
    "markPriceUpdate",
    "referencePrice",
    *OTHER_EVENTS,
)
TYPE_CODE = {name: code for code, name in enumerate(TYPES)}
ODDITIES: tuple[str, ...] = ("", *OddityKind)
ODDITY_CODE = {name: code for code, name in enumerate(ODDITIES)}
STATES: tuple[str, ...] = ("", *BookState)
STATE_CODE = {name: code for code, name in enumerate(STATES)}
VERDICTS: tuple[Verdict | None, ...] = (None, *Verdict)
VERDICT_CODE = {verdict: code for code, verdict in enumerate(VERDICTS)}


class Side(IntEnum):
    """The taker's side of a print."""

    NONE = 0
    BUY = 1
    SELL = 2


@dataclass(slots=True)
class Columns:
    """What the kernel makes of the records of a block, in record order.

    `price_e8` and `size_e8` are a print's, or the bid a bookTicker quotes; `quote_ask_*` the ask it quotes.
    `first_id`, `final_id`, `prev_id` are a depth update's; `final_id` also a print's id, a quote's or snapshot's
    update id; `first_id` and `prev_id` of an aggregate its first and last trade. `levels` counts price levels in
    the message, `removals` those of size 0. `verdict` is what a diff or snapshot was to the book, `state` the
    book's state after it, and `bid_*`, `ask_*` the touch of the symbol's own book after the record, `NULL` where a
    side is empty or the symbol has no book. `book_id` is the update id the book came to stand at, `NULL` where the
    record did not change it. `market_print` is 1 for a print of the market (not liquidation or insurance), `kind` its
    kind by the kernel's table of kinds, -1 for other records. `arrival` is an `Arrival`: what is not the first of its
    event belongs to no table of events.
    """

    type: NDArray[np.uint8]
    symbol: NDArray[np.int32]
    stream: NDArray[np.int32]
    event_ns: NDArray[np.int64]
    trade_ns: NDArray[np.int64]
    first_id: NDArray[np.int64]
    final_id: NDArray[np.int64]
    prev_id: NDArray[np.int64]
    price_e8: NDArray[np.int64]
    size_e8: NDArray[np.int64]
    quote_ask_px_e8: NDArray[np.int64]
    quote_ask_sz_e8: NDArray[np.int64]
    side: NDArray[np.uint8]
    levels: NDArray[np.uint32]
    removals: NDArray[np.uint32]
    verdict: NDArray[np.uint8]
    state: NDArray[np.uint8]
    bid_px_e8: NDArray[np.int64]
    bid_sz_e8: NDArray[np.int64]
    ask_px_e8: NDArray[np.int64]
    ask_sz_e8: NDArray[np.int64]
    book_id: NDArray[np.int64]
    market_print: NDArray[np.uint8]
    kind: NDArray[np.int32]
    arrival: NDArray[np.uint8]
    oddity: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.type)

    def at(self, rows: NDArray[np.intp] | slice) -> "Columns":
        """Return some of the rows."""
        return Columns(**{name: getattr(self, name)[rows] for name in Columns.__dataclass_fields__})


def joined_columns(parts: "list[Columns]") -> Columns:
    """Return the rows of several runs as one, in order."""
    if len(parts) == 1:
        return parts[0]
    names = Columns.__dataclass_fields__
    return Columns(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def empty_columns(records: int) -> Columns:
    """Return columns for `records` records in which nothing has a value: type `unknown`, no symbol, all `NULL`."""
    null64 = np.full(records, NULL, dtype=np.int64)
    return Columns(
        type=np.zeros(records, dtype=np.uint8),
        symbol=np.full(records, -1, dtype=np.int32),
        stream=np.full(records, -1, dtype=np.int32),
        event_ns=null64,
        trade_ns=null64.copy(),
        first_id=null64.copy(),
        final_id=null64.copy(),
        prev_id=null64.copy(),
        price_e8=null64.copy(),
        size_e8=null64.copy(),
        quote_ask_px_e8=null64.copy(),
        quote_ask_sz_e8=null64.copy(),
        side=np.zeros(records, dtype=np.uint8),
        levels=np.zeros(records, dtype=np.uint32),
        removals=np.zeros(records, dtype=np.uint32),
        verdict=np.zeros(records, dtype=np.uint8),
        state=np.zeros(records, dtype=np.uint8),
        bid_px_e8=null64.copy(),
        bid_sz_e8=null64.copy(),
        ask_px_e8=null64.copy(),
        ask_sz_e8=null64.copy(),
        book_id=null64.copy(),
        market_print=np.zeros(records, dtype=np.uint8),
        kind=np.full(records, -1, dtype=np.int32),
        arrival=np.zeros(records, dtype=np.uint8),
        oddity=np.zeros(records, dtype=np.uint8),
    )
