"""One WebSocket connection's way out: what it is owed is collected, and written in one piece.

    open --queue full--> 1008 --grace over--> cut off          open --close--> closing --the client's close--> gone

Nobody waits for a client: what it does not take stays in its transport's buffer, and at `queue_bytes` it is closed,
with a reason; where it does not even read that, it is cut off.
"""

import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Protocol

from hftcap.binance.endpoints import Route
from hftcap.serve.hub import Shape
from hftcap.serve.limits import Limits
from hftcap.serve.session import POLICY, Session
from hftcap.serve.wire import close_frame

SOFT_BYTES = 1 << 20
TOO_SLOW = "Client reads too slowly"


class Transport(Protocol):
    """What is needed of asyncio's transports."""

    def write(self, data: bytes) -> None:
        """Send, or keep to be sent."""

    def get_write_buffer_size(self) -> int:
        """Return how much is kept."""

    def is_closing(self) -> bool:
        """Say whether nothing more is sent."""

    def close(self) -> None:
        """End when all that is kept is sent."""

    def abort(self) -> None:
        """End at once."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return the socket, under that name."""


class Connection:
    """A stream connection. `number` counts connections from 1; `shape` and `route` are the hub's to read.

    `mute` throws away what is owed, `held` keeps it back; `drain` waits until there is room in the transport.
    """

    def __init__(
        self,
        number: int,
        transport: Transport,
        session: Session,
        shape: Shape,
        route: Route | None,
        drain: Callable[[], Awaitable[None]],
    ) -> None:
        self.number = number
        self.session = session
        self.shape = shape
        self.route = route
        self.drain = drain
        self.out: list[bytes] = []
        self.mute = False
        self.held = False
        self.closing: tuple[int, str] | None = None
        self.sent_bytes = 0
        self._transport = transport

    @property
    def limits(self) -> Limits:
        """The limits of this connection."""
        return self.session.limits

    @property
    def waiting_bytes(self) -> int:
        """How much the client has not taken."""
        return self._transport.get_write_buffer_size() + (sum(map(len, self.out)) if self.held else 0)

    def flush(self) -> None:
        """Write all that is owed."""
        out = self.out
        if self.mute or self.closing is not None or self._transport.is_closing():
            out.clear()
            return
        if self.held:
            if self.waiting_bytes > self.limits.queue_bytes:
                self.held = False
                out.clear()
                self.close(POLICY, TOO_SLOW)
            return
        data = b"".join(out)
        out.clear()
        self.sent_bytes += len(data)
        self._transport.write(data)
        # What was written now may wait whole, however large one message is.
        if self._transport.get_write_buffer_size() > max(self.limits.queue_bytes, 2 * len(data)):
            self.close(POLICY, TOO_SLOW)

    def control(self, frame: bytes) -> None:
        """Write a frame that is no event: an answer, a ping, a pong."""
        if self.closing is None:
            self.out.append(frame)
            was_mute, self.mute = self.mute, False
            self.flush()
            self.mute = was_mute

    def close(self, code: int, reason: str) -> None:
        """End the connection in good order; the first reason counts."""
        if self.closing is None and not self._transport.is_closing():
            self.flush_before_close()
            self.closing = (code, reason)
            self._transport.write(close_frame(code, reason))

    def flush_before_close(self) -> None:
        """Write what is owed before the end, as far as it may be."""
        if self.out and not (self.mute or self.held):
            self._transport.write(b"".join(self.out))
        self.out.clear()

    def end(self) -> None:
        """End the connection's transport when all is written."""
        self._transport.close()

    def abort(self) -> None:
        """End at once, whatever is still to be written."""
        self._transport.abort()

    def cut(self, *, reset: bool) -> None:
        """End the connection without a word: what is written stays sent, unless it is to be a reset."""
        if reset:
            found = self._transport.get_extra_info("socket")
            if found is not None:
                # Lingering for no time is what makes the system send a reset.
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # type: ignore[attr-defined]  # asyncio's wrapper of it
            self._transport.abort()
        else:
            self._transport.close()
        self.closing = self.closing or (1006, "cut")
