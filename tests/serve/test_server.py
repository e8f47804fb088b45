"""The server on loopback, talked to as clients do. Nothing is waited for but what it sends."""

import asyncio
import json
import random
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hftcap.binance.endpoints import Market
from hftcap.errors import CannotListen, MarketsDiffer, NothingSelected
from hftcap.pacing import Pace, speed_of
from hftcap.serve.options import AtEnd, StartOn
from tests.serve.made import START_MS, diff, quote, serving, snapshot, take, trade, usual_records, write_capture

STREAMS = "btcusdt@trade/btcusdt@bookTicker/btcusdt@depth@100ms"
LEAD_NS = 500_000_000
"""For tests in which several connect before the market begins."""


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Path:
    return write_capture(tmp_path_factory.mktemp("serve") / "usual", usual_records())


@pytest.fixture
def run():
    return lambda coroutine: asyncio.run(asyncio.wait_for(coroutine, 60))


async def ask(websocket: Any, method: str, params: object = None, number: object = 1) -> dict:
    """Send a request and return its answer, passing over events."""
    await websocket.send_json({"method": method, "params": params, "id": number})
    while True:
        message = await websocket.receive(20)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        found = json.loads(message.data)
        if "result" in found or "error" in found:
            return found


def test_events_come_as_captured_raw_and_combined(usual, run):
    """Envelope off by position for the one, whole for the other, in the order of the capture."""

    async def follow() -> None:
        async with (
            serving(usual, lead_ns=LEAD_NS) as served,
            served.connect(f"/ws/{STREAMS}") as raw,
            served.connect(f"/stream?streams={STREAMS}") as combined,
        ):
            events = [record[1].decode() for record in usual_records() if len(record) == 2]
            assert await take(combined, len(events)) == events
            bare = [event.partition('"data":')[2][:-1] for event in events]
            assert await take(raw, len(events)) == bare

    run(follow())


def test_the_market_waits_for_a_stream_that_exists(usual, run):
    """Connections without streams, and names nobody has, do not start it; and are told of on stderr."""

    async def follow() -> None:
        async with serving(usual) as served, served.connect("/ws/0") as websocket:
            assert (await ask(websocket, "SUBSCRIBE", ["BTCUSDT@trade", "nousdt@trade"]))["result"] is None
            await served.get("/api/v3/time")
            assert not served.server.market.playback.begun
            await ask(websocket, "SUBSCRIBE", ["btcusdt@trade"])
            assert json.loads((await take(websocket, 1))[0])["t"] == 1
            assert any("nousdt@trade" in line for line in served.said)

    run(follow())


@pytest.mark.parametrize("start_on", [StartOn.CONNECT, StartOn.NOW])
def test_the_market_may_start_on_something_else(usual, run, start_on):
    """With the first connection, or at once."""

    async def follow() -> None:
        async with serving(usual, start_on=start_on) as served:
            if start_on is StartOn.CONNECT:
                async with served.connect("/ws"):
                    await served.ended()
            await served.ended()

    run(follow())


def test_control_requests_over_a_socket(usual, run):
    """Acknowledged without an envelope, on /stream as well; the list is in order."""

    async def follow() -> None:
        async with serving(usual) as served, served.connect("/stream?streams=") as websocket:
            assert await ask(websocket, "SUBSCRIBE", ["x@depth@100ms"], "u-1") == {"result": None, "id": "u-1"}
            assert await ask(websocket, "LIST_SUBSCRIPTIONS", None, 0) == {"result": ["x@depth@100ms"], "id": 0}
            assert await ask(websocket, "GET_PROPERTY", ["combined"], 2) == {"result": True, "id": 2}
            await websocket.send_str("hello")
            assert json.loads((await take(websocket, 1))[0])["error"]["code"] == 3

    run(follow())


def test_combined_may_be_switched(usual, run):
    """From then on events are bare, on the same connection."""

    async def follow() -> None:
        async with serving(usual) as served, served.connect("/stream") as websocket:
            await ask(websocket, "SET_PROPERTY", ["combined", False])
            await ask(websocket, "SUBSCRIBE", ["btcusdt@trade"], 2)
            assert json.loads((await take(websocket, 1))[0])["e"] == "trade"

    run(follow())


def test_the_sixth_frame_is_one_too_many(usual, run):
    """1008, with the venue's words."""

    async def follow() -> None:
        async with serving(usual) as served, served.connect("/ws") as websocket:
            for number in range(6):
                await websocket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
            await take(websocket, 5)
            message = await websocket.receive(20)
            assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 1008, "Too many requests")

    run(follow())


