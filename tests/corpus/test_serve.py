"""A whole real capture, served: every event byte for byte, and books that clients can join at any time."""

import asyncio
import json
import random
from pathlib import Path

import pytest

from hftcap.binance.depth_sync import BookState, Verdict
from hftcap.binance.endpoints import Market
from hftcap.binance.messages import DepthDiff
from hftcap.binance.parser import Parser
from hftcap.capture.format import Kind
from hftcap.capture.reader import open_recording
from hftcap.clock import SystemClock
from hftcap.interop.importer import SourceFormat, import_capture
from hftcap.pacing import Pace, speed_of
from hftcap.serve.options import StartOn
from tests.serve.made import serving, take

SOURCES = {
    "spot": "hftbacktest/spot/btcusdt_20240808.gz",
    "usdm": "hftbacktest/usdm/btcusdt_20240808.gz",
}
JOINS = 50


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(f"serve-{name}")) for name in SOURCES]
)
def capture(request, corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("serve") / request.param
    import_capture(SourceFormat.HFTBACKTEST, [corpus / SOURCES[request.param]], out, market=None, created_ns=0)
    return out


def captured(capture: Path) -> dict[str, list[bytes]]:
    """Return the payloads of every stream in order."""
    found: dict[str, list[bytes]] = {}
    for chunk in open_recording([capture]).chunks():
        for kind, payload in zip(chunk.block.columns.kind.tolist(), chunk.block.payload_list(), strict=True):
            if kind == Kind.WS_TEXT:
                found.setdefault(json.loads(payload)["stream"], []).append(payload)
    return found


def test_every_event_is_served_byte_for_byte(capture):
    """Combined as captured; raw with the envelope cut off, a connection for each stream. All of them, in order."""
    streams = captured(capture)
    in_order = [
        payload
        for chunk in open_recording([capture]).chunks()
        for kind, payload in zip(chunk.block.columns.kind.tolist(), chunk.block.payload_list(), strict=True)
        if kind == Kind.WS_TEXT
    ]

    async def follow() -> None:
        async with serving(capture, lead_ns=500_000_000) as served:
            combined = await served.connect(f"/stream?streams={'/'.join(streams)}", max_msg_size=0)
            raw = {name: await served.connect(f"/ws/{name}", max_msg_size=0) for name in streams}

            async def check_combined() -> None:
                for at, expected in enumerate(in_order):
                    (found,) = await take(combined, 1)
                    assert found.encode() == expected, at

            async def check_raw(name: str) -> None:
                for at, expected in enumerate(streams[name]):
                    (found,) = await take(raw[name], 1)
                    assert b'{"stream":"%s","data":%s}' % (name.encode(), found.encode()) == expected, (name, at)

            await asyncio.gather(check_combined(), *map(check_raw, streams))

    asyncio.run(asyncio.wait_for(follow(), 240))


class Follower:
    """A client that keeps a book by the venue's rules: buffer, snapshot, join, and no gap behind it."""

    def __init__(self, market: Market) -> None:
        from hftcap.kernel import SymbolBook

        self.book = SymbolBook(futures=market is not Market.SPOT, expects_snapshot=True)
        self.gaps = 0

    def take(self, diff: DepthDiff) -> None:
        self.gaps += self.book.diff(diff)[0] is Verdict.GAP


class Stepped(SystemClock):
    """A clock that the test moves, so that a slow machine sees the same market as a quick one."""

    def __init__(self) -> None:
        self.now_ns = 0

    def mono_ns(self) -> int:
        return self.now_ns


def test_joins_at_random_instants_all_succeed(capture):
    """Fifty clients, each when it likes: on the first snapshot, or by asking again as documented; and no gap behind."""
    rng = random.Random(11)
    market = Market.SPOT if capture.name == "spot" else Market.USDM
    name, path = ("btcusdt@depth@100ms", "/api/v3") if market is Market.SPOT else ("btcusdt@depth@0ms", "/fapi/v1")
    tries: list[int] = []
    asking: set[int] = set()

    async def join(served, number: int) -> None:
        parse = Parser().parse
        follower = Follower(market)
        async with served.connect(f"/ws/{name}", max_msg_size=0) as websocket:
            asked = 0
            while follower.book.sync.state is not BookState.SYNCED:
                asking.discard(number)
                for text in await take(websocket, 1):
                    follower.take(parse(text.encode(), rest=False))
                asked += 1
                asking.add(number)
                status, _, _ = answer = await served.get(f"{path}/depth?symbol=BTCUSDT&limit=1000")
                assert status == 200, answer
                body = json.dumps(answer[1]).encode()
                follower.book.snapshot(parse(body, rest=True, symbol="BTCUSDT"))
                assert asked < 20
            asking.discard(number)
            for text in await take(websocket, 20):
                follower.take(parse(text.encode(), rest=False))
            assert follower.gaps == 0
            assert follower.book.sync.state is BookState.SYNCED
            assert not follower.book.book.crossed
            tries.append(asked)

    async def follow() -> None:
        clock = Stepped()
        starts = sorted(rng.randrange(5_000) for _ in range(JOINS))
        joins: list[asyncio.Task[None]] = []
        limits = {"weight_per_minute": 1_000_000}
        async with serving(capture, pace=Pace(speed_of(1)), start_on=StartOn.NOW, limits=limits, clock=clock) as served:
            step = waited = 0
            while len(tries) < JOINS:
                while starts and starts[0] <= step:
                    del starts[0]
                    asking.add(len(joins))
                    joins.append(asyncio.create_task(join(served, len(joins))))
                # The market goes on while a client asks, by up to a quarter of a second.
                if asking and waited >= 5:
                    waited = 0
                    while asking and not any(task.done() and task.exception() for task in joins):
                        await asyncio.sleep(0.001)
                waited = waited + 1 if asking else 0
                step += 1
                clock.now_ns += 50 * 1_000_000
                served.server.look()
                while (due := served.server.market.next_ns()) is not None and due <= clock.now_ns:
                    await asyncio.sleep(0)
                await asyncio.sleep(0)
                for task in joins:
                    if task.done():
                        task.result()

    asyncio.run(asyncio.wait_for(follow(), 240))
    assert len(tries) == JOINS
