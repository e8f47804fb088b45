"""A capture as long as is wanted: one feed's payloads again and again, shifted so that they go on as one.

    copy 0                          joint              copy 1
    all records                     one update         all but the snapshot and what is older

Times and ids are shifted by what a copy spans. The joint takes the book from where a copy leaves it back to where the
next begins, that is to the snapshot, or to nothing. So no update is missing, and the book ends as that of one copy.
"""

import json
import random
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from bench.contenders import SNAPSHOT
from bench.feeds import Feed
from hftcap.binance.endpoints import Market
from hftcap.book.levels import Level
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.kernel.reference import ReferenceKernel
from tests.kernel.mutating import Feeder

Record = tuple[int, bytes]
"""Receive time, wall clock ns, and payload."""
_NUMBERS = re.compile(rb'"(E|T|U|u|pu|t)":(\d+)')
_PAUSE_NS = 100_000_000
MADE_UP_RECORDS = 20_000
SYMBOL = "BTCUSDT"


def write_longer(feed: Feed | None, out: Path, copies: int, ends: Collection[int] = ()) -> list[Path]:
    """Write so many copies into a folder; behind each copy numbered in `ends`, from 1, a segment ends.

    Without a feed a copy is a stretch of a made-up one. Returns the segments in order.
    """
    market = Market.USDM if feed is None else feed.market
    head = CaptureHead("1009" * 4, market, TimeBase.WALL, False, 0, "bench")
    with CaptureWriter(out, head, fsync=False) as writer:
        for number, copy in enumerate(_made_up(copies) if feed is None else _copies(feed, copies), start=1):
            for recv_ns, payload in copy:
                rest = payload.startswith(SNAPSHOT)
                note = {"note": "rest", "symbol": SYMBOL} if rest else None
                writer.add(payload, recv_ns, kind=Kind.REST if rest else Kind.WS_TEXT, note=note)
            if number in ends and number < copies:
                writer.begin_segment()
    return writer.sealed


def _made_up(copies: int) -> Iterator[list[Record]]:
    rng = random.Random(1)
    feeder = Feeder(SYMBOL, Market.USDM, rng)
    for copy in range(copies):
        begin = copy * MADE_UP_RECORDS
        yield [((begin + number) * 1_000_000, message_of(feeder, rng)) for number in range(MADE_UP_RECORDS)]


def message_of(feeder: Feeder, rng: random.Random) -> bytes:
    """Return a message of a sort that has a shape: a candle goes through the reference, which would hide the rest."""
    return rng.choice((feeder.quote, feeder.quote, feeder.trade, feeder.diff))()


def _numbers(payload: bytes) -> dict[bytes, int]:
    return {name: int(value) for name, value in _NUMBERS.findall(payload)}


def _copies(feed: Feed, copies: int) -> Iterator[list[Record]]:
    records = [
        record
        for chunk in feed.recording.chunks()
        for record in zip(chunk.timeline_ns.tolist(), chunk.block.payload_list(), strict=True)
    ]
    diffs = [payload for _, payload in records if b"@depth" in payload[:40]]
    snapshot = next((payload for _, payload in records if payload.startswith(SNAPSHOT)), None)
    joined = 0 if snapshot is None else int(json.loads(snapshot)["lastUpdateId"])
    first = next(payload for payload in diffs if _numbers(payload)[b"u"] > joined)
    begin, end = _numbers(first), _numbers(diffs[-1])[b"u"]
    # A quote behind the last update would be newer than what the next copy begins with.
    kept = [each for each in records if b"@bookTicker" not in each[1][:40] or _numbers(each[1])[b"u"] <= end]
    yield kept

    again = [each for each in kept if not each[1].startswith(SNAPSHOT) and not _is_older(each[1], begin)]
    trades = [_numbers(payload)[b"t"] for _, payload in again if b"@trade" in payload[:40]]
    # The joint has one update id of its own, behind the last of a copy and in front of the first of the next.
    step = end + 1 - begin[b"pu"] if b"pu" in begin else end + 2 - begin[b"U"]
    span_ns = records[-1][0] - records[0][0] + _PAUSE_NS
    joint = _joint(feed, first, snapshot)
    for copy in range(1, copies):
        ids, ms = copy * step, copy * span_ns // 1_000_000
        by_name = {b"U": ids, b"u": ids, b"pu": ids, b"t": copy * (trades[-1] - trades[0] + 1)}

        def shifted(match: re.Match[bytes], by_name: dict[bytes, int] = by_name, ms: int = ms) -> bytes:
            return b'"%b":%d' % (match[1], int(match[2]) + by_name.get(match[1], ms))

        took_ns = copy * span_ns
        yield [
            (records[0][0] + took_ns, _joint_at(joint, end + ids - step, ms)),
            *((recv_ns + took_ns, _NUMBERS.sub(shifted, payload)) for recv_ns, payload in again),
        ]


def _is_older(payload: bytes, begin: dict[bytes, int]) -> bool:
    """Say whether an update or quote is from before the first update that a copy's book is joined with."""
    name = payload[:40]
    return (b"@depth" in name or b"@bookTicker" in name) and _numbers(payload)[b"u"] < begin[b"U"]


def _joint(feed: Feed, first: bytes, snapshot: bytes | None) -> dict[str, Any]:  # Any: JSON
    """Return an update, ids and times still those of a copy's first, from where a copy ends to where it begins."""
    kernel = feed.new(ReferenceKernel)
    for chunk in feed.recording.chunks():
        kernel.run(chunk.block)
    ((_, ended),) = kernel.books.items()
    begun: dict[str, list[list[str]]] = {"bids": [], "asks": []} if snapshot is None else json.loads(snapshot)
    joint: dict[str, Any] = json.loads(first)  # Any: JSON
    data = joint["data"]
    price, size = next(iter(data["b"] + data["a"]))
    data["b"] = _way(ended.book.bids(), begun["bids"], _decimals(price), _decimals(size))
    data["a"] = _way(ended.book.asks(), begun["asks"], _decimals(price), _decimals(size))
    return joint


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _way(ended: list[Level], begun: list[list[str]], price_decimals: int, size_decimals: int) -> list[list[str]]:
    """Return levels that make one side of a book into another."""
    wanted = {price for price, _ in begun}
    gone = (f"{price / 1e8:.{price_decimals}f}" for price, _ in ended)
    return [[price, f"{0:.{size_decimals}f}"] for price in gone if price not in wanted] + begun


def _joint_at(joint: dict[str, Any], before: int, ms: int) -> bytes:  # Any: JSON
    """Return the joint behind update id `before`, its times `ms` later."""
    data = joint["data"]
    changed = {"U": before + 1, "u": before + 1, "E": data["E"] + ms}
    if "pu" in data:
        changed |= {"pu": before, "T": data["T"] + ms}
    return json.dumps(joint | {"data": data | changed}, separators=(",", ":")).encode()
