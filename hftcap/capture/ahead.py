"""Blocks opened while those before them are still being worked on: on other threads, handed over in file order.

Most of opening a block is decompression, which runs without the interpreter's lock.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Protocol

from hftcap.capture.block import Block, decode_block
from hftcap.capture.decode import Part, StoredBlock
from hftcap.capture.format import BlockHeader, Flaw, TimeBase

_AHEAD_BYTES = 4 << 20
"""So many bytes of payload are opened ahead, beside what is being worked on; a larger block is opened alone."""

Opened = Callable[[], Block | Flaw]
"""Returns what a stored block holds, once it is open."""


Decode = Callable[[BlockHeader, bytes | memoryview, TimeBase], Block | Flaw]
"""Opens a stored block, as `decode_block` does."""


class Opening(Protocol):
    """Whatever opens the blocks among parts: yields each part and, of a block, how to get what it holds."""

    def __call__(self, parts: Iterator[Part], time_base: TimeBase, /) -> Iterator[tuple[Part, Opened | None]]:
        """Yield the parts in their order."""
        ...


class OneByOne:
    """Open each block when it is asked for; `decode` does it."""

    def __init__(self, decode: Decode = decode_block) -> None:
        self._decode = decode

    def __call__(self, parts: Iterator[Part], time_base: TimeBase) -> Iterator[tuple[Part, Opened | None]]:
        """Yield the parts in their order."""
        for part in parts:
            opened = partial(self._decode, part.header, part.body, time_base) if isinstance(part, StoredBlock) else None
            yield part, opened
            del part, opened


ONE_BY_ONE: Opening = OneByOne()


class Ahead:
    """Open blocks on `threads` threads, and on that of whoever waits for one that none of them has begun."""

    def __init__(self, threads: int, decode: Decode = decode_block) -> None:
        self._decode = decode
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="open")

    def __call__(self, parts: Iterator[Part], time_base: TimeBase) -> Iterator[tuple[Part, Opened | None]]:
        """Yield the parts in their order."""
        waiting: deque[tuple[Part, Opened | None]] = deque()
        bytes_ahead = 0
        for part in parts:
            if isinstance(part, StoredBlock):
                bytes_ahead += part.header.payloads_raw
                opened = partial(self._decode, part.header, part.body, time_base)
                waiting.append((part, partial(_result, self._pool.submit(opened), opened)))
            else:
                waiting.append((part, None))
            while bytes_ahead > _AHEAD_BYTES and waiting:
                part, taken = waiting.popleft()
                bytes_ahead -= _raw_bytes(part)
                yield part, taken
                del part, taken
        yield from waiting


def opening(jobs: int, decode: Decode = decode_block) -> Opening:
    """Return what opens blocks for so many jobs, one of which is the caller's own thread."""
    return Ahead(jobs - 1, decode) if jobs > 1 else OneByOne(decode)


def _raw_bytes(part: Part) -> int:
    return part.header.payloads_raw if isinstance(part, StoredBlock) else 0


def _result(future: "Future[Block | Flaw]", opened: Opened) -> Block | Flaw:
    return opened() if future.cancel() else future.result()
