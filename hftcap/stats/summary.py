"""The counts as the JSON that scripts rely on: names and meanings are a contract, keys may be added."""

from typing import Any

from hftcap.binance.depth_sync import BookState
from hftcap.capture.format import Kind
from hftcap.fixed import format_e8
from hftcap.kernel import SymbolBook
from hftcap.latency.histogram import summary
from hftcap.stats.collect import Stats, SymbolStats
from hftcap.stats.prints import PrintCount

Json = dict[str, Any]  # Any: JSON

_TYPES_ALWAYS = (
    "bookTicker",
    "depthUpdate",
    "trade",
    "aggTrade",
    "kline",
    "partialDepth",
    "rest_depth",
    "rest_other",
    "ack",
    "error",
    "serverShutdown",
    "unknown",
    "malformed",
)


def to_json(stats: Stats) -> Json:
    """Return the object of `hftcap stats --json`: counts and nanoseconds as integers, decimals as strings."""
    return {
        "records": stats.records,
        "by_kind": {kind.name.lower(): stats.by_kind[kind.name.lower()] for kind in Kind},
        "by_stream": dict(sorted(stats.by_stream.items())),
        "by_type": dict.fromkeys(_TYPES_ALWAYS, 0) | dict(sorted(stats.by_type.items())),
        "oddities": dict(sorted(stats.oddities.items())),
        "first_recv_ns": stats.first_recv_ns,
        "last_recv_ns": stats.last_recv_ns,
        "raw_bytes": stats.raw_bytes,
        "file_bytes": stats.file_bytes,
        "peak": {name: peak.peak for name, peak in stats.peaks.items()},
        "latency_ns": {name: summary(histogram) for name, histogram in sorted(stats.latency.items())},
        "clock": {
            "kind": "none",
            "offset_ns": None,
            "error_ns": None,
            "drift_ppb": None,
            "drift_error_ppb": None,
            "steps": stats.clock_steps,
        },
        "rx_lag_ns": summary(stats.rx_lag) if stats.rx_lag.n else None,
        "losses": stats.losses,
        "truncated": stats.truncated,
        "damaged": stats.damaged,
        "symbols": {name: symbol_json(symbol) for name, symbol in sorted(stats.symbols.items())},
    }


def symbol_json(symbol: SymbolStats) -> Json:
    """Return one symbol's part of the object."""
    found: Json = {
        "messages": dict(sorted(symbol.messages.items())),
        "trade": _prints_json(symbol.prints["trade"]),
        "depth": depth_json(symbol.book),
    }
    if symbol.prints["aggTrade"].n:
        found["aggTrade"] = _prints_json(symbol.prints["aggTrade"])
    return found


def _prints_json(prints: PrintCount) -> Json:
    return {
        "n": prints.n,
        "first_id": prints.first_id,
        "last_id": prints.last_id,
        "missing_ids": prints.missing,
        "duplicates": prints.duplicates,
        "sum_qty": format_e8(prints.size_e8),
        "buyer_is_maker": prints.buyer_is_maker,
        "off_market": prints.off_market,
    }


def depth_json(book: SymbolBook | None) -> Json:
    """Return what is known of one symbol's depth and book, without the levels."""
    if book is None:
        book = SymbolBook(futures=False, expects_snapshot=False)
    return {
        "updates": book.updates,
        "gaps": book.sync.gaps,
        "stale": book.sync.stale,
        "first_update_id": book.first_update_id,
        "final_update_id": book.sync.feed_id,
        "levels": book.levels,
        "removals": book.removals,
        "snapshots": book.snapshots,
        "synced": book.sync.state is BookState.SYNCED,
        "state": str(book.sync.state) if book.has_depth else None,
        "beyond_snapshot": book.beyond_snapshot,
        "crossed": book.crossed,
        "bookticker_checked": book.check.checked,
        "bookticker_equal": book.check.equal,
    }