def test_pings_are_sent_and_their_want_of_an_answer_ends_the_connection(usual, run):
    """Each with another payload; 1008 Pong timeout."""

    async def follow() -> None:
        limits = {"ping_interval_ns": 20_000_000, "pong_deadline_ns": 200_000_000}
        async with serving(usual, limits=limits) as served, served.connect("/ws", autoping=False) as websocket:
            payloads = []
            while (message := await websocket.receive(20)).type is aiohttp.WSMsgType.PING:
                payloads.append(bytes(message.data))
            assert (message.data, message.extra) == (1008, "Pong timeout")
            assert len(set(payloads)) == len(payloads) > 2

    run(follow())


def test_answered_pings_keep_a_connection_and_its_age_ends_it(usual, run):
    """1000, cleanly."""

    async def follow() -> None:
        limits = {"ping_interval_ns": 20_000_000, "pong_deadline_ns": 60_000_000, "max_age_ns": 300_000_000}
        limits["frames_per_second"] = 100
        async with serving(usual, limits=limits) as served, served.connect("/ws") as websocket:
            message = await websocket.receive(20)
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1000)

    run(follow())


def test_a_client_ping_is_answered_with_its_payload(usual, run):
    """And an unsolicited pong, even an empty one, is taken."""

    async def follow() -> None:
        async with serving(usual) as served, served.connect("/ws", autoping=False) as websocket:
            await websocket.pong(b"")
            await websocket.ping(b"abc")
            message = await websocket.receive(20)
            assert (message.type, bytes(message.data)) == (aiohttp.WSMsgType.PONG, b"abc")

    run(follow())


def test_joining_at_any_time_gives_the_book_of_that_instant(usual, run):
    """The snapshot ends at the event sent last: the next one joins."""

    async def follow() -> None:
        async with (
            serving(usual, pace=Pace(speed_of(1))) as served,
            served.connect("/ws/btcusdt@depth@100ms") as websocket,
        ):
            last = json.loads((await take(websocket, 7))[-1])["u"]
            status, body, headers = await served.get("/api/v3/depth?symbol=BTCUSDT&limit=1")
            assert status == 200
            assert body["lastUpdateId"] >= last
            following = json.loads((await take(websocket, 1))[0])
            while following["u"] <= body["lastUpdateId"]:
                following = json.loads((await take(websocket, 1))[0])
            assert following["U"] == body["lastUpdateId"] + 1
            assert "X-Hftcap-Note" not in headers
            await served.ended()
        assert not served.said

    run(follow())


def test_before_the_market_begins_the_captured_snapshot_is_shown(usual, run):
    """Ahead of the stream, in the digits of the capture, cut to the limit."""

    async def follow() -> None:
        async with serving(usual) as served:
            _, body, headers = await served.get("/api/v3/depth?limit=2&symbol=BTCUSDT")
            assert body == json.loads(snapshot(5, levels=2))
            assert headers["X-MBX-USED-WEIGHT"] == headers["x-mbx-used-weight-1m"] == "5"
            assert headers["Content-Type"] == "application/json;charset=UTF-8"
            assert "Date" in headers

    run(follow())


def test_a_book_without_snapshot_is_shown_and_said_to_be_partial(tmp_path, run):
    """In a header and on stderr: there is no more to know."""
    records = [(at * 10, diff(at * 2 + 1, at * 2 + 2, at * 10)) for at in range(10)]

    async def follow() -> None:
        async with serving(write_capture(tmp_path / "partial", records)) as served:
            status, body, headers = await served.get("/api/v3/depth?symbol=BTCUSDT")
            assert (status, body["lastUpdateId"]) == (200, 20)
            assert "no snapshot" in headers["X-Hftcap-Note"]
            assert any("no snapshot" in line for line in served.said)

    run(follow())


def test_what_is_not_captured_is_refused(tmp_path, run):
    """A capture without depth gives none, one without trades neither."""
    records = [(at, quote(at)) for at in range(1, 5)]

    async def follow() -> None:
        async with serving(write_capture(tmp_path / "quotes", records)) as served:
            for path in ("depth", "trades", "aggTrades", "ticker/price"):
                status, body, headers = await served.get(f"/api/v3/{path}?symbol=BTCUSDT")
                assert (status, body["code"]) == (400, -1020)
                assert headers["X-Hftcap-Note"]

    run(follow())


