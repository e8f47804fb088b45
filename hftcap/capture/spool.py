"""A capture that comes as a stream of bytes, put into files that can be read like any other.

Segments may follow each other without anything in between, as `cat` joins them: the bytes are cut where a segment's
footer ends, or where a preamble begins. Behind a part that is damaged nothing can be cut: the reader will say so.
"""

import shutil
from pathlib import Path
from typing import BinaryIO

from hftcap.capture.folder import SUFFIX
from hftcap.capture.format import (
    BLOCK_HEADER_BYTES,
    BLOCK_MAGIC,
    FOOTER_MAGIC,
    FRAME,
    PREAMBLE_MAGIC,
    SKIPPABLE_MAGIC,
    Flaw,
    unpack_block_header,
)
from hftcap.errors import WriteFailed

_COPY_BYTES = 1 << 20
_MAGIC_BYTES = len(BLOCK_MAGIC)


def spool(stream: BinaryIO, folder: Path, name: str) -> list[Path]:
    """Write the bytes of a stream into `folder`, a file per segment; return the files in order.

    Raises:
        WriteFailed: there is no room for them.
    """
    whole = folder / f"{name}-000000{SUFFIX}"
    try:
        with whole.open("wb") as file:
            shutil.copyfileobj(stream, file, _COPY_BYTES)
        paths = [whole]
        begins = _segment_begins(whole)
        for number in range(len(begins) - 1, 0, -1):  # from the end, so that each cut leaves the file's front as it is
            path = folder / f"{name}-{number:06d}{SUFFIX}"
            with whole.open("r+b") as source, path.open("wb") as target:
                source.seek(begins[number])
                shutil.copyfileobj(source, target, _COPY_BYTES)
                source.truncate(begins[number])
            paths.insert(1, path)
    except OSError as error:
        raise WriteFailed(folder, error.strerror or str(error)) from error
    return paths


def _segment_begins(path: Path) -> list[int]:
    """Return where in a file the segments begin, going from part to part by their lengths."""
    begins = [0]
    at = 0
    with path.open("rb") as file:
        size = file.seek(0, 2)
        while at + FRAME.size + _MAGIC_BYTES <= size:
            file.seek(at)
            head = file.read(FRAME.size + BLOCK_HEADER_BYTES)
            frame_magic, length = FRAME.unpack_from(head)
            magic = head[FRAME.size : FRAME.size + _MAGIC_BYTES]
            if frame_magic != SKIPPABLE_MAGIC or magic not in (PREAMBLE_MAGIC, BLOCK_MAGIC, FOOTER_MAGIC):
                break
            if magic == PREAMBLE_MAGIC and at > begins[-1]:
                begins.append(at)
            if magic == BLOCK_MAGIC:
                header = unpack_block_header(head[FRAME.size :])
                if isinstance(header, Flaw) or length != header.frame_bytes:
                    break
                at += header.block_bytes
            else:
                at += FRAME.size + length
    return begins
