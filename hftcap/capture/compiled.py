"""Blocks opened in C, where that was built, is wanted, and there is a libzstd.

What comes out is what `hftcap.capture.block` makes of a block. It takes a quarter of the time besides decompressing:
one call without the interpreter's lock, and payloads go into memory that is used again. Fresh memory for each block
would cost as much as to decompress it, because the system clears every page.
"""

import sys
import threading

import numpy as np

from hftcap.capture.columns import Opened, columns_in
from hftcap.capture.format import PAYLOAD_MAX, BlockHeader, Kind
from hftcap.compiled import wanted

_KINDS = sum(1 << kind.value for kind in Kind)
_KEPT_BYTES = 16 << 20
_UNUSED = 3
"""References to memory that nobody looks into: the list's, the loop's and the call's that asks."""


class _PerThread(threading.local):
    """A thread's opener, None where there is none, and the memory it opens blocks into."""

    def __init__(self) -> None:
        self.opener = None
        self._kept: list[bytearray] = []
        if wanted():
            try:
                from hftcap.capture._native import BlockOpener

                self.opener = BlockOpener()
            except (ImportError, OSError):  # there was no compiler, or there is no libzstd
                pass

    def memory(self, wanted_bytes: int) -> bytearray:
        """Return memory of at least so many bytes that nobody looks into."""
        for memory in self._kept:
            if len(memory) >= wanted_bytes and sys.getrefcount(memory) <= _UNUSED:
                return memory
        memory = bytearray(wanted_bytes + wanted_bytes // 4)
        self._kept.insert(0, memory)
        while sum(map(len, self._kept)) > _KEPT_BYTES:
            self._kept.pop()
        return memory


_HERE = _PerThread()


def opened(header: BlockHeader, body: bytes | memoryview) -> tuple[Opened, memoryview, bool] | None:
    """Return columns, payloads, and whether no time is before the one in front of it; `body` is without notes or with.

    None where the block is not as it should be in all respects, has no records, or cannot be opened in C.
    """
    opener = _HERE.opener
    if opener is None or not header.records:
        return None
    memory = _HERE.memory(header.payloads_raw)
    columns = np.empty(header.records * 32, dtype=np.uint8)
    rises = opener.open(header, body, memory, columns, PAYLOAD_MAX, _KINDS)
    if rises is None:
        return None
    return columns_in(columns, header.records), memoryview(memory)[: header.payloads_raw].toreadonly(), rises
