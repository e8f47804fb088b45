"""What becomes of a record that is due: its stream found, its times moved, faults let happen, and into the hub with it.

    record --name--> [merged lines] --> [times moved] --> [faults] --> hub          [a trade --> aggregates --> hub]

What stands in brackets is done where it was asked for, or where the capture needs it.
"""

import heapq
from collections.abc import Callable, Iterator
from itertools import count
from typing import Protocol

import numpy as np

from hftcap.binance.endpoints import Market
from hftcap.capture.format import Kind
from hftcap.capture.reader import Chunk
from hftcap.serve.derive import AggTrades
from hftcap.serve.faults import CONNECTION_FAULTS, Fault, FaultKind, FaultPlan
from hftcap.serve.hub import Hub, Outlet, Shape, Topic, shaped
from hftcap.serve.lines import MergedLines
from hftcap.serve.times import shifted
from hftcap.serve.unnamed import UnnamedStreams
from hftcap.serve.wire import DATA_KEY, PING, enveloped, event_of, fragments, frame, header, usual

HEADS_REMEMBERED = 65_536
BIG_BYTES = 8 << 20
_PADDING = b'{"e":"padding","E":0,"padding":"' + b"x" * BIG_BYTES + b'"}'


class Suffers(Protocol):
    """What carries out the faults of connections."""

    def suffer(self, fault: Fault, outlets: list[Outlet], half_frame: bytes) -> None:
        """Let a fault happen to connections that are owed an event; `half_frame` is the beginning of its frame."""


