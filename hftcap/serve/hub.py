"""Who is owed which event, and in which shape: stream names to the connections that subscribed to them. Pure.

    payload --name in its envelope--> topic --shape--> header and bytes, once for all that share a shape --> outlets

An outlet collects what it is owed; whoever owns the socket empties it. Nothing here waits for anybody.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from hftcap.binance.endpoints import UNROUTED, Market, Route, usdm_route
from hftcap.binance.streams import StreamType, parse_stream
from hftcap.serve.paths import TimeUnit
from hftcap.serve.times import Rewrite, in_microseconds, in_milliseconds
from hftcap.serve.wire import event_of, header

RECENT = 1_000
"""So many prints of a stream are kept for REST, as many as the venue gives at most."""
_KEPT_FOR_REST = {StreamType.TRADE: RECENT, StreamType.AGG_TRADE: RECENT, StreamType.BOOK_TICKER: 1}
_REWRITES: dict[TimeUnit, Rewrite] = {
    TimeUnit.MICROSECOND: in_microseconds,
    TimeUnit.MILLISECOND: in_milliseconds,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """How a connection wants its events: in envelopes or bare, and the unit of times where it is not the capture's."""

    combined: bool
    unit: TimeUnit | None = None


class Outlet(Protocol):
    """A connection as the hub sees it."""

    out: list[bytes]
    shape: Shape
    route: Route | None


class Topic:
    """One stream: who gets it, by shape, and what is kept of it for REST."""

    __slots__ = ("audience", "events", "line", "name", "recent", "route")

    def __init__(self, name: str, market: Market) -> None:
        self.name = name
        self.audience: dict[Shape, list[Outlet]] = {}
        self.events = 0
        self.line = -1  # the connection that brings it in the capture, -1 before the first event
        parsed = parse_stream(name, market)
        kept = None if parsed is None or parsed.symbol is None else _KEPT_FOR_REST.get(parsed.type)
        self.recent: deque[bytes] | None = None if kept is None else deque(maxlen=kept)
        self.route: Route | None = None
        if market is Market.USDM and parsed is not None and parsed.type is not StreamType.SERVER_SHUTDOWN:
            self.route = usdm_route(parsed.type)

    def carries(self, route: Route | None) -> bool:
        """Say whether a connection on a route gets this stream; on another it is acknowledged, and silent."""
        return self.route is None or (route or UNROUTED) is self.route


class Hub:
    """All topics. `heads` leads from how a payload begins to its topic, for envelopes in the venue's usual shape."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.topics: dict[str, Topic] = {}

    def topic(self, name: str) -> Topic:
        """Return a stream's topic, new where nobody asked for it before."""
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(name, self.market)
        return topic

    def subscribe(self, outlet: Outlet, names: Iterable[str]) -> None:
        """Let a connection have streams from now on."""
        for name in names:
            topic = self.topic(name)
            if topic.carries(outlet.route):
                members = topic.audience.setdefault(outlet.shape, [])
                if outlet not in members:
                    members.append(outlet)

    def unsubscribe(self, outlet: Outlet, names: Iterable[str]) -> None:
        """Let a connection have streams no more; a topic nobody ever sent to is forgotten with its last."""
        for name in names:
            topic = self.topics.get(name)
            members = None if topic is None else topic.audience.get(outlet.shape)
            if topic is None or members is None or outlet not in members:
                continue
            members.remove(outlet)
            if not members:
                del topic.audience[outlet.shape]
            if not topic.audience and not topic.events:
                del self.topics[name]

    def reshape(self, outlet: Outlet, shape: Shape, names: Iterable[str]) -> None:
        """Change how a connection wants its events."""
        names = list(names)
        self.unsubscribe(outlet, names)
        outlet.shape = shape
        self.subscribe(outlet, names)

    def send(self, topic: Topic, payload: bytes) -> None:
        """Put an event into the outlet of everyone who is owed it; the payload is in the venue's usual envelope."""
        topic.events += 1
        if topic.recent is not None:
            topic.recent.append(payload)
        for shape, members in topic.audience.items():
            body = payload if shape.combined and shape.unit is None else shaped(payload, shape)
            data = header(len(body)) + body  # one object for all of them, however long it waits for one
            for outlet in members:
                outlet.out.append(data)


def shaped(payload: bytes, shape: Shape) -> bytes:
    """Return an event, handed in in its usual envelope, as a connection of this shape gets it."""
    body = payload if shape.combined else event_of(payload)
    return body if shape.unit is None else _REWRITES[shape.unit](body)
