"""A whole synthetic market into a capture, with the truth beside it: `synthesize`.

    schedule ── by venue time ──▶ orders, timers, REST requests, handovers, gaps
       markets (one a symbol) ──▶ network ──▶ capture writer
              └──▶ truth.jsonl

Everything is streamed: what is held is the books, what is in flight, and a block that is being filled.
"""

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from hftcap.binance.endpoints import REST_PATH, WEIGHT_PER_MINUTE, WEIGHTS, Market, depth_weight
from hftcap.binance.streams import StreamType, combined_path
from hftcap.capture.format import TimeBase
from hftcap.capture.segment_writer import WallOffset
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.market.chance import draw_of
from hftcap.market.feed import MS
from hftcap.market.instrument import instrument_of
from hftcap.market.network import Delays, HostClock, Network
from hftcap.market.pace import Pace, shares_of
from hftcap.market.plan import START_NS, Plan, by_route, names_of, route_of
from hftcap.market.truth import Truth
from hftcap.market.venue import SymbolMarket, UpdateIds
from hftcap.market.wire import exchange_body

HOST = "synth.invalid"
"""A name that no resolver knows: nobody takes a synthetic capture for the venue's."""
OVERLAP_NS = 500 * MS
"""How long old and new connections run beside each other at a handover."""
CLOCK_EVERY_NS = 10_000 * MS
PROGRESS_BYTES = 1 << 18
SNAPSHOT_AFTER_NS = 20 * MS
"""How long after a symbol's first diff on new connections its snapshot is asked for."""
AGAIN_AFTER_NS = 2_000 * MS
"""After a gap it is asked for once more: a reader that waits for redundant lines learns of the gap only then."""
REQUESTS_AFTER_NS = 5 * MS

Act = Callable[[int], int]
"""Does what is due at a venue time; returns when it is due again, 0 for never."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a run. `messages` are the venue's, on one line; `lost` those of them pushed in gaps."""

    capture: Path
    truth: Path
    records: int
    messages: int
    lost: int
    trades: int


