"""What a request's path and query ask for: a stream connection, the WebSocket API, a REST endpoint, or nothing here.

    /ws  /ws/NAME  /ws/NAME/NAME  /stream  /stream?streams=NAME/NAME   with timeUnit= on spot, below a route on futures
    /ws-api/v3                                                            spot
    /api/v3/…  /api/v1/…   /fapi/v1/…   /dapi/v1/…                        by market
    /hftcap/…                                                             ours

Source: protocol notes, sections 1.3, 5.1 and 7.
"""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote, unquote_plus

from hftcap.binance.endpoints import MAX_URL_CHARS, REST_PATH, Market, Route

CONTROL_PATH = "/hftcap/"
WS_API_PATH = "/ws-api/v3"


class TimeUnit(StrEnum):
    """What a connection asked its times to be in."""

    MILLISECOND = "MILLISECOND"
    MICROSECOND = "MICROSECOND"


@dataclass(frozen=True, slots=True)
class StreamPath:
    """A stream connection: bare or in envelopes, these names to begin with."""

    combined: bool
    streams: tuple[str, ...] = ()
    route: Route | None = None
    unit: TimeUnit | None = None


@dataclass(frozen=True, slots=True)
class WsApiPath:
    """The WebSocket API."""


@dataclass(frozen=True, slots=True)
class RestPath:
    """A REST endpoint, by its path below `/api/v3`, and its parameters as given."""

    endpoint: str
    params: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ControlPath:
    """Ours: what is behind `/hftcap/`."""

    name: str


@dataclass(frozen=True, slots=True)
class NoPath:
    """Nothing that this market has; `status` says how it is refused."""

    status: int
    code: int
    text: str


Target = StreamPath | WsApiPath | RestPath | ControlPath | NoPath
_NOT_FOUND = NoPath(404, -1000, "Path not found.")
BAD_UNIT = "Invalid value for time unit; expected either MICROSECOND or MILLISECOND."


def target_of(raw: str, market: Market) -> Target:
    """Return what the target of a request line asks for; never raises."""
    if len(raw) > MAX_URL_CHARS:
        return NoPath(414, -1000, "URI too long.")
    path, _, query = raw.partition("?")
    if path.startswith(CONTROL_PATH):
        return ControlPath(path.removeprefix(CONTROL_PATH))
    if path == WS_API_PATH:
        return WsApiPath() if market is Market.SPOT else _NOT_FOUND
    bases = ["/api/v3", "/api/v1"] if market is Market.SPOT else [REST_PATH[market]]
    for base in bases:
        if path.startswith(base + "/"):
            return RestPath(path.removeprefix(base + "/"), params_of(query))
    return _stream_of(path, query, market)


def params_of(query: str) -> tuple[tuple[str, str], ...]:
    """Return the parameters of a query in order, decoded; those without a value have an empty one."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return tuple((unquote_plus(name), unquote_plus(value)) for name, _, value in pairs)


def _stream_of(path: str, query: str, market: Market) -> Target:
    route: Route | None = None
    if market is not Market.SPOT:
        for each in Route:
            if path == each or path.startswith(each + "/"):
                route, path = each, path.removeprefix(each)
                break
    path = path.rstrip("/")
    # A plus sign stays one: `kline_1d@+08:00` is a name, and no name has spaces.
    options = {unquote(name): unquote(value) for name, _, value in (part.partition("=") for part in query.split("&"))}
    unit = _unit(options.get("timeUnit"), market)
    if isinstance(unit, NoPath):
        return unit
    if path == "/stream":
        return StreamPath(True, _names(options.get("streams", "")), route, unit)
    if path == "/ws" or path.startswith("/ws/"):
        if set(options) - {"", "timeUnit", "listenKey", "streams"} or any("@" in name for name in options):
            return NoPath(400, -1000, "Invalid stream path.")
        return StreamPath(False, _names(unquote(path.removeprefix("/ws"))), route, unit)
    return _NOT_FOUND


def _unit(text: str | None, market: Market) -> TimeUnit | NoPath | None:
    if text is None or market is not Market.SPOT:
        return None
    if text not in {*TimeUnit, *(unit.lower() for unit in TimeUnit)}:
        return NoPath(400, -1194, BAD_UNIT)
    return TimeUnit(text.upper())


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in text.split("/") if name))
