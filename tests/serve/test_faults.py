"""Faults come when they are told to, the same in every run, and each does what it says."""

import asyncio
import contextlib
import json
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.errors import BadFaults
from hftcap.pacing import Pace, speed_of
from hftcap.serve.faults import Fault, FaultKind, FaultPlan, Trigger, fault_of, read_faults
from hftcap.serve.options import StartOn
from tests.serve.made import serving, take, usual_records, write_capture

TRADES = {"stream": "*@trade"}
LEAD_NS = 300_000_000
CLOSES = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR)


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Path:
    return write_capture(tmp_path_factory.mktemp("faults") / "usual", usual_records())


@pytest.fixture
def run():
    return lambda coroutine: asyncio.run(asyncio.wait_for(coroutine, 60))


def fired(fault: Fault, count: int) -> list[int]:
    """Return which of so many events, 10 ms apart, a fault comes with."""
    trigger = Trigger(fault)
    return [number for number in range(1, count + 1) if trigger.fires(number * 10_000_000)]


def test_when_a_fault_comes():
    """Each so manyth, the so manyth, at a market time, by chance, and so often at most."""
    assert fired(Fault(FaultKind.DROP, every=3), 10) == [3, 6, 9]
    assert fired(Fault(FaultKind.DROP, at=(2, 5)), 10) == [2, 5]
    assert fired(Fault(FaultKind.DROP, at_ns=45_000_000), 10) == [5]
    assert fired(Fault(FaultKind.DROP, every=2, count=2), 10) == [2, 4]
    assert fired(Fault(FaultKind.DROP), 3) == [1, 2, 3]
    assert fired(Fault(FaultKind.CUT), 3) == [1]
    by_chance = fired(Fault(FaultKind.DROP, probability=0.1, seed=4), 1_000)
    assert by_chance == fired(Fault(FaultKind.DROP, probability=0.1, seed=4), 1_000)
    assert by_chance != fired(Fault(FaultKind.DROP, probability=0.1, seed=5), 1_000)
    assert 60 < len(by_chance) < 140


def test_a_plan_asks_only_faults_of_that_stream():
    """By shell pattern; each counts its own."""
    plan = FaultPlan((Fault(FaultKind.DROP, stream="*@depth*", every=2), Fault(FaultKind.STATUS, path="depth")))
    streams = ["a@trade", "a@depth@100ms", "b@depth", "a@depth@100ms"]
    assert [len(plan.on_event(name, 0)) for name in streams] == [0, 0, 1, 0]
    assert len(plan.on_request("depth", 0)) == 1
    assert not plan.on_request("time", 0)


def test_a_file_of_faults(tmp_path):
    """Every key, and limits scaled."""
    path = tmp_path / "faults.toml"
    path.write_text(
        '[limits]\nping_interval = "1s"\nstreams = 3\n'
        '[[fault]]\nkind = "delay"\nstream = "*@trade"\nfor = "1.5s"\nat = "+30s"\n'
        '[[fault]]\nkind = "clock"\noffset = "-2s"\ndrift_ppm = 3\n'
    )
    faults, limits = read_faults(path)
    assert limits == {"ping_interval_ns": 1_000_000_000, "streams": 3}
    assert faults[0] == Fault(FaultKind.DELAY, stream="*@trade", for_ns=1_500_000_000, at_ns=30_000_000_000)
    assert (faults[1].offset_ns, faults[1].drift_ppm) == (-2_000_000_000, 3.0)


