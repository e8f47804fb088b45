"""One field of a decoded payload at a time: its value in our units, or `Malformed`.

JSON's types are held to exactly: `true` is no number, `1.0` no whole number, a number no string.
"""

import re
from decimal import Decimal
from typing import Any

from hftcap.fixed import INT64_MAX

Fields = dict[str, Any]  # Any: decoded JSON

MS_MAX = INT64_MAX // 1_000_000
"""The latest time in milliseconds that nanoseconds can hold."""

_US_MIN = 10**14
_US_MAX = INT64_MAX // 1_000
_DECIMAL = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?", re.ASCII)


class Malformed(Exception):
    """A field is missing or of the wrong type; caught where the payload's parse began."""


def symbol_of(data: Fields) -> str:
    """Return the symbol of an event."""
    return text(data["s"])


def symbol_if_any(data: Fields) -> str | None:
    """Return the symbol of an event, None where it names none."""
    symbol = data.get("s")
    return symbol if type(symbol) is str else None


def event_ns_if_any(data: Fields) -> int | None:
    """Return the event time, None where the event has none."""
    event = data.get("E")
    return None if event is None else venue_ns(event)


def venue_ns(value: Any) -> int:  # Any: decoded JSON
    """Turn the venue's milliseconds or microseconds, told apart by magnitude, into nanoseconds."""
    if type(value) is int:
        if 0 <= value <= MS_MAX:
            return value * 1_000_000
        if _US_MIN <= value <= _US_MAX:
            return value * 1_000
    raise Malformed(f"found time {str(value)[:40]}, expected epoch milliseconds or microseconds")


def whole(value: Any, lowest: int = 0) -> int:  # Any: decoded JSON
    """Return a whole number between `lowest` and int64."""
    if type(value) is int and lowest <= value <= INT64_MAX:
        return value
    raise Malformed(f"found {str(value)[:40]}, expected a whole number within 64 bits")


def reply_id(data: Fields) -> int | str | None:
    """Return the id that an answer echoes."""
    value = data.get("id")
    if value is None or type(value) is str or (type(value) is int and -INT64_MAX - 1 <= value <= INT64_MAX):
        return value
    raise Malformed(f"found id {str(value)[:40]}, expected a 64-bit number, a string or null")


def text(value: Any) -> str:  # Any: decoded JSON
    """Return a string."""
    if type(value) is str:
        return value
    raise Malformed(f"found {str(value)[:40]}, expected a string")


def boolean(value: Any) -> bool:  # Any: decoded JSON
    """Return true or false."""
    if type(value) is bool:
        return value
    raise Malformed(f"found {str(value)[:40]}, expected true or false")


def taker_side(data: Fields) -> str:
    """Return the aggressor's side: where the buyer is the maker, the taker sold."""
    return "A" if boolean(data["m"]) else "B"


def decimal(value: Any) -> Decimal:  # Any: decoded JSON
    """Return decimal text, a sign allowed, as a `Decimal`."""
    if _DECIMAL.fullmatch(text(value)) is None:
        raise Malformed(f"found {value[:40]}, expected a decimal number")
    return Decimal(value)
