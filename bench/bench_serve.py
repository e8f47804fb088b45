"""What a client that reads nothing does to others, and how fast one client is fed.

    python bench/bench_serve.py [--corpus FOLDER] [--seconds N]

1. Twenty clients with three streams each at ten times, without and with one beside them that reads nothing, in turns.
   A message's delay is when its last byte came less when it was due, from the quickest message of that run on. Exits 1
   where the best p99 with it is more than 2 ms above the best without, the one is not closed, or memory grows by more
   than what may wait for one client.
2. All frames as fast as they can be taken by one client, and the same frames from a bare aiohttp sender, in turns.
   Exits 1 where the best rate is below half of its best.

Of several turns the best counts, since other work on the machine only ever makes a turn worse.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hftcap.capture.format import Kind
from hftcap.capture.reader import open_recording
from hftcap.interop.importer import SourceFormat, import_capture
from hftcap.serve.limits import QUEUE_BYTES
from hftcap.serve.wire import header

SOURCE = "hftbacktest/usdm/btcusdt_20240808.gz"
STREAMS = "btcusdt@trade/btcusdt@bookTicker/btcusdt@depth@0ms"
CLIENTS, SPEED, TURNS = 20, 10, 3
WITHIN_NS = 2_000_000
KERNEL_BYTES = 16 << 20
"""What the system may keep for a connection, and what a server's memory may grow by for other reasons."""
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
BARE = """
import asyncio, sys
from pathlib import Path
from aiohttp import web

payloads = [line.decode() for line in Path(sys.argv[1]).read_bytes().split(b"\\n")[:-1]]

async def answer(request):
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    for payload in payloads:
        await websocket.send_str(payload)
    await websocket.receive()
    return websocket

async def main():
    server = web.Server(answer)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Reader(asyncio.Protocol):
    """Notes when how many bytes had come; what they were is known."""

    def __init__(self, path: str, size: int) -> None:
        self.chunks: list[tuple[int, int]] = []
        self.size = size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._path = path
        self._head = b""
        self._begun = False
        self._bytes = 0

    def connection_made(self, transport: Any) -> None:  # Any: asyncio's
        transport.write(HANDSHAKE.format(path=self._path).encode())

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 101 " in head, head
            self._begun = True
        self._bytes += len(data)
        self.chunks.append((time.monotonic_ns(), self._bytes))
        if self._bytes >= self.size and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"ended after {self._bytes} of {self.size} bytes"))

    def received_ns(self, ends: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return when the last byte of each frame had come."""
        times, sizes = np.array(self.chunks).T
        return times[np.searchsorted(sizes, ends)]


class Frames:
    """The capture's frames as a combined connection gets them, and when each is due, from the first on."""

    def __init__(self, capture: Path, seconds: float) -> None:
        self.payloads: list[bytes] = []
        times: list[int] = []
        for chunk in open_recording([capture]).chunks():
            kinds = chunk.block.columns.kind.tolist()
            for kind, at, payload in zip(kinds, chunk.timeline_ns.tolist(), chunk.block.payload_list(), strict=True):
                if kind == Kind.WS_TEXT:
                    self.payloads.append(payload)
                    times.append(at)
        due = (np.array(times) - times[0]) // SPEED
        count = int(np.searchsorted(due, int(seconds * 1e9)))
        sizes = np.array([len(header(len(payload))) + len(payload) for payload in self.payloads])
        self.all_bytes = int(sizes.sum())
        self.due_ns, self.ends = due[:count], np.cumsum(sizes)[:count]