@pytest.mark.parametrize(
    "text",
    [
        "fault = 1",
        "[[fault]]\n",
        '[[fault]]\nkind = "explode"\n',
        '[[fault]]\nkind = "drop"\nevery = "x"\n',
        '[[fault]]\nkind = "drop"\nevery = 0\n',
        '[[fault]]\nkind = "drop"\nat = 0\n',
        '[[fault]]\nkind = "drop"\nfor = 3\n',
        '[[fault]]\nkind = "drop"\nstreams = "x"\n',
        '[[fault]]\nkind = "cut"\nhow = "softly"\n',
        '[limits]\nping_interval = "soon"\n',
        "[other]\n",
        "not toml",
    ],
)
def test_a_file_that_says_what_is_not_known_is_refused(tmp_path, text):
    """In one sentence that names the file."""
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(BadFaults, match=r"faults\.toml"):
        read_faults(path)


@given(st.dictionaries(st.text() | st.sampled_from(["kind", "at", "every", "for"]), st.integers() | st.text()))
def test_any_entry_is_a_fault_or_refused(entry):
    """With a ValueError, nothing else."""
    with contextlib.suppress(ValueError):
        fault_of(entry)


def trades(fault: dict, usual: Path, run, count: int) -> list[int]:
    """Return the ids of so many trades under a fault."""

    async def follow() -> list[int]:
        async with serving(usual, faults=(fault_of({"stream": "*@trade"} | fault),)) as served:
            async with served.connect("/ws/btcusdt@trade") as websocket:
                return [json.loads(text)["t"] for text in await take(websocket, count)]

    return run(follow())


def test_events_are_dropped_doubled_and_swapped(usual, run):
    """As many as there are then, in that order."""
    assert trades({"kind": "drop", "every": 10}, usual, run, 36) == [n for n in range(1, 40) if n % 10]
    assert trades({"kind": "duplicate", "at": [2, 4]}, usual, run, 7) == [1, 2, 2, 3, 4, 4, 5]
    assert trades({"kind": "reorder", "at": 3}, usual, run, 6) == [1, 2, 4, 3, 5, 6]
    assert trades({"kind": "delay", "at": 3, "for": "200ms"}, usual, run, 39) == [1, 2, *range(4, 40), 3]


def test_a_dropped_update_is_in_the_book_all_the_same(usual, run):
    """It is the client that misses it, not the venue."""

    async def follow() -> None:
        faults = (fault_of({"kind": "drop", "stream": "*@depth*"}),)
        async with serving(usual, faults=faults, start_on=StartOn.NOW) as served:
            await served.ended()
            _, body, _ = await served.get("/api/v3/depth?symbol=BTCUSDT")
            assert body["lastUpdateId"] == 200

    run(follow())


@pytest.mark.parametrize("kind", ["fragment", "ping_inside"])
def test_fragments_make_up_the_event(usual, run, kind):
    """With a ping between them or without."""

    async def follow() -> None:
        async with serving(usual, faults=(fault_of({"kind": kind, "pieces": 4}),)) as served:
            async with served.connect("/stream?streams=btcusdt@trade") as websocket:
                expected = [record[1].decode() for record in usual_records() if b"@trade" in record[1]]
                assert await take(websocket, 39) == expected

    run(follow())


def test_malformed_and_very_big_frames(usual, run):
    """JSON that does not end; 8 MiB of nothing before an event."""

    async def follow() -> None:
        faults = (fault_of({"kind": "malformed", "at": 1} | TRADES), fault_of({"kind": "big", "at": 2} | TRADES))
        async with serving(usual, faults=faults) as served:
            async with served.connect("/ws/btcusdt@trade", max_msg_size=16 << 20) as websocket:
                first, second, third = await take(websocket, 3)
                with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
                    json.loads(first)
                assert len(second) > 8 << 20
                assert json.loads(third)["t"] == 2

    run(follow())


