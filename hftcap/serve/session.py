"""One stream connection's side of the protocol: subscriptions, properties, limits, pings and deadlines. Pure.

    open --frames within the limit, pongs in time, younger than the age limit--> open
         --one frame too many--> 1008 Too many requests
         --a ping older than the deadline without its pong--> 1008 Pong timeout
         --age limit--> 1000
         --not JSON, on futures--> the error, then 1008

Times are monotonic nanoseconds, handed in.

Source: protocol notes, sections 2 and 3.
"""

from collections import deque
from dataclasses import dataclass, field

from hftcap.binance.endpoints import Market
from hftcap.serve.control import Method, Refused, Request, error, read_request, result
from hftcap.serve.limits import Limits

SECOND_NS = 1_000_000_000
POLICY, NORMAL = 1008, 1000
_PINGS_KEPT = 1_024


@dataclass(frozen=True, slots=True)
class Close:
    """The server ends the connection with this."""

    code: int
    reason: str


@dataclass(slots=True)
class Answer:
    """What one text message leads to, in this order: streams added and removed, a reply, a close."""

    reply: bytes | None = None
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    regrouped: bool = False
    close: Close | None = None


class Session:
    """A connection that is open. `streams` are the names subscribed to, in order; `combined` says which shape."""

    def __init__(
        self, market: Market, limits: Limits, *, combined: bool, streams: tuple[str, ...] = (), now_ns: int
    ) -> None:
        self.market = market
        self.limits = limits
        self.combined = combined
        self.streams: dict[str, None] = dict.fromkeys(streams[: limits.streams])
        self.overfull = len(dict.fromkeys(streams)) > limits.streams
        self.since_ns = now_ns
        self._frames: deque[int] = deque(maxlen=limits.frames_per_second)
        self._pings: deque[tuple[int, bytes]] = deque()
        self._next_ping_ns = now_ns + limits.ping_interval_ns

    def frame(self, now_ns: int) -> Close | None:
        """Count a frame from the client, of whatever kind."""
        frames = self._frames
        if len(frames) == frames.maxlen and now_ns - frames[0] < SECOND_NS:
            return Close(POLICY, "Too many requests")
        frames.append(now_ns)
        return None

    def text(self, data: str, size: int) -> Answer:
        """Take a text message of `size` bytes; one that is too long gets no answer at all."""
        if size > self.limits.payload_bytes:
            return Answer()
        try:
            return self._asked(read_request(data, self.market))
        except Refused as refused:
            # Futures end the connection over what is not JSON (notice of 2023-06-22).
            over = refused.code == 3 and self.market is not Market.SPOT
            return Answer(reply=error(refused), close=Close(POLICY, "Invalid JSON") if over else None)

    def _asked(self, request: Request) -> Answer:
        match request.method:
            case Method.SUBSCRIBE:
                added = [name for name in dict.fromkeys(request.names) if name not in self.streams]
                if len(self.streams) + len(added) > self.limits.streams:
                    raise Refused(4, "Too many subscriptions", request.id)
                self.streams.update(dict.fromkeys(added))
                return Answer(result(None, request.id), added=added)
            case Method.UNSUBSCRIBE:
                removed = [name for name in dict.fromkeys(request.names) if name in self.streams]
                for name in removed:
                    del self.streams[name]
                return Answer(result(None, request.id), removed=removed)
            case Method.LIST_SUBSCRIPTIONS:
                return Answer(result(list(self.streams), request.id))
            case Method.SET_PROPERTY:
                changed = self.combined is not request.value
                self.combined = request.value
                return Answer(result(None, request.id), regrouped=changed)
            case Method.GET_PROPERTY:
                return Answer(result(self.combined, request.id))

    def pong(self, payload: bytes) -> None:
        """Take a pong: the echo of a ping answers that and the pings before it, any other says nothing."""
        for number, (_, sent) in enumerate(self._pings):
            if sent == payload:
                for _ in range(number + 1):
                    self._pings.popleft()
                return

    def tick(self, now_ns: int, wall_ns: int) -> bytes | Close | None:
        """Return the payload of a ping that is due, or how the connection ends; None while there is nothing to do.

        The payload is the wall clock in milliseconds, so it changes with every ping.
        """
        if now_ns - self.since_ns >= self.limits.max_age_ns:
            return Close(NORMAL, "")
        if self._pings and now_ns - self._pings[0][0] >= self.limits.pong_deadline_ns:
            return Close(POLICY, "Pong timeout")
        if now_ns < self._next_ping_ns or len(self._pings) >= _PINGS_KEPT:
            return None
        self._next_ping_ns = now_ns + self.limits.ping_interval_ns
        payload = str(wall_ns // 1_000_000).encode()
        if self._pings and self._pings[-1][1] == payload:
            payload += b"1"
        self._pings.append((now_ns, payload))
        return payload

    @property
    def next_ns(self) -> int:
        """When `tick` has something to do at the latest."""
        deadlines = [self.since_ns + self.limits.max_age_ns, self._next_ping_ns]
        if self._pings:
            deadlines.append(self._pings[0][0] + self.limits.pong_deadline_ns)
        return min(deadlines)