class Served:
    """`hftcap serve` in a process of its own."""

    def __init__(self, capture: Path, *words: str) -> None:
        command = [sys.executable, "-m", "hftcap", "serve", str(capture), "--port", "0", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.rest = json.loads(self.process.stdout.readline())["rest"]
        self.port = int(self.rest.rpartition(":")[2])

    def status(self) -> Any:  # Any: JSON
        with urllib.request.urlopen(f"{self.rest}/hftcap/status", timeout=30) as answer:  # noqa: S310  our own
            return json.loads(answer.read())

    def peak_bytes(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
        return 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


async def follow(port: int, path: str, size: int, count: int) -> list[Reader]:
    """Let so many clients read so many bytes."""
    loop = asyncio.get_running_loop()
    readers = []
    for _ in range(count):
        transport, reader = await loop.create_connection(lambda: Reader(path, size), "127.0.0.1", port)
        readers.append((transport, reader))
    await asyncio.gather(*(reader.done for _, reader in readers))
    for transport, _ in readers:
        transport.abort()
    return [reader for _, reader in readers]


def idle_client(port: int, path: str) -> socket.socket:
    """Connect, and never read."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # or the system takes what is meant to pile up
    found.connect(("127.0.0.1", port))
    found.sendall(HANDSHAKE.format(path=path).encode())
    return found


def delays(capture: Path, frames: Frames, *, beside: bool) -> tuple[float, float, int, bool]:
    """Return p50 and p99 of the delays in ns, the server's peak memory, and whether the idle client was closed."""
    served = Served(capture, "--speed", str(SPEED))
    path = f"/public/stream?streams={STREAMS}"
    idle = idle_client(served.port, path) if beside else None
    readers = asyncio.run(follow(served.port, path, int(frames.ends[-1]), CLIENTS))
    late = np.concatenate([reader.received_ns(frames.ends) - frames.due_ns for reader in readers])
    late -= late.min()
    closed = beside and "1" not in served.status()["connections"]
    peak = served.peak_bytes()
    served.stop()
    if idle is not None:
        idle.close()
    p50, p99 = np.percentile(late, [50, 99])
    return float(p50), float(p99), peak, closed


def beside_an_idle_one(capture: Path, frames: Frames) -> bool:
    found: dict[bool, list[float]] = {False: [], True: []}
    peaks: dict[bool, list[int]] = {False: [], True: []}
    kept = True
    print(f"{'20 clients at 10x, delay in ms':34} {'p50':>8} {'p99':>8} {'peak MB':>8}")
    for _ in range(TURNS):
        for beside in (False, True):
            p50, p99, peak, closed = delays(capture, frames, beside=beside)
            found[beside].append(p99)
            peaks[beside].append(peak)
            name = "beside one that reads nothing" if beside else "alone"
            told = ", closed" if closed else ""
            print(f"{name + told:34} {p50 / 1e6:8.3f} {p99 / 1e6:8.3f} {peak / 1e6:8.1f}", flush=True)
            kept &= closed or not beside
    more = min(found[True]) - min(found[False])
    grown = statistics.median(peaks[True]) - statistics.median(peaks[False])
    print(f"p99 {more / 1e6:+.3f} ms, memory {grown / 1e6:+.1f} MB beside one that reads nothing")
    return kept and more <= WITHIN_NS and grown <= QUEUE_BYTES + KERNEL_BYTES


def rate(port: int, path: str, frames: Frames) -> float:
    """Return frames a second, from the first byte to the last."""
    (reader,) = asyncio.run(follow(port, path, frames.all_bytes, 1))
    return len(frames.payloads) / ((reader.chunks[-1][0] - reader.chunks[0][0]) / 1e9)


def against_a_bare_sender(capture: Path, frames: Frames, folder: Path) -> bool:
    lines = folder / "payloads"
    lines.write_bytes(b"".join(payload + b"\n" for payload in frames.payloads))
    ours, bare = [], []
    for _ in range(TURNS):
        served = Served(capture, "--speed", "max")
        ours.append(rate(served.port, f"/public/stream?streams={STREAMS}", frames))
        served.stop()
        command = [sys.executable, "-c", BARE, str(lines)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
            assert sender.stdout is not None
            bare.append(rate(int(sender.stdout.readline()), "/", frames))
            sender.terminate()
        print(f"frames a second: serve {ours[-1]:,.0f}, bare aiohttp {bare[-1]:,.0f}", flush=True)
    ratio = max(ours) / max(bare)
    print(f"serve at full speed is {ratio:.2f} of a bare aiohttp sender")
    return ratio >= 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default=os.environ.get("HFTCAP_CORPUS"))
    parser.add_argument("--seconds", type=float, default=27.0, help="How long each paced turn is measured.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        capture = Path(name) / "capture"
        if not options.corpus:
            sys.exit("the real captures are needed: HFTCAP_CORPUS is not set")
        import_capture(SourceFormat.HFTBACKTEST, [Path(options.corpus) / SOURCE], capture, market=None, created_ns=0)
        frames = Frames(capture, options.seconds)
        kept = against_a_bare_sender(capture, frames, Path(name))
        kept &= beside_an_idle_one(capture, frames)
    if not kept:
        sys.exit("a promise is broken")


if __name__ == "__main__":
    main()
