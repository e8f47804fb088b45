"""The server: sockets, tasks and the real clock around the pure parts. One event loop, one market clock for all.

_serve_market     sends what is due, then lets the books follow while there is time
_watch            pings, deadlines
answer            one HTTP request, or one WebSocket connection until it ends
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from hftcap.clock import Clock
from hftcap.errors import CannotListen
from hftcap.serve.connection import SOFT_BYTES, TOO_SLOW, Connection
from hftcap.serve.faults import Fault, FaultKind
from hftcap.serve.http import HttpFront
from hftcap.serve.hub import Outlet
from hftcap.serve.market import ServedMarket
from hftcap.serve.options import AtEnd, Options, StartOn
from hftcap.serve.sending import shutdown_frame
from hftcap.serve.session import POLICY, Close
from hftcap.serve.wire import PING, frame

LEAD_NS = 1_000_000_000
"""So long after what starts it the market begins: clients subscribe in several steps."""
GOING_AWAY = 1001
_SETTLE_NS = 2_000_000
_SETTLE_RECORDS = 8
_WATCH_LEAST_NS, _WATCH_MOST_NS = 10_000_000, 250_000_000


class Server:
    """A capture being served. `say` gets lines for people, each once."""

    def __init__(
        self,
        options: Options,
        market: ServedMarket,
        clock: Clock,
        say: Callable[[str], None],
        *,
        lead_ns: int = LEAD_NS,
    ) -> None:
        self.options = options
        self.market = market
        self.clock = clock
        self.connections: dict[int, Connection] = {}
        self.port = 0
        self.done = asyncio.Event()
        self._lead_ns = lead_ns
        self._say = say
        self._said: set[str] = set()
        self._start_ns: int | None = None
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._front = HttpFront(self)
        self._accepted = 0
        market.attach(self)

    def say(self, text: str) -> None:
        """Tell something once."""
        if text not in self._said and len(self._said) < 1_000:
            self._said.add(text)
            self._say(text)

    async def start(self) -> None:
        """Listen.

        Raises:
            CannotListen: the address is taken, or the certificate cannot be used.
        """
        options = self.options
        where = f"{options.host} port {options.port}"
        context: ssl.SSLContext | None = None
        try:
            if options.tls is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*options.tls)
            self._http = web.Server(self._front.answer, access_log=None)
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(self._http, options.host, options.port, ssl=context)
        except (OSError, ValueError) as error:
            raise CannotListen(where, str(error)) from None
        self.port = self._listener.sockets[0].getsockname()[1]
        self._tasks = [asyncio.create_task(self._serve_market()), asyncio.create_task(self._watch())]
        for task in self._tasks:
            task.add_done_callback(self._ended)
        if options.start_on is StartOn.NOW:
            self.begin(0)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        # A task that fails must end the server: a market that silently stands still would look like a quiet one.
        if not task.cancelled() and task.exception() is not None:
            self.done.set()

    async def run(self) -> None:
        """Serve until `done` is set, then say goodbye to all."""
        await self.done.wait()
        self._listener.close()
        for connection in list(self.connections.values()):
            connection.close(GOING_AWAY, "")
        if self.connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._front.nobody_left(), 1)
        failed = [task for task in self._tasks if task.done() and not task.cancelled() and task.exception()]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.shutdown(0.5)
        for task in failed:
            task.result()

    # The market

    def begin(self, lead_ns: int | None = None) -> None:
        """Let the market begin when some time has passed, unless it has begun."""
        if self._start_ns is None:
            self._start_ns = self.clock.mono_ns() + (self._lead_ns if lead_ns is None else lead_ns)
            self._wake.set()

    def look(self) -> None:
        """Let the market look at its clock now, which may have been moved."""
        self._wake.set()

    def wanted(self, names: list[str]) -> None:
        """Take note that streams were subscribed to: the market may begin by it."""
        exist = [name for name in names if self.market.has(name)]
        for name in names:
            if name not in exist:
                self.say(f"hftcap: {name} was asked for, which is not in the capture: it stays silent")
        if exist and self.options.start_on is StartOn.FIRST_SUBSCRIBE:
            self.begin()

    async def _serve_market(self) -> None:
        market, clock = self.market, self.clock
        while self._start_ns is None:
            await self._until(None)
        while (now := clock.mono_ns()) < self._start_ns:
            await self._until(self._start_ns)
        market.begin(now, clock.wall_ns())
        while not market.ended:
            if market.send_due(clock.mono_ns(), clock.wall_ns()):
                self.flush()
                await asyncio.sleep(0)
                if not market.playback.paced:
                    await self._keep_up()
                continue
            self.flush()
            next_ns = market.next_ns()
            if next_ns is None:
                continue
            if next_ns - clock.mono_ns() > _SETTLE_NS and market.books.settle(_SETTLE_RECORDS):
                await asyncio.sleep(0)
            else:
                await self._until(next_ns)
        self.flush()
        for finding in market.findings:
            self.say(f"hftcap: {finding.path.name} at byte {finding.offset}: {finding.what}")
        while market.books.settle(_SETTLE_RECORDS):  # in small steps: there may be much still to be written
            await asyncio.sleep(0)
        if self.options.at_end is AtEnd.CLOSE:
            self.done.set()

    async def _until(self, when_ns: int | None) -> None:
        """Wait for an instant, or for what may change it."""
        self._wake.clear()
        wait_s = None if when_ns is None else (when_ns - self.clock.mono_ns()) / 1e9
        if wait_s is not None and wait_s <= 0:
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), wait_s)

    async def _keep_up(self) -> None:
        """At full speed, wait for the slowest client, up to a bound."""
        for connection in list(self.connections.values()):
            if connection.waiting_bytes > SOFT_BYTES and connection.closing is None and not connection.held:
                try:
                    await asyncio.wait_for(connection.drain(), connection.limits.stall_ns / 1e9)
                except TimeoutError:
                    connection.close(POLICY, TOO_SLOW)
                except ConnectionError:
                    pass  # it is gone, and its own task says goodbye to it

    def flush(self) -> None:
        """Write what everybody is owed."""
        for connection in self.connections.values():
            if connection.out:
                connection.flush()

    # Deadlines

    async def _watch(self) -> None:
        limits = self.market.limits
        shortest = min(limits.ping_interval_ns, limits.pong_deadline_ns, limits.max_age_ns, limits.close_grace_ns)
        pause_s = min(max(shortest // 4, _WATCH_LEAST_NS), _WATCH_MOST_NS) / 1e9
        closing: dict[int, int] = {}
        while True:
            await asyncio.sleep(pause_s)
            now = self.clock.mono_ns()
            for number, connection in list(self.connections.items()):
                if connection.closing is not None:
                    if now - closing.setdefault(number, now) >= connection.limits.close_grace_ns:
                        connection.cut(reset=False)
                        connection.abort()
                    continue
                if connection.held:
                    continue  # a ping that is not sent cannot be answered
                said = connection.session.tick(now, self.clock.wall_ns())
                if isinstance(said, Close):
                    connection.close(said.code, said.reason)
                elif said is not None:
                    connection.control(frame(said, PING))
            closing = {number: since for number, since in closing.items() if number in self.connections}

    # Faults of connections

    def suffer(self, fault: Fault, outlets: list[Outlet], half_frame: bytes) -> None:
        """Let a fault happen to connections that are owed an event."""
        for outlet in outlets:
            if isinstance(outlet, Connection) and fault.connection in (None, outlet.number):
                self._one_suffers(fault, outlet, half_frame)

    def _one_suffers(self, fault: Fault, connection: Connection, half_frame: bytes) -> None:
        loop = asyncio.get_running_loop()
        match fault.kind:
            case FaultKind.CUT:
                connection.flush()
                if fault.how == "close":
                    connection.close(fault.code, fault.reason)
                    return
                if fault.how == "mid-frame":
                    connection.out.append(half_frame)
                    connection.flush()
                connection.cut(reset=fault.how == "rst")
            case FaultKind.HALF_OPEN:
                connection.flush()
                connection.mute = True
            case FaultKind.STALL:
                connection.flush()
                connection.held = True
                loop.call_later(fault.for_ns / 1e9, self._resume, connection)
            case FaultKind.SHUTDOWN:
                time_ms = self.market.venue.time_ns() // 1_000_000
                connection.control(shutdown_frame(connection.shape, time_ms))
                loop.call_later(fault.for_ns / 1e9, connection.close, GOING_AWAY, fault.reason)
            case _:
                pass  # the others are not of connections

    def _resume(self, connection: Connection) -> None:
        connection.held = False
        connection.flush()

    def accepted(self) -> int:
        """Return the number of a connection that is new."""
        self._accepted += 1
        return self._accepted