@pytest.mark.parametrize(
    ("how", "expected"), [("close", (1013, "try again")), ("rst", (1006, None)), ("mid-frame", (1006, None))]
)
def test_connections_are_cut(usual, run, how, expected):
    """In good order with a code, by a reset, or in the middle of a frame; and one may come again."""

    async def follow() -> None:
        fault = fault_of({"kind": "cut", "how": how, "code": 1013, "reason": "try again", "at": 5, "stream": "*@trade"})
        async with serving(usual, faults=(fault,)) as served:
            async with served.connect("/ws/btcusdt@trade") as websocket:
                numbers = []
                while (message := await websocket.receive(20)).type is aiohttp.WSMsgType.TEXT:
                    numbers.append(json.loads(message.data)["t"])
                assert numbers == [1, 2, 3, 4]
                assert message.type in CLOSES
                if expected[0] != 1006:
                    assert (message.data, message.extra) == expected
                else:
                    assert message.type is not aiohttp.WSMsgType.CLOSE
            async with served.connect("/ws/btcusdt@trade") as websocket:
                assert not websocket.closed

    run(follow())


def test_half_open_connections_answer_pings_and_send_no_data(usual, run):
    """Only the one that is named."""

    async def follow() -> None:
        fault = fault_of({"kind": "half_open", "at": 5, "stream": "*@trade", "connection": 1})
        async with serving(usual, faults=(fault,), lead_ns=LEAD_NS) as served:
            async with (
                served.connect("/ws/btcusdt@trade", autoping=False) as websocket,
                served.connect("/ws/btcusdt@trade") as other,
            ):
                assert len(await take(other, 39)) == 39
                assert len(await take(websocket, 4)) == 4
                await websocket.ping(b"there?")
                message = await websocket.receive(20)
                assert (message.type, bytes(message.data)) == (aiohttp.WSMsgType.PONG, b"there?")

    run(follow())


def test_a_stalled_connection_catches_up(usual, run):
    """Everything comes, later."""

    async def follow() -> None:
        fault = fault_of({"kind": "stall", "at": 5, "for": "300ms"})
        async with serving(usual, faults=(fault,)) as served, served.connect("/ws/btcusdt@trade") as websocket:
            await served.ended()
            assert [json.loads(text)["t"] for text in await take(websocket, 39)] == list(range(1, 40))

    run(follow())


@pytest.mark.parametrize("combined", [True, False])
def test_shutdown_is_announced_in_the_shape_of_the_connection(usual, run, combined):
    """Then comes the close."""

    async def follow() -> None:
        fault = fault_of({"kind": "shutdown", "at": 2, "stream": "*@trade", "for": "50ms"})
        path = "/stream?streams=btcusdt@trade" if combined else "/ws/btcusdt@trade"
        async with serving(usual, faults=(fault,), pace=Pace(speed_of(1))) as served:
            async with served.connect(path) as websocket:
                found = [json.loads(text) for text in await take(websocket, 2)][1]
                if combined:
                    assert found["stream"] == "!serverShutdown"
                    found = found["data"]
                assert found["e"] == "serverShutdown"
                assert len(str(found["E"])) == 13
                while (message := await websocket.receive(20)).type is aiohttp.WSMsgType.TEXT:
                    pass
                assert message.data == 1001

    run(follow())


def test_a_subscription_may_be_acknowledged_and_forgotten(usual, run):
    """The next is not."""

    async def follow() -> None:
        async with serving(usual, faults=(fault_of({"kind": "silent"}),), start_on=StartOn.NOW) as served:
            async with served.connect("/ws") as websocket:
                for number in (1, 2):
                    await websocket.send_json({"method": "SUBSCRIBE", "params": [f"s{number}@trade"], "id": number})
                assert [json.loads(text)["id"] for text in await take(websocket, 2)] == [1, 2]
                assert set(served.server.market.hub.topics) >= {"s2@trade"}
                assert "s1@trade" not in served.server.market.hub.topics

    run(follow())


def test_an_age_limit_for_connections_that_open_now(usual, run):
    """From the control endpoint."""

    async def follow() -> None:
        async with serving(usual, limits={"close_grace_ns": 40_000_000}) as served:
            await served.fault(kind="age", **{"for": "50ms"})
            async with served.connect("/ws") as websocket:
                message = await websocket.receive(20)
                assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1000)

    run(follow())