def test_usdm_routes_that_do_not_fit_are_silent(tmp_path, run):
    """Acknowledged, listed, and nothing comes; on the right route, and without one for /public, it does."""
    records = [(at, trade(at, at)) for at in range(1, 5)] + [
        (6, b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade"}}')
    ]

    async def follow() -> None:
        async with serving(write_capture(tmp_path / "usdm", records, market=Market.USDM), lead_ns=LEAD_NS) as served:
            names = "btcusdt@trade/btcusdt@aggTrade"
            async with (
                served.connect(f"/market/stream?streams={names}") as market,
                served.connect(f"/private/stream?streams={names}") as private,
                served.connect(f"/stream?streams={names}") as plain,
                served.connect(f"/public/stream?streams={names}") as public,
            ):
                await served.ended()
                for websocket, expected in ((public, 4), (plain, 4), (market, 1), (private, 0)):
                    answer = await ask_and_count(websocket)
                    assert answer == expected

    async def ask_and_count(websocket: Any) -> int:
        await websocket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 7})
        count = 0
        while "result" not in json.loads((await take(websocket, 1))[0]):
            count += 1
        return count

    run(follow())


def test_times_can_be_had_in_another_unit(usual, run):
    """What is not known is 0; it is said so."""

    async def follow() -> None:
        async with serving(usual) as served, served.connect("/ws/btcusdt@trade?timeUnit=microsecond") as websocket:
            event = json.loads((await take(websocket, 1))[0])
            assert (event["E"], event["T"], event["t"]) == ((START_MS + 10) * 1000, (START_MS + 10) * 1000, 1)
            assert any("timeUnit" in line for line in served.said)

    run(follow())