class Sender:
    """Sends pieces of a capture. `shift_ns` says by how much times are moved at a place of the timeline."""

    def __init__(
        self,
        hub: Hub,
        faults: FaultPlan,
        victims: Suffers,
        *,
        first_ns: int,
        listed: list[str],
        shift_ns: Callable[[int], int] | None = None,
        derive: bool = False,
    ) -> None:
        self.hub = hub
        self.faults = faults
        self.shift_ns = shift_ns
        self.redundant = False
        self._market: Market = hub.market
        self._victims = victims
        self._first_ns = first_ns
        self._listed = listed
        self._derive = derive
        self._captures: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Stand before the first record of a pass."""
        self._heads: dict[bytes, Topic] = {}
        self._unnamed = UnnamedStreams(self._market, self._listed)
        self._lines: MergedLines | None = None
        for topic in self.hub.topics.values():
            topic.line = -1
        self._aggregates = AggTrades(self._market) if self._derive else None
        self._held_back: dict[str, list[bytes]] = {}
        self._delayed: list[tuple[int, int, Topic, bytes]] = []
        self._order = count()

    def send(self, piece: Chunk, now_ns: int) -> None:
        """Put the records of a piece into the outlets of those who are owed them."""
        block = piece.block
        columns = block.columns
        kinds = columns.kind[piece.rows].tolist()
        lines = (columns.conn[piece.rows].astype(np.int64) + self._line_base(piece)).tolist()
        plain = not (self._derive or self.faults.triggers or self.shift_ns or self._lines)
        heads, send, text = self._heads, self.hub.send, int(Kind.WS_TEXT)
        payloads = block.payload_list(piece.first, piece.stop)
        for record, kind, line, payload in zip(range(piece.first, piece.stop), kinds, lines, payloads, strict=True):
            if kind != text:
                continue
            topic = heads.get(payload[: payload.find(DATA_KEY)])
            if topic is None:
                found = self._look_up(payload)
                if found is None:
                    continue
                topic, payload = found
            if topic.line != line and self._lines is None:
                # A second connection with the same stream: from here on every event is looked at.
                plain = plain and topic.line < 0
                if topic.line < 0:
                    topic.line = line
                else:
                    self._merge_lines()
            if plain:
                send(topic, payload)
            else:
                self._send_looked_at(topic, payload, piece, record, line, now_ns)
        if self._aggregates is not None and piece.records:
            self._overdue(int(piece.timeline_ns[piece.stop - 1]))

    def _look_up(self, payload: bytes) -> tuple[Topic, bytes] | None:
        """Return topic and usual form of a payload whose head is not known; None where nothing names a stream."""
        found = usual(payload)
        if found is None:
            named = self._unnamed.name_of(payload)
            return None if named is None else (self.hub.topic(named), enveloped(named, payload))
        name, payload, is_usual = found
        topic = self.hub.topic(name)
        if is_usual:
            if len(self._heads) >= HEADS_REMEMBERED:
                self._heads.clear()
            self._heads[payload[: payload.find(DATA_KEY)]] = topic
        return topic, payload

    def _line_base(self, piece: Chunk) -> int:
        capture = piece.block.header.capture_id.hex()
        if capture not in self._captures:
            self._captures.append(capture)
        base = self._captures.index(capture) << 16
        if piece.first == 0 and self._lines is not None:
            for conn, at_ns in piece.block.closings().items():
                self._lines.close(base + conn, at_ns)
        return base

    def _merge_lines(self) -> None:
        """Hold every event against those of other connections, beginning with what is remembered."""
        self._lines = MergedLines(self._market, {topic.name: topic.line for topic in self.hub.topics.values()})
        self.redundant = True
        for each in self.hub.topics.values():
            if each.recent:
                for payload in each.recent:
                    self._lines.take(each.name, payload, each.line, 0)

    def _send_looked_at(self, topic: Topic, payload: bytes, piece: Chunk, record: int, line: int, now_ns: int) -> None:
        payloads = [payload]
        if self._lines is not None:
            recv_ns = int(piece.block.received(record, record + 1)[0])
            payloads = self._lines.take(topic.name, payload, line, recv_ns)
        at_ns = int(piece.timeline_ns[record])
        for each in payloads:
            self._one(topic, each, at_ns, now_ns)
            if self._aggregates is not None and topic.name.endswith("@trade"):
                self._derived(self._aggregates.take(event_of(each), at_ns), at_ns, now_ns)

    def _derived(self, aggregates: Iterator[tuple[str, bytes]], at_ns: int, now_ns: int) -> None:
        for name, payload in aggregates:
            self._one(self.hub.topic(name), payload, at_ns, now_ns)

    def _overdue(self, at_ns: int | None) -> None:
        if self._aggregates is not None:
            self._derived(self._aggregates.overdue(at_ns), at_ns or self._first_ns, 0)

    def _one(self, topic: Topic, payload: bytes, at_ns: int, now_ns: int) -> None:
        if self.shift_ns is not None:
            payload = shifted(payload, self.shift_ns(at_ns))
        faults = self.faults.on_event(topic.name, at_ns - self._first_ns) if self.faults.triggers else []
        held = self._held_back.pop(topic.name, ())
        self._with_faults(topic, payload, faults, now_ns)
        for each in held:
            self.hub.send(topic, each)

    def _with_faults(self, topic: Topic, payload: bytes, faults: list[Fault], now_ns: int) -> None:
        if not faults:
            self.hub.send(topic, payload)
            return
        for fault in faults:
            if fault.kind in CONNECTION_FAULTS:
                self._victimize(topic, payload, fault)
        kinds = {fault.kind: fault for fault in faults}
        if FaultKind.BIG in kinds:
            self._specially(topic, enveloped(topic.name, _PADDING), frame)
        if FaultKind.DROP in kinds:
            topic.events += 1
        elif FaultKind.DELAY in kinds:
            due = now_ns + kinds[FaultKind.DELAY].for_ns
            heapq.heappush(self._delayed, (due, next(self._order), topic, payload))
        elif FaultKind.REORDER in kinds:
            self._held_back.setdefault(topic.name, []).append(payload)
        elif FaultKind.MALFORMED in kinds:
            self._specially(topic, payload, lambda body: frame(body[: len(body) // 2]))
        elif FaultKind.FRAGMENT in kinds or FaultKind.PING_INSIDE in kinds:
            inside = frame(b"inside", PING) if FaultKind.PING_INSIDE in kinds else b""
            pieces = (kinds.get(FaultKind.FRAGMENT) or kinds[FaultKind.PING_INSIDE]).pieces
            self._specially(topic, payload, lambda body: fragments(body, pieces, inside))
        else:
            for _ in range(2 if FaultKind.DUPLICATE in kinds else 1):
                self.hub.send(topic, payload)

    def _specially(self, topic: Topic, payload: bytes, encode: Callable[[bytes], bytes]) -> None:
        """Send something in frames of its own making."""
        topic.events += 1
        for shape, members in topic.audience.items():
            data = encode(shaped(payload, shape))
            for outlet in members:
                outlet.out.append(data)

    def _victimize(self, topic: Topic, payload: bytes, fault: Fault) -> None:
        for shape, members in list(topic.audience.items()):
            body = shaped(payload, shape)
            self._victims.suffer(fault, list(members), (header(len(body)) + body)[: max(len(body) // 2, 3)])

    def next_ns(self) -> int | None:
        """When the next delayed event is due."""
        return self._delayed[0][0] if self._delayed else None

    def release(self, now_ns: int) -> None:
        """Send delayed events that are due."""
        while self._delayed and self._delayed[0][0] <= now_ns:
            _, _, topic, payload = heapq.heappop(self._delayed)
            self.hub.send(topic, payload)

    def finish(self) -> None:
        """Send what was waiting for something behind it, at the end of a pass."""
        self._overdue(None)
        for name, held in list(self._held_back.items()):
            for payload in held:
                self.hub.send(self.hub.topic(name), payload)
        self._held_back.clear()


def shutdown_frame(shape: Shape, time_ms: int) -> bytes:
    """Return serverShutdown as a connection of this shape gets it. Source: protocol notes, section 2.1."""
    event = b'{"e":"serverShutdown","E":%d}' % time_ms
    return frame(enveloped("!serverShutdown", event) if shape.combined else event)
