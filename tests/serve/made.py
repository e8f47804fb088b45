"""Small captures for the tests of serve, and a server on loopback to talk to."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from hftcap.binance.endpoints import Market
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.clock import Clock, SystemClock
from hftcap.pacing import Pace
from hftcap.serve.market import ServedMarket
from hftcap.serve.options import Options
from hftcap.serve.server import Server

START_NS = 1_700_000_000_000_000_000
START_MS = START_NS // 1_000_000
MS = 1_000_000

Record = tuple[int, bytes] | tuple[int, bytes, str]
"""Milliseconds behind the start, payload, and for a REST snapshot its symbol."""


def enveloped(stream: str, event: dict[str, Any]) -> bytes:
    return json.dumps({"stream": stream, "data": event}, separators=(",", ":"), ensure_ascii=False).encode()


def trade(number: int, at_ms: int = 0, *, symbol: str = "BTCUSDT", price: str = "100.10000000", **more: Any) -> bytes:
    event = {"e": "trade", "E": START_MS + at_ms, "s": symbol, "t": number, "p": price, "q": "0.50000000"}
    event |= {"T": START_MS + at_ms, "m": number % 2 == 0, "M": True} | more
    return enveloped(f"{symbol.lower()}@trade", event)


def quote(number: int, *, symbol: str = "BTCUSDT") -> bytes:
    event = {"u": number, "s": symbol, "b": "100.00000000", "B": "1.00000000", "a": "100.20000000", "A": "2.00000000"}
    return enveloped(f"{symbol.lower()}@bookTicker", event)


def diff(first: int, final: int, at_ms: int = 0, *, symbol: str = "BTCUSDT", size: str = "1.00000000") -> bytes:
    event = {"e": "depthUpdate", "E": START_MS + at_ms, "s": symbol, "U": first, "u": final}
    event |= {"b": [["100.00000000", size]], "a": [["100.20000000", size]]}
    return enveloped(f"{symbol.lower()}@depth@100ms", event)


def snapshot(number: int, *, levels: int = 3) -> bytes:
    body = {
        "lastUpdateId": number,
        "bids": [[f"{100 - at}.00000000", "3.00000000"] for at in range(levels)],
        "asks": [[f"{101 + at}.00000000", "4.00000000"] for at in range(levels)],
    }
    return json.dumps(body, separators=(",", ":")).encode()


def write_capture(
    folder: Path, records: Iterable[Record], *, market: Market = Market.SPOT, lines: Iterable[int] | None = None
) -> Path:
    """Write records into a capture; `lines` says over which connection each came, all over one if None."""
    head = CaptureHead("00112233445566aa", str(market), TimeBase.WALL, False, START_NS, "0.1.0")
    records = list(records)
    with CaptureWriter(folder, head, fsync=False) as writer:
        for record, line in zip(records, lines or [0] * len(records), strict=True):
            at_ms, payload, *symbol = record
            note = {"note": "rest", "symbol": symbol[0]} if symbol else None
            kind = Kind.REST if symbol else Kind.WS_TEXT
            writer.add(payload, START_NS + at_ms * MS, kind=kind, conn=line, note=note)
    return folder


def usual_records(count: int = 40) -> list[Record]:
    """Return trades, quotes and updates, every 10 ms one, with a snapshot near the beginning."""
    records: list[Record] = [(0, diff(1, 5)), (5, snapshot(5), "BTCUSDT")]
    for number in range(1, count):
        at = number * 10
        records += [
            (at, trade(number, at)),
            (at, quote(number * 5 + 4)),
            (at, diff(number * 5 + 1, number * 5 + 5, at)),
        ]
    return records


class Served:
    """A server that runs, and what it said."""

    def __init__(self, server: Server, said: list[str], session: aiohttp.ClientSession) -> None:
        self.server = server
        self.said = said
        self.session = session
        scheme = "s" if server.options.tls else ""
        self.rest = f"http{scheme}://127.0.0.1:{server.port}"
        self.ws = f"ws{scheme}://127.0.0.1:{server.port}"

    async def get(self, path: str, **more: Any) -> tuple[int, Any, Any]:
        """Return status, body and headers of a request."""
        async with self.session.get(self.rest + path, **more) as answer:
            text = await answer.text()
            try:
                return answer.status, json.loads(text), answer.headers
            except ValueError:
                return answer.status, text, answer.headers

    def connect(self, path: str, **more: Any) -> Any:
        return self.session.ws_connect(self.ws + path, **more)

    async def fault(self, **fault: Any) -> None:
        async with self.session.post(self.rest + "/hftcap/faults", json=fault) as answer:
            assert answer.status == 200, await answer.text()

    async def ended(self) -> None:
        """Wait until the market has sent all."""
        while not self.server.market.ended:
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(
    *captures: Path, lead_ns: int = 0, clock: Clock | None = None, **options: Any
) -> AsyncIterator[Served]:
    """Serve captures as fast as they can be taken, unless told otherwise."""
    options.setdefault("pace", Pace(None))
    clock = clock or SystemClock()
    chosen = Options(captures=list(captures), **options)
    said: list[str] = []
    server = Server(chosen, ServedMarket(chosen, clock), clock, said.append, lead_ns=lead_ns)
    await server.start()
    running = asyncio.create_task(server.run())
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:
            yield Served(server, said, session)
    finally:
        server.done.set()
        await running


async def take(websocket: Any, count: int) -> list[str]:
    """Return so many text messages."""
    found = []
    while len(found) < count:
        message = await websocket.receive(20)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        found.append(message.data)
    return found
