"""The block index of a segment: taken from the footer, or rebuilt by hopping from header to header.

Either way no payload is read or opened. Where a header is not whole the rest of the file is searched for blocks, as a
reader would.
"""

from collections.abc import Iterator
from pathlib import Path

from hftcap.capture.decode import Decoder, StoredBlock
from hftcap.capture.footer import Footer, IndexEntry, unpack_footer
from hftcap.capture.format import (
    BLOCK_HEADER_BYTES,
    FOOTER_MAX,
    FRAME,
    SKIPPABLE_MAGIC,
    TAIL,
    TAIL_MAGIC,
    Flaw,
    unpack_block_header,
)
from hftcap.errors import Unreadable

_READ_BYTES = 1 << 20


def read_footer(path: Path) -> Footer | None:
    """Return the footer that ends a file, None where the file does not end with a whole one.

    Raises:
        Unreadable: the operating system refused.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size < TAIL.size:
                return None
            file.seek(size - TAIL.size)
            offset, _, magic = TAIL.unpack(file.read(TAIL.size))
            if magic != TAIL_MAGIC or not 0 <= offset < size or size - offset > FRAME.size + FOOTER_MAX:
                return None
            file.seek(offset)
            frame = file.read(size - offset)
    except OSError as error:
        raise Unreadable(path, error.strerror or str(error)) from error
    if len(frame) < FRAME.size or FRAME.unpack_from(frame) != (SKIPPABLE_MAGIC, len(frame) - FRAME.size):
        return None
    footer = unpack_footer(frame[FRAME.size :], offset)
    return None if isinstance(footer, Flaw) else footer


def read_footer_crc(path: Path) -> int | None:
    """Return the checksum in the tail of a file's footer, None where the file does not end with one.

    Raises:
        Unreadable: the operating system refused.
    """
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) < TAIL.size:
                return None
            file.seek(-TAIL.size, 2)
            crc: int
            _, crc, magic = TAIL.unpack(file.read(TAIL.size))
    except OSError as error:
        raise Unreadable(path, error.strerror or str(error)) from error
    return crc if magic == TAIL_MAGIC else None


def hop(path: Path, first: int) -> Iterator[IndexEntry]:
    """Yield an entry for every block from byte `first` on, where the preamble ends.

    Raises:
        Unreadable: the operating system refused.
    """
    offset = first
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            while offset + FRAME.size + BLOCK_HEADER_BYTES <= size:
                file.seek(offset)
                head = file.read(FRAME.size + BLOCK_HEADER_BYTES)
                header = unpack_block_header(head[FRAME.size :])
                if isinstance(header, Flaw) or FRAME.unpack_from(head) != (SKIPPABLE_MAGIC, header.frame_bytes):
                    break
                if offset + header.block_bytes > size:
                    return
                yield IndexEntry.of(offset, header)
                offset += header.block_bytes
            else:
                return
            file.seek(offset)
            decoder = Decoder(offset)
            while data := file.read(_READ_BYTES):
                for part in decoder.feed(data):
                    if isinstance(part, StoredBlock):
                        yield IndexEntry.of(part.offset, part.header)
    except OSError as error:
        raise Unreadable(path, error.strerror or str(error)) from error