def test_rebased_times_are_of_now(usual, run):
    """Same width; ids and prices are left alone; REST's time is the wall clock."""

    async def follow() -> None:
        async with (
            serving(usual, rebase=True, pace=Pace(speed_of(1))) as served,
            served.connect("/ws/btcusdt@trade") as websocket,
        ):
            first = json.loads((await take(websocket, 1))[0])
            now = served.server.clock.wall_ns() // 1_000_000
            assert now - 5_000 < first["E"] <= now
            assert (first["t"], first["p"]) == (1, "100.10000000")
            _, body, _ = await served.get("/api/v3/time")
            assert abs(body["serverTime"] - served.server.clock.wall_ns() // 1_000_000) < 1_000

    run(follow())


def test_aggregates_are_derived_where_asked_for(tmp_path, run):
    """Trades of one price, time and side are one; ids count from 1."""
    records = [
        (0, trade(1, 0, m=True)),
        (0, trade(2, 0, m=True)),
        (1, trade(3, 1, m=True)),
        (500, trade(4, 500, m=False)),
    ]

    async def follow() -> None:
        async with (
            serving(write_capture(tmp_path / "trades", records), derive=True) as served,
            served.connect("/ws/btcusdt@aggTrade") as websocket,
        ):
            found = [json.loads(text) for text in await take(websocket, 3)]
            assert [(each["a"], each["f"], each["l"], each["q"]) for each in found] == [
                (1, 1, 2, "1.00000000"),
                (2, 3, 3, "0.50000000"),
                (3, 4, 4, "0.50000000"),
            ]
            _, rows, _ = await served.get("/api/v3/aggTrades?symbol=BTCUSDT")
            assert [row["a"] for row in rows] == [1, 2, 3]

    run(follow())


def test_at_the_end_a_loop_begins_anew(usual, run):
    """The ids go back on purpose."""

    async def follow() -> None:
        async with serving(usual, at_end=AtEnd.LOOP) as served, served.connect("/ws/btcusdt@trade") as websocket:
            numbers = [json.loads(text)["t"] for text in await take(websocket, 80)]
            assert numbers == [*range(1, 40), *range(1, 40), 1, 2]

    run(follow())


def test_at_the_end_everything_may_close(usual, run):
    """1001, and the server is done."""

    async def follow() -> None:
        async with serving(usual, at_end=AtEnd.CLOSE) as served, served.connect("/ws/btcusdt@trade") as websocket:
            await take(websocket, 39)
            message = await websocket.receive(20)
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
            assert served.server.done.is_set()

    run(follow())


def test_it_may_begin_in_the_middle(usual, run):
    """With the books as they stand there."""
    from tests.serve.made import START_NS

    async def follow() -> None:
        async with (
            serving(usual, start_ns=START_NS + 200 * 1_000_000) as served,
            served.connect("/ws/btcusdt@trade") as websocket,
        ):
            assert json.loads((await take(websocket, 1))[0])["t"] == 20
            await served.ended()
            _, body, _ = await served.get("/api/v3/depth?symbol=BTCUSDT&limit=5000")
            assert body["lastUpdateId"] == 200
            assert len(body["bids"]) == 3

    run(follow())


def test_one_that_does_not_read_is_closed_and_holds_up_nobody(tmp_path, run):
    """1008 for the slow one, everything for the other, memory bounded."""
    big = "x" * 20_000
    records = [(at, trade(at, at, padding=big)) for at in range(1, 2_000)]

    async def follow() -> None:
        limits = {"queue_bytes": 1 << 20, "close_grace_ns": 200_000_000}
        path = write_capture(tmp_path / "big", records)
        async with serving(path, limits=limits, pace=Pace(speed_of(10)), lead_ns=LEAD_NS) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
            writer.transport.pause_reading()
            writer.write(
                b"GET /ws/btcusdt@trade HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
            )
            while not served.server.connections:
                await asyncio.sleep(0.01)
            async with served.connect("/ws/btcusdt@trade") as websocket:
                slow = served.server.connections[1]
                assert len(await take(websocket, 1_999)) == 1_999
                assert slow.closing == (1008, "Client reads too slowly")
                while 1 in served.server.connections:
                    await asyncio.sleep(0.01)
            writer.close()
            del reader

    run(follow())


def test_random_bytes_end_nothing_but_their_own_connection(usual, run):
    """On the port, and behind a handshake."""
    rng = random.Random(5)

    async def follow() -> None:
        async with serving(usual, limits={"attempts_per_5_min": 10_000}) as served:
            handshake = (
                b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
            )
            async with served.connect("/ws") as good:
                for number in range(60):
                    _, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
                    if number % 2:
                        writer.write(handshake)
                    writer.write(rng.randbytes(rng.randrange(1, 3_000)))
                    await writer.drain()
                    if number % 3:
                        writer.transport.abort()
                    else:
                        writer.close()
                assert (await ask(good, "SUBSCRIBE", ["btcusdt@trade"]))["result"] is None
                assert len(await take(good, 39)) == 39
                assert (await served.get("/api/v3/ping"))[:2] == (200, {})

    run(follow())


def test_tls_with_a_certificate_of_ones_own(usual, run, tmp_path):
    """Https and wss on the one port."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"]
    subprocess.run(words, check=True, capture_output=True)
    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))

    async def follow() -> None:
        async with serving(usual, tls=(tmp_path / "cert.pem", tmp_path / "key.pem")) as served:
            assert (await served.get("/api/v3/ping", ssl=context))[0] == 200
            async with served.connect("/ws/btcusdt@trade", ssl=context) as websocket:
                assert len(await take(websocket, 39)) == 39

    run(follow())


def test_a_port_that_is_taken_is_an_error_in_words(usual, run):
    """Likewise a certificate that is none."""

    async def follow() -> None:
        async with serving(usual) as served:
            with pytest.raises(CannotListen, match="cannot listen"):
                async with serving(usual, port=served.server.port):
                    pass
        with pytest.raises(CannotListen):
            async with serving(usual, tls=(usual / "none", usual / "none")):
                pass

    run(follow())


def test_a_capture_of_another_market_or_of_nothing_is_refused(usual, tmp_path, run):
    """By name."""

    async def follow() -> None:
        with pytest.raises(MarketsDiffer):
            async with serving(usual, market=Market.USDM):
                pass
        with pytest.raises(NothingSelected):
            async with serving(write_capture(tmp_path / "none", [(0, snapshot(1), "BTCUSDT")])):
                pass

    run(follow())


def test_connection_attempts_are_limited(usual, run):
    """429 with the time to wait; REST is not concerned."""

    async def follow() -> None:
        async with serving(usual, limits={"attempts_per_5_min": 2}) as served:
            for _ in range(2):
                async with served.connect("/ws"):
                    pass
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await served.connect("/ws")
            assert refused.value.status == 429
            assert 0 < int(refused.value.headers["Retry-After"]) <= 300
            assert (await served.get("/ws"))[0] == 400

    run(follow())


def test_the_websocket_api_answers_ping_time_and_depth(usual, run):
    """With the id, the status, and what was used of the weight; numbers may be text."""

    async def follow() -> None:
        async with serving(usual) as served, served.connect("/ws-api/v3") as websocket:

            async def call(**fields: Any) -> dict:
                await websocket.send_json(fields)
                return json.loads((await take(websocket, 1))[0])

            pong = await call(id="a", method="ping")
            assert (pong["id"], pong["status"], pong["result"]) == ("a", 200, {})
            assert pong["rateLimits"][0]["count"] == 3
            assert (await call(id=2, method="time"))["result"]["serverTime"] >= START_MS
            params = {"symbol": "BTCUSDT", "limit": "2"}
            depth = await call(id=3, method="depth", params=params)
            assert depth["result"] == json.loads(snapshot(5, levels=2))
            bad = await call(id=4, method="depth", params={"symbol": "NOPE"})
            assert (bad["status"], bad["error"]["code"]) == (400, -1121)
            assert (await call(id=5, method="no"))["error"]["code"] == -1020

    run(follow())
