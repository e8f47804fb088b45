"""The columns of a block: what is recorded of each payload besides its bytes.

Before compression each is byte-shuffled (all first bytes, then all second bytes, …), in this order:

    payload length u32 | time i64, delta from the record before, the first from 0 | rx_lag i64 | kind u8 |
    connection u16 | flags u8

Times apart from payloads make a capture 15 to 18 % smaller than headers in line, and they come out ready.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hftcap.capture.format import PAYLOAD_MAX, Flaw, Kind

_WIDTHS = (("<u4", 4), ("<i8", 8), ("<i8", 8), ("u1", 1), ("<u2", 2), ("u1", 1))
_IS_KIND = np.isin(np.arange(256), [kind.value for kind in Kind])


@dataclass(slots=True)
class BlockColumns:
    """The recorded columns of a block, one entry per record.

    `time_ns` is CLOCK_MONOTONIC, or the source's own stamps where the time base is `wall`. `rx_lag_ns` is
    CLOCK_REALTIME in the read callback minus the kernel's receive time, `NONE_NS` where there was no kernel stamp.
    """

    length: NDArray[np.uint32]
    time_ns: NDArray[np.int64]
    rx_lag_ns: NDArray[np.int64]
    kind: NDArray[np.uint8]
    conn: NDArray[np.uint16]
    flags: NDArray[np.uint8]

    def pack(self) -> bytes:
        """Return the columns as they are before compression, 24 bytes a record."""
        delta = np.diff(self.time_ns, prepend=np.int64(0))  # wraps like the sum that undoes it
        parts = (self.length, delta, self.rx_lag_ns, self.kind, self.conn, self.flags)
        return b"".join(
            np.ascontiguousarray(part, dtype=dtype).view(np.uint8).reshape(-1, width).T.tobytes()
            for part, (dtype, width) in zip(parts, _WIDTHS, strict=True)
        )


Opened = tuple[BlockColumns, NDArray[np.int64]]
"""Columns, and where each record's payload begins."""


def unpack_columns(raw: bytes, records: int) -> BlockColumns:
    """Undo `BlockColumns.pack`; `raw` holds exactly 24 bytes a record."""
    planes = np.frombuffer(raw, dtype=np.uint8)
    columns = []
    start = 0
    for dtype, width in _WIDTHS:
        plane = planes[start : start + records * width].reshape(width, records)
        columns.append(np.ascontiguousarray(plane.T).reshape(-1).view(dtype))
        start += records * width
    columns[1] = np.cumsum(columns[1], dtype=np.int64)
    return BlockColumns(*columns)


def open_columns(raw: bytes, records: int, payloads: bytes) -> Opened | Flaw:
    """Open the columns of a block and hold them against its payloads; `raw` holds exactly 24 bytes a record."""
    columns = unpack_columns(raw, records)
    length = columns.length.astype(np.int64)
    longest = int(length.max(initial=0))
    if longest > PAYLOAD_MAX:
        return Flaw(f"payload of {longest} bytes, at most {PAYLOAD_MAX} are allowed")
    end = np.cumsum(length + 1)
    total = int(end[-1]) if records else 0
    if total != len(payloads):
        return Flaw(f"lengths and newlines sum to {total} bytes, payloads have {len(payloads)}")
    newline = np.frombuffer(payloads, dtype=np.uint8)[end - 1]
    if not (newline == 0x0A).all():
        return Flaw("a payload is not followed by a newline")
    if not _IS_KIND[columns.kind].all():
        return Flaw("a record has an unknown kind")
    return columns, end - length - 1


def columns_in(memory: NDArray[np.uint8], records: int) -> Opened:
    """Return the columns that a `_native.BlockOpener` wrote, 32 bytes a record."""
    wide = memory[: records * 24].view(np.int64)
    at = records * 24
    length = memory[at : at + records * 4].view(np.uint32)
    conn = memory[at + records * 4 : at + records * 6].view(np.uint16)
    kind, flags = memory[at + records * 6 : at + records * 7], memory[at + records * 7 :]
    time_ns, rx_lag_ns, start = wide[:records], wide[records : 2 * records], wide[2 * records :]
    return BlockColumns(length, time_ns, rx_lag_ns, kind, conn, flags), start
