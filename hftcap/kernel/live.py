"""One record at a time, as it comes from the socket: for whoever cannot wait for a block."""

import numpy as np

from hftcap.binance.endpoints import Market
from hftcap.capture.block import Block, Note
from hftcap.capture.columns import BlockColumns
from hftcap.capture.format import NONE_NS, BlockHeader, Kind, TimeBase
from hftcap.kernel.choice import Kernel
from hftcap.kernel.columns import Columns

_CAPTURE = bytes(8)
"""A capture that is still being made has no name here: what it is merged with has come over its own lines."""


class Live:
    """A kernel that takes records singly. `kernel` has the books and the tables of names.

    `text(payload, conn, recv_ns)` takes a text frame that came over a connection, received at `recv_ns` of the wall
    clock; `row` is what the last record came to, one row, written anew by the next. A plain frame goes through the
    compiled kernel, where there is one, in some 300 ns. Any other record is taken as a block of one, and comes out as
    a block gives it.
    """

    def __init__(self, market: Market, *, expects_snapshots: bool) -> None:
        self.kernel = Kernel(market, expects_snapshots=expects_snapshots)
        self.text, self.row = self.kernel.singly(self._odd_text, _CAPTURE.hex())
        self._sequence = 0

    def rest(self, payload: bytes, conn: int, recv_ns: int, symbol: str | None) -> None:
        """Take a REST body; `symbol` is what was asked for."""
        self._take(payload, conn, recv_ns, Kind.REST, symbol)

    def binary(self, payload: bytes, conn: int, recv_ns: int) -> None:
        """Take a binary frame."""
        self._take(payload, conn, recv_ns, Kind.WS_BINARY, None)

    def _odd_text(self, payload: bytes, conn: int, recv_ns: int) -> None:
        self._take(payload, conn, recv_ns, Kind.WS_TEXT, None)

    def _take(self, payload: bytes, conn: int, recv_ns: int, kind: Kind, symbol: str | None) -> None:
        columns = BlockColumns(
            length=np.array([len(payload)], dtype=np.uint32),
            time_ns=np.array([recv_ns], dtype=np.int64),
            rx_lag_ns=np.array([NONE_NS], dtype=np.int64),
            kind=np.array([kind.value], dtype=np.uint8),
            conn=np.array([conn], dtype=np.uint16),
            flags=np.zeros(1, dtype=np.uint8),
        )
        self._sequence += 1
        header = BlockHeader(1, self._sequence, _CAPTURE, 0, *[NONE_NS] * 4, *[0] * 9)
        notes: list[Note] = [] if symbol is None else [{"note": "rest", "record": 0, "symbol": symbol}]
        block = Block(header, TimeBase.WALL, columns, np.zeros(1, dtype=np.int64), payload + b"\n", notes)
        made = self.kernel.run(block).columns
        for name in Columns.__dataclass_fields__:
            getattr(self.row, name)[0] = getattr(made, name)[0]
