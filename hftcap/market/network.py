"""From the venue to the capture: connections with delays of their own, the host's clock, and the order of receipt.

    venue ──push──▶ connection ──delay──▶ host clock ──▶ in flight, by time of receipt ──▶ capture writer

A connection is one TCP stream: what is pushed later arrives no earlier. A message takes the connection's least delay
and an exponential part on top; one in 4,096 takes sixteen times that part.
"""

import heapq
from dataclasses import dataclass
from typing import Any

from hftcap.capture.format import Kind, RecordFlags
from hftcap.capture.writer import CaptureWriter
from hftcap.market.chance import WAIT_BITS, WAIT_SCALE_BITS, Draw, draw_of, waits
from hftcap.market.plan import START_NS, Link

BOOTED_BEFORE_NS = 3_600_000_000_000
"""How long the host has been up when the market begins: its monotonic clock counts from there."""
IN_FLIGHT = 2_048
"""Records held before those that nothing can overtake any more go to the writer."""
REST_CONN = 1
_FLAGS = RecordFlags.LAST_OF_READ | RecordFlags.DRAINED
_WAIT_MASK = (1 << WAIT_BITS) - 1
_SPIKE_MASK = 0xFFF
_SPIKE_SHIFT = 4


@dataclass(frozen=True, slots=True)
class HostClock:
    """The recording host's clocks as functions of the venue's time."""

    offset_ns: int
    drift_ppb: int

    def wall_ns(self, venue_ns: int) -> int:
        """Return what the wall clock shows."""
        return venue_ns + self.offset_ns + (venue_ns - START_NS) * self.drift_ppb // 1_000_000_000

    @property
    def wall_minus_mono_ns(self) -> int:
        """The wall clock minus the monotonic one, which drift alike."""
        return START_NS + self.offset_ns - BOOTED_BEFORE_NS


@dataclass(slots=True)
class Delays:
    """What was really on the way, from push to receipt, venue nanoseconds."""

    count: int = 0
    least_ns: int = 1 << 62
    most_ns: int = 0
    sum_ns: int = 0


class Connection:
    """One websocket, or the way of REST answers: `number` is that of its records, `latest_ns` its latest arrival."""

    __slots__ = ("_draw", "_jitter_ns", "_waits", "delays", "latest_ns", "least_ns", "number")

    def __init__(self, number: int, least_ns: int, jitter_ns: int, draw: Draw, delays: Delays) -> None:
        self.number = number
        self.least_ns = least_ns
        self.delays = delays
        self._jitter_ns = jitter_ns
        self._draw = draw
        self.latest_ns = 0
        self._waits = waits()

    def arrival_ns(self, now_ns: int) -> int:
        """Return when what is pushed now is received, by the venue's clock."""
        word = self._draw(WAIT_BITS + 12)
        extra = self._jitter_ns * self._waits[word & _WAIT_MASK] >> WAIT_SCALE_BITS
        if not word >> WAIT_BITS & _SPIKE_MASK:
            extra <<= _SPIKE_SHIFT
        arrival = now_ns + self.least_ns + extra
        if arrival < self.latest_ns:
            arrival = self.latest_ns  # behind the message before it
        self.latest_ns = arrival
        delay = arrival - now_ns
        delays = self.delays
        delays.count += 1
        delays.sum_ns += delay
        if delay < delays.least_ns:
            delays.least_ns = delay
        if delay > delays.most_ns:
            delays.most_ns = delay
        return arrival


