"""Open the zstd frames of a block by the zstandard package, each held against what its header promises."""

import threading

import zstandard

from hftcap.capture.format import Flaw

_FRAME_BITS_UNUSED = 0x18
_PER_THREAD = threading.local()
"""Holds each thread's decompressor: zstandard releases the GIL inside one, and it serves one thread at a time."""


def inflate(name: str, stored: bytes | memoryview, raw_bytes: int) -> bytes | Flaw:
    """Return what a frame holds; `name` is for the flaw. No bytes are no frame and hold none.

    Nothing is allocated on the word of a length alone.
    """
    if not stored and not raw_bytes:
        return b""
    try:
        parameters = zstandard.get_frame_parameters(stored)
        if parameters.content_size != raw_bytes:
            return Flaw(f"{name} frame holds {parameters.content_size} bytes, header says {raw_bytes}")
        # libzstd passes over the unused bit of the descriptor; here no bit of a frame's header may be other than meant.
        if not parameters.has_checksum or parameters.dict_id or stored[4] & _FRAME_BITS_UNUSED:
            return Flaw(f"{name} frame has no checksum, a dictionary or an unused bit set")
        return _decompressor().decompress(stored, allow_extra_data=False)
    except zstandard.ZstdError as error:
        return Flaw(f"{name} frame: {error}")


def _decompressor() -> zstandard.ZstdDecompressor:
    try:
        found: zstandard.ZstdDecompressor = _PER_THREAD.decompressor
    except AttributeError:
        found = _PER_THREAD.decompressor = zstandard.ZstdDecompressor()
    return found