@pytest.mark.parametrize(("status", "code"), [(429, -1003), (418, -1003), (451, 0), (503, -1000), (403, -1000)])
def test_rest_may_be_refused(usual, run, status, code):
    """With Retry-After where the venue has it; only on that path, as often as told."""

    async def follow() -> None:
        async with serving(usual) as served:
            await served.fault(kind="status", status=status, retry_after=7, path="depth", count=1)
            found, body, headers = await served.get("/api/v3/depth?symbol=BTCUSDT")
            assert (found, body["code"]) == (status, code)
            assert ("Retry-After" in headers) is (status in (418, 429))
            assert (await served.get("/api/v3/time"))[0] == 200
            assert (await served.get("/api/v3/depth?symbol=BTCUSDT"))[0] == 200

    run(follow())


def test_rest_bodies_may_be_late_or_cut(usual, run):
    """The length promised is not the length that comes."""

    async def follow() -> None:
        async with serving(usual) as served:
            await served.fault(kind="slow", path="time", **{"for": "80ms"})
            before = asyncio.get_running_loop().time()
            assert (await served.get("/api/v3/time"))[0] == 200
            assert asyncio.get_running_loop().time() - before >= 0.08
            await served.fault(kind="cut_body", path="exchangeInfo")
            with pytest.raises(aiohttp.ClientPayloadError):
                await served.get("/api/v3/exchangeInfo")

    run(follow())


def test_snapshots_may_be_stale_or_ahead(usual, run):
    """Older than any event of the stream that is to come, or beyond those that came."""

    async def follow() -> None:
        async with serving(usual, pace=Pace(speed_of(1))) as served:
            async with served.connect("/ws/btcusdt@depth@100ms") as websocket:
                last = json.loads((await take(websocket, 8))[-1])["u"]
                _, first, _ = await served.get("/api/v3/depth?symbol=BTCUSDT")
                await served.fault(kind="ahead", updates=4, count=1)
                _, ahead, _ = await served.get("/api/v3/depth?symbol=BTCUSDT")
                assert ahead["lastUpdateId"] >= last + 20
                await served.fault(kind="stale")
                await take(websocket, 20)
                _, stale, _ = await served.get("/api/v3/depth?symbol=BTCUSDT")
                assert stale["lastUpdateId"] == first["lastUpdateId"]

    run(follow())


def test_the_venues_clock_may_be_wrong(usual, run):
    """In events and in REST alike; ids stay."""

    async def follow() -> None:
        faults = (fault_of({"kind": "clock", "offset": "2s"}),)
        async with serving(usual, faults=faults) as served, served.connect("/ws/btcusdt@trade") as websocket:
            original = json.loads(usual_records()[2][1])["data"]
            event = json.loads((await take(websocket, 1))[0])
            assert event == original | {"E": original["E"] + 2_000, "T": original["T"] + 2_000}

    run(follow())


def test_the_control_endpoint(usual, run):
    """Faults come and go; what is no fault is refused; a page in a browser cannot send one."""

    async def follow() -> None:
        async with serving(usual) as served:
            await served.fault(kind="drop", every=2)
            _, status, _ = await served.get("/hftcap/status")
            assert status["faults"] == [{"kind": "drop", "seen": 0, "fired": 0}]
            assert status["begun"] is False
            async with served.session.delete(served.rest + "/hftcap/faults") as answer:
                assert answer.status == 200
            assert (await served.get("/hftcap/status"))[1]["faults"] == []
            for body, expected in ((b'{"kind":"no"}', 400), (b"{", 400), (b"3", 400)):
                headers = {"Content-Type": "application/json"}
                async with served.session.post(served.rest + "/hftcap/faults", data=body, headers=headers) as answer:
                    assert answer.status == expected
            async with served.session.post(served.rest + "/hftcap/faults", data=b'{"kind":"drop"}') as answer:
                assert answer.status == 415

    run(follow())
