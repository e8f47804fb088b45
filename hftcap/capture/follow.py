"""Read a capture folder while it is being written: every block as soon as it is whole, segment after segment."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hftcap.capture.block import Block, decode_block
from hftcap.capture.decode import Decoder, Part, StoredBlock
from hftcap.capture.folder import find_segments, is_being_written
from hftcap.capture.footer import Footer
from hftcap.capture.format import NONE_NS, TimeBase
from hftcap.capture.reader import Chunk
from hftcap.capture.segment import Segment
from hftcap.errors import DamagedPart, NoSegments, NotACapture, Unreadable

_READ_BYTES = 1 << 20


def follow(folder: Path, wait: Callable[[], bool]) -> Iterator[Chunk]:
    """Yield every block of a folder, those to come as well, until its writer is gone and all is read.

    `wait` is called when there is nothing new; it returns after a while, False where the caller wants to stop.
    Blocks that are not whole when their segment ends are passed over; `verify` lists them.

    Raises:
        NoSegments: the folder holds no capture, and nobody is writing one.
    """
    read: set[tuple[str, int]] = set()
    if not is_being_written(folder):
        find_segments([folder])  # a folder that nobody writes into and that holds nothing is refused
    while True:
        written = is_being_written(folder)  # asked before looking, so that a segment made meanwhile is not missed
        segment = _next_segment(folder, read)
        if segment is not None:
            read.add((segment.preamble.capture_id, segment.preamble.segment))
            yield from _follow_segment(folder, segment, wait)
        elif not written or not wait():
            return


def _next_segment(folder: Path, read: set[tuple[str, int]]) -> Segment | None:
    try:
        paths = find_segments([folder])
    except NoSegments:
        return None  # the writer is there, its first record is not
    for path in paths:
        try:
            segment = Segment(path)
        except (Unreadable, DamagedPart, NotACapture):
            continue  # renamed since it was listed, or its preamble is not there yet: it is met again
        if (segment.preamble.capture_id, segment.preamble.segment) not in read:
            return segment
    return None


def _follow_segment(folder: Path, segment: Segment, wait: Callable[[], bool]) -> Iterator[Chunk]:
    latest = NONE_NS
    for part in _parts(folder, segment.path, wait):
        if isinstance(part, StoredBlock) and part.header.capture_id.hex() == segment.preamble.capture_id:
            block = decode_block(part.header, part.body, segment.preamble.time_base)
            if isinstance(block, Block):
                times = block.columns.time_ns
                if block.time_base is TimeBase.MONOTONIC:
                    offset = segment.preamble.timeline_offset_ns
                    times = times + np.int64(block.header.wall_offset_ns if offset is None else offset)
                timeline = np.maximum.accumulate(np.maximum(times, np.int64(latest)))
                latest = int(timeline[-1]) if len(timeline) else latest
                yield Chunk(segment.path, segment.position(part.header.sequence), block, timeline)


def _parts(folder: Path, path: Path, wait: Callable[[], bool]) -> Iterator[Part]:
    """Yield a segment's parts as they come; the open file stays the same one when it is renamed."""
    decoder = Decoder()
    try:
        with path.open("rb") as file:
            while True:
                written = is_being_written(folder)
                data = file.read(_READ_BYTES)
                for part in decoder.feed(data):
                    yield part
                    if isinstance(part, Footer):
                        return
                if not data and (not written or not wait()):
                    return
    except OSError as error:
        raise Unreadable(path, error.strerror or str(error)) from error
