"""hftbacktest: its converter from a gz file to arrays of events, without bookTicker; no book is kept on the way.

    python hftbacktest_convert.py FILE

For the comparison, and outside the time, its rows are applied to two dicts. It reads USD-M futures only.
"""

import contextlib
import sys
from typing import Any

from hftbacktest.data.utils import binancefutures
from hftbacktest.types import (
    BUY_EVENT,
    DEPTH_CLEAR_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    LOCAL_EVENT,
    TRADE_EVENT,
)
from serving import Watch, serve


def one_round(watch: Watch) -> dict[str, Any]:  # Any: JSON
    with contextlib.redirect_stdout(sys.stderr), watch.running():
        rows = binancefutures.convert(sys.argv[1], opt="")
    local = rows[(rows["ev"] & LOCAL_EVENT) == LOCAL_EVENT]
    kind = local["ev"] & 0xFF
    traded = local["qty"][kind == TRADE_EVENT]
    sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
    fields = zip(
        kind.tolist(),
        (local["ev"] & BUY_EVENT == BUY_EVENT).tolist(),
        local["px"].tolist(),
        local["qty"].tolist(),
        strict=True,
    )
    for what, is_bid, price, size in fields:
        side = sides[0 if is_bid else 1]
        if what == DEPTH_CLEAR_EVENT:
            for old in [old for old in side if (old >= price if is_bid else old <= price)]:
                del side[old]
        elif what in (DEPTH_EVENT, DEPTH_SNAPSHOT_EVENT):
            if size:
                side[price] = size
            else:
                side.pop(price, None)
    return {
        "bid": max(sides[0]),
        "ask": min(sides[1]),
        "levels": len(sides[0]) + len(sides[1]),
        "trades": len(traded),
        "traded": float(traded.sum()),
    }


serve(one_round)
