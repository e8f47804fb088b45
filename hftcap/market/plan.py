"""What a synthetic market is asked for: the plan of a run, and which streams it can write."""

from dataclasses import dataclass
from itertools import pairwise

from hftcap.binance.endpoints import CONNECTION_LIMITS, Market, Route, usdm_route
from hftcap.binance.streams import StreamName, StreamType, parse_stream
from hftcap.market.chance import draw_of

START_NS = 1_767_225_600_000_000_000
"""When every synthetic market begins, by the venue's clock: 2026-01-01, midnight UTC."""
MARKETS = (Market.SPOT, Market.USDM)
DEFAULT_STREAMS = ("trade", "bookTicker", "depth@100ms")
DEFAULT_SYMBOLS = ("BTCUSDT", "ETHUSDT")

LONGEST_NS = 3_650 * 86_400 * 1_000_000_000
DELAY_MAX_NS = 60 * 1_000_000_000
"""Of delay and of jitter each: what is on its way is held in memory, and all that is written has a time in 64 bits."""
RATE_MAX = 1_000_000_000
"""One message a nanosecond, which is as fine as time is here."""
CONNECTIONS_MAX = 65_000
"""A capture numbers connections with 16 bits."""
_MINUTE_MS = 60_000
KLINE_MS = {
    "1s": 1_000,
    **{f"{count}m": count * _MINUTE_MS for count in (1, 3, 5, 15, 30)},
    **{f"{count}h": count * 60 * _MINUTE_MS for count in (1, 2, 4, 6, 8, 12)},
    "1d": 1_440 * _MINUTE_MS,
}
_WRITTEN = {
    *(StreamType.TRADE, StreamType.AGG_TRADE, StreamType.BOOK_TICKER, StreamType.DEPTH),
    *(StreamType.PARTIAL_DEPTH, StreamType.KLINE, StreamType.MINI_TICKER),
}


@dataclass(frozen=True, slots=True)
class Link:
    """What lies between venue and recording host, nanoseconds.

    No message takes less than `delay_ns` either way; `jitter_ns` is the mean of what comes on top. The host's clock
    shows venue time plus `offset_ns` at the start, and gains `drift_ppb` nanoseconds a second. `lines` connections
    carry the same streams.
    """

    delay_ns: int = 1_000_000
    jitter_ns: int = 200_000
    offset_ns: int = 0
    drift_ppb: int = 0
    lines: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a synthetic capture depends on.

    `streams` are names behind the `@`. `rate` is messages a second over all streams of one line. `handovers` and `gaps`
    are instants of the venue's clock; a gap lasts `gap_ns`.
    """

    seed: int
    duration_ns: int
    rate: int = 1_000
    market: Market = Market.SPOT
    symbols: tuple[str, ...] = DEFAULT_SYMBOLS
    streams: tuple[str, ...] = DEFAULT_STREAMS
    link: Link = Link()
    handovers: tuple[int, ...] = ()
    gaps: tuple[int, ...] = ()
    gap_ns: int = 1_000_000_000

    @property
    def end_ns(self) -> int:
        """The instant at which the venue falls silent."""
        return START_NS + self.duration_ns


def stream_of(symbol: str, tail: str, market: Market) -> StreamName | None:
    """Return the stream of a symbol behind the `@`; None where the venue has none of that name, or none is written."""
    name = parse_stream(f"{symbol.lower()}@{tail}", market)
    if name is None or name.type not in _WRITTEN or name.utc_offset or name.payload_symbol != symbol:
        return None
    if name.interval is not None and name.interval not in KLINE_MS:
        return None
    return name


def names_of(plan: Plan) -> dict[str, list[StreamName]]:
    """Return the streams of each symbol.

    Raises:
        ValueError: one does not exist, or is not written.
    """
    names: dict[str, list[StreamName]] = {}
    for symbol in plan.symbols:
        for tail in plan.streams:
            name = stream_of(symbol, tail, plan.market)
            if name is None:
                raise ValueError(f"{symbol.lower()}@{tail} is no stream of {plan.market} that is written here")
            names.setdefault(symbol, []).append(name)
    return names


def route_of(stream_type: str, market: Market) -> Route | None:
    """Return the way that a stream's type takes: USD-M has several, other markets one without a name."""
    return usdm_route(stream_type) if market is Market.USDM else None


def by_route(plan: Plan) -> dict[Route | None, list[str]]:
    """Return the routes that one line needs, in the order of their numbers, and the streams of each."""
    routes: dict[Route | None, list[str]] = {}
    for names in names_of(plan).values():
        for name in names:
            routes.setdefault(route_of(name.type, plan.market), []).append(name.text)
    return routes


def flaw_of(plan: Plan) -> str | None:
    """Say what keeps a plan from being made, None where nothing does."""
    if plan.market not in MARKETS:
        return f"there is no synthetic market of {plan.market}: expected {' or '.join(MARKETS)}"
    if not 0 < plan.duration_ns <= LONGEST_NS or max(abs(plan.link.offset_ns), plan.gap_ns) > LONGEST_NS:
        return "expected a duration above 0, and neither that nor a gap or the clock's offset beyond ten years"
    if max(plan.link.delay_ns, plan.link.jitter_ns) > DELAY_MAX_NS:
        return f"expected delay and jitter of at most {DELAY_MAX_NS // 10**9}s each"
    if plan.rate > RATE_MAX:
        return f"expected a rate of at most {RATE_MAX} messages a second"
    for what, names in (("symbol", plan.symbols), ("stream", plan.streams)):
        if not names or len(set(names)) < len(names):
            return f"expected at least one {what}, and none of them twice"
    for symbol in plan.symbols:
        if stream_of(symbol, "trade", plan.market) is None:
            return f"{symbol!r} is no symbol as the venue writes it, upper case and without @, / or !"
        for tail in plan.streams:
            if stream_of(symbol, tail, plan.market) is None:
                return f"{plan.market} has no stream {symbol.lower()}@{tail} that could be written"
    routes = by_route(plan)
    most = CONNECTION_LIMITS[plan.market].streams
    if any(len(texts) > most for texts in routes.values()):
        return f"{len(plan.symbols)} symbols with these streams: a connection carries at most {most} streams"
    connections = (1 + len(plan.handovers) + len(plan.gaps)) * plan.link.lines * len(routes)
    if connections > CONNECTIONS_MAX:
        return f"{connections} connections would be opened, at most {CONNECTIONS_MAX} have a number"
    if not all(START_NS <= at_ns < plan.end_ns for at_ns in plan.handovers + plan.gaps):
        return "a handover or gap is not between the market's start and its end"
    for before_ns, at_ns in pairwise(sorted(plan.gaps)):
        if at_ns <= before_ns + plan.gap_ns:
            return f"a gap begins before another is over, {(at_ns - before_ns) / 1e9:g}s after it began"
    return None


def spread_gaps(count: int, duration_ns: int, gap_ns: int, seed: int) -> tuple[int, ...]:
    """Return `count` instants, one in the middle half of each equal part of the run, chosen by the seed."""
    part = duration_ns // max(count, 1)
    room = max(1, part // 2 - gap_ns)
    draw = draw_of(seed, "gaps")
    return tuple(START_NS + part * number + part // 4 + draw(64) % room for number in range(count))