class Schedule:
    """What is due, by venue time; of equal times the lower rank comes first, then what was entered first."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, Act]] = []
        self._entered = 0

    def at(self, time_ns: int, rank: int, act: Act) -> None:
        """Enter an act; its rank stays when it is due again."""
        self._entered += 1
        heapq.heappush(self._heap, (time_ns, rank, self._entered, act))

    def run(self, end_ns: int) -> None:
        """Do all that is due before an instant."""
        heap = self._heap
        while heap and heap[0][0] < end_ns:
            now_ns, rank, entered, act = heapq.heappop(heap)
            again_ns = act(now_ns)
            if again_ns:
                heapq.heappush(heap, (again_ns, rank, entered, act))


_CONTROL, _TIMERS, _ORDERS = range(3)


def synthesize(plan: Plan, out: Path, version: str, progress: Callable[[int], None] = lambda _: None) -> Summary:
    """Make the market of a plan and write its capture into `out`; the same plan gives the same bytes.

    `progress` is called with the bytes pushed since it was called last, every 256 KiB.

    Raises:
        ValueError: a stream that the market does not have, or that is not written.
        AlreadyExists: `out` holds a capture, or a `truth.jsonl`.
        WriteFailed: the operating system refused.
    """
    with CaptureWriter(out, _head(plan, version)) as writer, Truth(out) as truth:
        clock = HostClock(plan.link.offset_ns, plan.link.drift_ppb)
        writer.wall = WallOffset(clock.wall_minus_mono_ns)
        writer.begin_segment({"tool": "hftcap synth", "plan": plan_fields(plan)})
        run = _Run(plan, Network(plan.link, clock, plan.seed, _urls(plan), writer), truth, progress)
        run.go()
        run.tell_end()
    return Summary(out, truth.path, writer.records, run.messages, run.network.lost, run.trades)


def plan_fields(plan: Plan) -> dict[str, Any]:  # Any: JSON
    """Return a plan as JSON has it."""
    fields = {name: getattr(plan, name) for name in Plan.__dataclass_fields__}
    return fields | {"link": {name: getattr(plan.link, name) for name in type(plan.link).__dataclass_fields__}}


def _urls(plan: Plan) -> list[tuple[str, list[str]]]:
    """Return the URL of each route, and its streams."""
    return [(f"wss://{HOST}{route or ''}{combined_path(texts)}", texts) for route, texts in by_route(plan).items()]


def _head(plan: Plan, version: str) -> CaptureHead:
    urls = _urls(plan)
    return CaptureHead(
        capture_id=hashlib.blake2b(repr(plan).encode(), digest_size=8).hexdigest(),
        market=str(plan.market),
        time_base=TimeBase.MONOTONIC,
        expects_snapshots=any(name.type is StreamType.DEPTH for names in names_of(plan).values() for name in names),
        created_ns=START_NS + plan.link.offset_ns,
        hftcap=version,
        urls=[url for url, _ in urls] + [f"https://{HOST}"],
        streams=[text for _, texts in urls for text in texts],
        symbols=list(plan.symbols),
    )


class _Run:
    """One run: the venue's symbols, what it pushes, what is asked of it, and what happens to the connections."""

    def __init__(self, plan: Plan, network: Network, truth: Truth, progress: Callable[[int], None]) -> None:
        self.network = network
        self.messages = 0
        self._plan = plan
        self._truth = truth
        self._progress = progress
        self._pushed_bytes = 0
        self._schedule = Schedule()
        self._instruments = [instrument_of(symbol, plan.market) for symbol in plan.symbols]
        self._weight = 0
        self._weight_minute = -1
        truth.tell(
            "market",
            **plan_fields(plan),
            start_ns=START_NS,
            instruments=[
                {"symbol": each.symbol, "tick_e8": each.tick_e8, "lot_e8": each.lot_e8} for each in self._instruments
            ],
            lines=[{"line": line + 1, "least_delay_ns": least} for line, least in enumerate(network.least_ns)],
        )
        routes = list(by_route(plan))
        kinds = {name.type for names in names_of(plan).values() for name in names}
        self._route: dict[str, int] = {kind: routes.index(route_of(kind, plan.market)) for kind in kinds}
        shared = UpdateIds(draw_of(plan.seed, "ids"), shared=True) if plan.market is not Market.SPOT else None
        self.markets = [
            SymbolMarket(
                instrument,
                plan.market,
                names_of(plan)[instrument.symbol],
                plan.seed,
                shared or UpdateIds(draw_of(plan.seed, "ids", instrument.symbol), shared=False),
                Pace(per_second, plan.end_ns),
                truth,
                self._send,
                self._depth_sent,
            )
            for instrument, per_second in zip(self._instruments, shares_of(plan.rate, len(plan.symbols)), strict=True)
        ]

    @property
    def trades(self) -> int:
        """Fills of all symbols."""
        return sum(market.trade_id - market.first_trade_id + 1 for market in self.markets)

    def go(self) -> None:
        """Let the market run from its start to its end, and write what is still on its way."""
        plan, schedule = self._plan, self._schedule
        self.network.connect(START_NS, "start")
        schedule.at(START_NS + REQUESTS_AFTER_NS, _CONTROL, self._ask_exchange_info)
        schedule.at(START_NS + REQUESTS_AFTER_NS, _CONTROL, self._ask_time)
        for at_ns in plan.handovers:
            schedule.at(at_ns, _CONTROL, self._hand_over)
        for at_ns in plan.gaps:
            schedule.at(at_ns, _CONTROL, self._lose)
        for market in self.markets:
            for at_ns, act in market.feed.timers():
                schedule.at(at_ns, _TIMERS, act)
            schedule.at(market.first_step()[0], _ORDERS, market.first_step()[1])
        schedule.run(plan.end_ns)
        self.network.drain()

    def tell_end(self) -> None:
        """Write the last line of the truth."""
        for market in self.markets:
            market.truth.state(self._plan.end_ns, market.update_id)
        self._truth.tell(
            "end",
            time_ns=self._plan.end_ns,
            messages=self.messages,
            lost=self.network.lost,
            trades={
                market.symbol: {"first_id": market.first_trade_id, "last_id": market.trade_id}
                for market in self.markets
            },
            delays=[_told(line, each) for line, each in enumerate(self.network.delays, 1) if each.count],
        )

    def _send(self, kind: str, payload: bytes, now_ns: int) -> None:
        self.messages += 1
        self.network.send(self._route[kind], payload, now_ns)
        self._pushed_bytes += len(payload)
        if self._pushed_bytes >= PROGRESS_BYTES:
            self._progress(self._pushed_bytes)
            self._pushed_bytes = 0

    # Connections

    def _hand_over(self, now_ns: int) -> int:
        """Open new connections beside the old ones, and close those a little later; in a gap there are none."""
        if not self.network.is_open:
            return 0
        before = self.network.connect(now_ns, "handover")

        def close(at_ns: int) -> int:
            self.network.close(at_ns, before, 1000, "handover")
            return 0

        self._schedule.at(now_ns + OVERLAP_NS, _CONTROL, close)
        self._truth.tell("handover", from_ns=now_ns, to_ns=now_ns + OVERLAP_NS)
        return 0

    def _lose(self, now_ns: int) -> int:
        """Lose all connections; they are back after the gap, and every symbol waits for a snapshot then."""
        back_ns = now_ns + self._plan.gap_ns
        self.network.close(now_ns, None, 1006, "connection lost")

        def back(at_ns: int) -> int:
            self.network.connect(at_ns, "reconnect")
            return self._await_snapshots(at_ns)

        self._schedule.at(back_ns, _CONTROL, back)
        self._schedule.at(back_ns + AGAIN_AFTER_NS, _CONTROL, self._await_snapshots)
        self._truth.tell("gap", from_ns=now_ns, to_ns=back_ns)
        return 0

    def _await_snapshots(self, _now_ns: int) -> int:
        """Let every symbol's next diff be followed by a snapshot."""
        for market in self.markets:
            market.await_snapshot()
        return 0

    # REST

    def _depth_sent(self, now_ns: int, market: SymbolMarket) -> None:
        """Ask for a snapshot, some time after a diff was sent that goes before it."""
        limit = market.feed.wire.levels_kept
        weight = depth_weight(self._plan.market, limit)
        query = f"depth?{urlencode({'symbol': market.symbol, 'limit': limit})}"

        def ask(sent_ns: int) -> int:
            self._ask(sent_ns, query, market.symbol, weight, market.snapshot)
            return 0

        self._schedule.at(now_ns + SNAPSHOT_AFTER_NS, _CONTROL, ask)

    def _ask_exchange_info(self, now_ns: int) -> int:
        plan = self._plan
        weight = WEIGHT_PER_MINUTE[plan.market]
        self._ask(
            now_ns,
            "exchangeInfo",
            None,
            WEIGHTS[plan.market]["exchangeInfo"],
            lambda at_ns: exchange_body(self._instruments, plan.market, at_ns // MS, weight),
        )
        return 0

    def _ask_time(self, now_ns: int) -> int:
        self._ask(now_ns, "time", None, 1, lambda at_ns: b'{"serverTime":%d}' % (at_ns // MS))
        return now_ns + CLOCK_EVERY_NS

    def _ask(self, sent_ns: int, query: str, symbol: str | None, weight: int, body: Callable[[int], bytes]) -> None:
        """Send a request; it is answered when it has reached the venue."""
        url = f"https://{HOST}{REST_PATH[self._plan.market]}/{query}"

        def answer(now_ns: int) -> int:
            minute = now_ns // (60_000 * MS)
            if minute != self._weight_minute:
                self._weight, self._weight_minute = 0, minute
            self._weight += weight
            self.network.answer(body(now_ns), sent_ns, now_ns, url, symbol, self._weight)
            return 0

        self._schedule.at(self.network.request_ns(sent_ns), _CONTROL, answer)


def _told(line: int, delays: Delays) -> dict[str, int]:
    return {
        "line": line,
        "n": delays.count,
        "min_ns": delays.least_ns,
        "max_ns": delays.most_ns,
        "sum_ns": delays.sum_ns,
    }
