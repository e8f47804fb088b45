"""WebSocket frames as a server writes them, and the envelope of a combined stream put on or taken off by position.

    event     = {"e":…}                              what a raw connection gets
    envelope  = {"stream":"NAME","data":EVENT}       what a combined connection gets

The bytes of an event are never made anew: they are those of the capture, whatever stands around them.

Source: RFC 6455, section 5.2; protocol notes, section 1.3.
"""

import struct
from functools import lru_cache

import msgspec

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
CONTINUATION = 0x0
FIN = 0x80

DATA_KEY = b'"data":'
ENVELOPE = b'{"stream":"'


class _Envelope(msgspec.Struct):
    stream: str
    data: msgspec.Raw


_decode = msgspec.json.Decoder(_Envelope).decode


@lru_cache(maxsize=65_536)
def header(size: int, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    """Return what stands before an unmasked payload of `size` bytes."""
    first = opcode | (FIN if fin else 0)
    if size < 126:
        return struct.pack(">BB", first, size)
    if size < 65_536:
        return struct.pack(">BBH", first, 126, size)
    return struct.pack(">BBQ", first, 127, size)


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    """Return a whole frame."""
    return header(len(payload), opcode, fin=fin) + payload


def close_frame(code: int, reason: str) -> bytes:
    """Return a close frame; the reason is cut to the 123 bytes there is room for."""
    text = reason.encode()[:123].decode(errors="ignore").encode()
    return frame(struct.pack(">H", code) + text, CLOSE)


def fragments(payload: bytes, pieces: int, between: bytes = b"") -> bytes:
    """Return a text message cut into frames, with other (control) frames between each two."""
    size = max(1, -(-len(payload) // pieces))
    parts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    frames = [
        frame(part, TEXT if not number else CONTINUATION, fin=number == len(parts) - 1)
        for number, part in enumerate(parts)
    ]
    return between.join(frames)


def opened(payload: bytes) -> tuple[str, bytes] | None:
    """Return the stream's name and the event's own bytes of an envelope in any shape, None where it is none."""
    try:
        envelope = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return envelope.stream, bytes(envelope.data)


def event_of(payload: bytes) -> bytes:
    """Return the event's own bytes of an envelope in the venue's usual shape, `{"stream":…,"data":EVENT}`, by position.

    A payload that does not begin so is taken for bare.
    """
    if not payload.startswith(ENVELOPE):
        return payload
    return payload[payload.find(DATA_KEY) + len(DATA_KEY) : -1]


def usual(payload: bytes) -> tuple[str, bytes, bool] | None:
    """Return name and usual form of an envelope in any shape, and whether it has that already; None where it is none.

    Only what stands around the event is made anew.
    """
    found = opened(payload)
    if found is None:
        return None
    name, event = found
    head = payload[: payload.find(DATA_KEY)]
    if head.startswith(ENVELOPE) and payload == head + DATA_KEY + event + b"}":
        return name, payload, True
    return name, enveloped(name, event), False


def enveloped(stream: str, event: bytes) -> bytes:
    """Return an event in the venue's envelope."""
    return b'{"stream":' + msgspec.json.encode(stream) + b',"data":' + event + b"}"