class Network:
    """All connections, and the records on their way.

    `routes` are the URLs of the connections that a line needs, and the streams of each. Records go to `writer` in the
    order of receipt; `lost` counts messages pushed while no connection was open, copies on further lines not counted.
    """

    def __init__(
        self, link: Link, clock: HostClock, seed: int, routes: list[tuple[str, list[str]]], writer: CaptureWriter
    ) -> None:
        self.clock = clock
        self.lost = 0
        self.least_ns = [self._least_ns(link, seed, line) for line in range(link.lines)]
        self.delays = [Delays() for _ in range(link.lines)]
        self._link = link
        self._seed = seed
        self._routes = routes
        self._writer = writer
        self._open: list[list[Connection]] = [[] for _ in routes]
        self._number = REST_CONN
        self._flight: list[tuple[int, int, bytes | None, Kind, int, dict[str, Any] | None]] = []  # Any: JSON
        self._order = 0
        self._mono_offset_ns = clock.wall_minus_mono_ns
        draw = draw_of(seed, "rest")
        self._up, self._down = (Connection(REST_CONN, link.delay_ns, link.jitter_ns, draw, Delays()) for _ in range(2))

    @staticmethod
    def _least_ns(link: Link, seed: int, line: int) -> int:
        """Return the least delay of a line: the first has that of the link, others up to a jitter more."""
        return link.delay_ns + (draw_of(seed, "line", line)(32) % (link.jitter_ns + 1) if line else 0)

    @property
    def is_open(self) -> bool:
        """Whether there is any connection."""
        return any(self._open)

    def connect(self, now_ns: int, reason: str) -> list[Connection]:
        """Open a connection of every line and route; return those that were open before, which stay open."""
        before = [connection for route in self._open for connection in route]
        for line, least_ns in enumerate(self.least_ns):
            for route, (url, streams) in enumerate(self._routes):
                self._number += 1
                number = self._number
                draw = draw_of(self._seed, "connection", number)
                connection = Connection(number, least_ns, self._link.jitter_ns, draw, self.delays[line])
                self._open[route].append(connection)
                note = {"note": "connect", "conn": number, "url": url, "streams": streams, "line": line + 1}
                self._note(now_ns + self._link.delay_ns, note | {"reason": reason})
        return before

    def close(self, now_ns: int, connections: list[Connection] | None, code: int, reason: str) -> None:
        """Close connections, all that are open where none are named; what was pushed still arrives."""
        for route in self._open:
            for connection in list(route):
                if connections is None or connection in connections:
                    route.remove(connection)
                    # The close is the last thing on the connection, so it comes when the next message would.
                    at_ns = max(now_ns + self._link.delay_ns, connection.latest_ns)
                    self._note(at_ns, {"note": "close", "conn": connection.number, "code": code, "reason": reason})

    def send(self, route: int, payload: bytes, now_ns: int) -> None:
        """Push a message on all connections of a route."""
        open_ = self._open[route]
        if not open_:
            self.lost += 1
        for connection in open_:
            self._order += 1
            mono_ns = self.clock.wall_ns(connection.arrival_ns(now_ns)) - self._mono_offset_ns
            heapq.heappush(self._flight, (mono_ns, self._order, payload, Kind.WS_TEXT, connection.number, None))
        if len(self._flight) > IN_FLIGHT:
            self._release(self.clock.wall_ns(now_ns + self._link.delay_ns) - self._mono_offset_ns)

    def request_ns(self, now_ns: int) -> int:
        """Return when a REST request that is sent now reaches the venue."""
        return self._up.arrival_ns(now_ns)

    def answer(self, body: bytes, sent_ns: int, now_ns: int, url: str, symbol: str | None, weight: int) -> None:
        """Send a REST answer back; `sent_ns` is when it was asked for, all by the venue's clock."""
        received_ns = self.clock.wall_ns(self._down.arrival_ns(now_ns))
        note = {
            "note": "rest",
            "symbol": symbol,
            "url": url,
            "status": 200,
            "sent_ns": self.clock.wall_ns(sent_ns),
            "received_ns": received_ns,
            "headers": {"x-mbx-used-weight-1m": str(weight)},
        }
        self._order += 1
        mono_ns = received_ns - self._mono_offset_ns
        heapq.heappush(self._flight, (mono_ns, self._order, body, Kind.REST, REST_CONN, note))

    def drain(self) -> None:
        """Write all that is still on its way."""
        self._release(1 << 63)

    def _note(self, venue_ns: int, note: dict[str, Any]) -> None:  # Any: JSON
        at_ns = self.clock.wall_ns(venue_ns)
        self._order += 1
        item = (at_ns - self._mono_offset_ns, self._order, None, Kind.WS_TEXT, 0, note | {"at_ns": at_ns})
        heapq.heappush(self._flight, item)

    def _release(self, upto_ns: int) -> None:
        """Write what is received up to an instant of the monotonic clock: nothing can come before it any more."""
        flight, writer = self._flight, self._writer
        pop, add = heapq.heappop, writer.add
        while flight and flight[0][0] <= upto_ns:
            mono_ns, _, payload, kind, number, note = pop(flight)
            if payload is not None:
                add(payload, mono_ns, kind=kind, conn=number, flags=_FLAGS, note=note)
            elif note is not None:
                writer.note(note)
