"""Venue times inside payloads, rewritten in place: shifted by a span, or put into another unit.

Rewritten are the numbers of 13 or 16 digits under the keys `E`, `T`, a candle's `t`, a ticker's `O` and `C`, and REST's
`serverTime`, `time`, `timestamp`, `closeTime`. Ids never are: they stand under other keys, or are a trade's `t`.
Inside a JSON string a quote is escaped, so no such key can be part of one.
"""

import re
from collections.abc import Callable

_TIME = re.compile(
    rb'("(?:E|T|O|C|serverTime|time|timestamp|closeTime)":\s?|"k":\s?\{"t":\s?)(\d{16}|\d{13})(?=[,}\]\s])'
)
_EVENT_TIME = re.compile(rb'"E":\s?(\d{16}|\d{13})[,}]')
_MICROSECONDS = 16

Rewrite = Callable[[bytes], bytes]


def shifted(payload: bytes, span_ns: int) -> bytes:
    """Return a payload with its times moved, each keeping its width and unit; the span is cut to the unit."""
    if not span_ns:
        return payload

    def move(match: re.Match[bytes]) -> bytes:
        digits = match[2]
        unit_ns = 1_000 if len(digits) == _MICROSECONDS else 1_000_000
        moved = b"%d" % (int(digits) + span_ns // unit_ns)
        return match[1] + (moved if len(moved) == len(digits) else digits)

    return _TIME.sub(move, payload)


def in_microseconds(payload: bytes) -> bytes:
    """Return a payload with milliseconds written as microseconds: what lies between is not known, and is 0."""
    return _TIME.sub(lambda match: match[0] if len(match[2]) == _MICROSECONDS else match[0] + b"000", payload)


def in_milliseconds(payload: bytes) -> bytes:
    """Return a payload with microseconds cut to milliseconds."""
    return _TIME.sub(lambda match: match[1] + match[2][:13], payload)


def first_time_ns(payload: bytes) -> int | None:
    """Return the event time of a payload, epoch nanoseconds, None where it has none."""
    match = _EVENT_TIME.search(payload)
    if match is None:
        return None
    return int(match[1]) * (1_000 if len(match[1]) == _MICROSECONDS else 1_000_000)
