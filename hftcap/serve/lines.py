"""A capture of redundant connections, served as the one feed it is: every event once.

Prints, quotes and the rest count when they first arrive, as in a replay. Futures cut the same updates into other diffs
on every connection, and a client holds each diff against the one before it (`pu`); so there one connection's diffs are
followed, and another takes over where that one was closed or has been silent while the other went on.

Source: protocol notes, sections 6.3 and 6.5.
"""

from collections import deque
from collections.abc import Mapping

from hftcap.binance.endpoints import Market
from hftcap.binance.lines import Arrival
from hftcap.binance.messages import DepthDiff, RpiDepth
from hftcap.binance.parser import Parser
from hftcap.kernel.feed import Feed

SILENT_NS = 2_000_000_000
"""So long a connection may be silent, in receive time, while another goes on, before the other takes over."""
KEPT = 4_096


class _Followed:
    """The diffs of one stream: which connection is followed, and what others brought beyond it."""

    def __init__(self, line: int, now_ns: int) -> None:
        self.line = line
        self.last_id = -1
        self.last_ns = now_ns
        self.ahead: deque[tuple[int, int, bytes]] = deque(maxlen=KEPT)

    def take(self, line: int, final: int, recv_ns: int, payload: bytes, *, closed: bool) -> list[bytes]:
        if line == self.line:
            self.last_id, self.last_ns = final, recv_ns
            return [payload]
        self.ahead.append((line, final, payload))
        if not closed and recv_ns - self.last_ns < SILENT_NS:
            return []
        taken = [(last, each) for source, last, each in self.ahead if source == line and last > self.last_id]
        self.ahead.clear()
        self.line = line
        if taken:
            self.last_id, self.last_ns = taken[-1][0], recv_ns
        return [each for _, each in taken]


class MergedLines:
    """Says of each event of a capture with redundant connections what is to be sent because of it.

    `first_lines` has by stream the connection that brought it so far.
    """

    def __init__(self, market: Market, first_lines: Mapping[str, int]) -> None:
        self._market = market
        self._first_lines = first_lines
        self._feed = Feed(market, expects_snapshots=False)
        self._parse = Parser().parse
        self._followed: dict[str, _Followed] = {}

    def close(self, line: int, at_ns: int) -> None:
        """Take note that a connection was closed."""
        self._feed.close(line, at_ns)

    def take(self, name: str, payload: bytes, line: int, recv_ns: int) -> list[bytes]:
        """Take an event; return those that are to be sent now, in order."""
        message = self._parse(payload, rest=False, stream=name)
        if isinstance(message, DepthDiff | RpiDepth) and self._market is not Market.SPOT:
            followed = self._followed.get(name)
            if followed is None:
                followed = self._followed[name] = _Followed(self._first_lines.get(name, line), recv_ns)
            closed = recv_ns >= self._feed.closed.get(followed.line, recv_ns + 1)
            return followed.take(line, message.final_update_id, recv_ns, payload, closed=closed)
        arrival = self._feed.take(message, payload, line, ("", -1, -1, recv_ns))
        return [] if arrival is Arrival.COPY else [payload]
