"""The Arrow schemas of the tables a report writes: every column with its unit and meaning.

Times are `timestamp[ns]` without a zone and mean UTC: a zoned type loses the nanoseconds in duckdb. `price` and
`size` are float64 for use, `price_e8` and `size_e8` int64 (scaled by 1e8) for truth. Columns named as in Databento's
schemas mean what they mean there.
"""

import pyarrow as pa

SCHEMA_VERSION = 1

TIME = pa.timestamp("ns")
NAME = pa.dictionary(pa.int32(), pa.string())


def _field(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": meaning})


PLACE = (
    _field("ts_recv", TIME, "wall clock of the recording host at receipt"),
    _field("symbol", NAME, "symbol, upper case; null where nothing tells it"),
    _field("stream", NAME, "stream name of the envelope; null without one"),
    _field("file", NAME, "name of the segment file that holds the payload"),
    _field("block", pa.int32(), "position of the block in that file, from 0"),
    _field("record", pa.int32(), "position of the record in that block, from 0"),
)

MESSAGES = pa.schema(
    [
        *PLACE,
        _field("type", NAME, "event type, or malformed, unrepresentable, unknown"),
        _field("ts_mono", pa.int64(), "CLOCK_MONOTONIC at receipt, ns; null for imports"),
        _field("rx_lag_ns", pa.int64(), "read callback minus kernel receive time, ns; null without a kernel stamp"),
        _field("ts_event", TIME, "the venue's event time E"),
        _field("ts_trade", TIME, "the venue's transaction time T"),
        _field("latency_ns", pa.int64(), "ts_recv - ts_event, ns, as measured: the host's clock error is in it"),
        _field("ts_recv_adj", TIME, "ts_recv corrected for the host's clock; null while no correction is known"),
        _field("ts_recv_err", pa.int64(), "bound of that correction, ns; null while no correction is known"),
        _field("connection", pa.int32(), "number of the connection it came over"),
        _field("bytes", pa.int32(), "payload length"),
        _field("oddity", NAME, "what is odd about the payload; null as a rule"),
    ]
)

BBO = pa.schema(
    [
        *PLACE,
        _field("source", NAME, "book (after a depth update or snapshot) or bookTicker"),
        _field("ts_event", TIME, "the venue's event time E"),
        _field("update_id", pa.int64(), "book update id the quote stands at"),
        _field("bid_px_00", pa.float64(), "best bid price; null where the side is empty"),
        _field("bid_sz_00", pa.float64(), "best bid size"),
        _field("ask_px_00", pa.float64(), "best ask price; null where the side is empty"),
        _field("ask_sz_00", pa.float64(), "best ask size"),
        _field("bid_px_00_e8", pa.int64(), "best bid price x 1e8"),
        _field("bid_sz_00_e8", pa.int64(), "best bid size x 1e8"),
        _field("ask_px_00_e8", pa.int64(), "best ask price x 1e8"),
        _field("ask_sz_00_e8", pa.int64(), "best ask size x 1e8"),
        _field("state", NAME, "state of the symbol's rebuilt book: partial, buffering, synced, gap; null without one"),
    ]
)

_PRICED = (
    _field("price", pa.float64(), "price, the nearest float64 to it"),
    _field("size", pa.float64(), "size, the nearest float64 to it"),
    _field("price_e8", pa.int64(), "price x 1e8"),
    _field("size_e8", pa.int64(), "size x 1e8"),
)

TRADES = pa.schema(
    [
        *PLACE,
        _field("ts_event", TIME, "the venue's event time E"),
        _field("ts_trade", TIME, "the venue's trade time T"),
        _field("trade_id", pa.int64(), "id of the trade, or of the aggregate"),
        *_PRICED,
        _field("side", NAME, "taker's side: B bought, A sold"),
        _field("kind", NAME, "trade, aggTrade or blockTrade; the venue's X where a trade has one: MARKET, ..."),
    ]
)

BOOK_UPDATES = pa.schema(
    [
        *PLACE,
        _field("ts_event", TIME, "the venue's event time E of the update"),
        _field("ts_trade", TIME, "the venue's transaction time T of the update"),
        _field("first_update_id", pa.int64(), "U of the update; null for a snapshot"),
        _field("final_update_id", pa.int64(), "u of the update; lastUpdateId of a snapshot"),
        _field("prev_final_update_id", pa.int64(), "pu of the update; null on spot and for a snapshot"),
        _field("side", NAME, "B bid, A ask"),
        _field("action", NAME, "A the level is new, M its size changed, C it is removed"),
        *_PRICED,
        _field("flags", pa.uint8(), "sum of 128 last row of its update, 32 of a snapshot, 4 book not trusted"),
    ]
)

GAPS = pa.schema(
    [
        *PLACE,
        _field("ts_start", TIME, "receive time of the last event before the hole"),
        _field("ts_end", TIME, "receive time of the first event behind it"),
        _field("last_good_id", pa.int64(), "last id before the hole: u of an update, id of a print"),
        _field("next_id", pa.int64(), "first id behind the hole: U of an update, id of a print"),
        _field("cause", NAME, "loss noted or damage or reconnect in between; sequence: nothing but the ids tells"),
    ]
)

LATENCY = pa.schema(
    [
        *PLACE,
        _field("measure", NAME, "feed (ts_recv - ts_event) or publish (ts_event - ts_trade)"),
        _field("ts_start", TIME, "start of the interval on the timeline, a multiple of interval_ns since the epoch"),
        _field("interval_ns", pa.int64(), "length of the interval, ns"),
        _field("count", pa.int64(), "messages measured"),
        *(
            _field(name, pa.int64(), f"{meaning}, ns")
            for name, meaning in (
                ("min", "minimum"),
                ("p50", "median by nearest rank"),
                ("p90", "0.9 quantile by nearest rank; null where the interval has fewer than 10 messages"),
                ("p99", "0.99 quantile by nearest rank; null below 100 messages"),
                ("p999", "0.999 quantile by nearest rank; null below 1,000 messages"),
                ("p9999", "0.9999 quantile by nearest rank; null below 10,000 messages"),
                ("max", "maximum; file, block and record of the row are this message's"),
                ("mean", "mean, rounded"),
                ("jitter", "interarrival jitter of RFC 3550 section 6.4.1, at the end of the interval"),
            )
        ),
    ]
)

TABLES: dict[str, pa.Schema] = {
    "messages": MESSAGES,
    "trades": TRADES,
    "book_updates": BOOK_UPDATES,
    "bbo": BBO,
    "latency": LATENCY,
    "gaps": GAPS,
}
