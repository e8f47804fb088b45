"""What one connection and one address may do: the venue's figures, which tests may scale."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from hftcap.binance.endpoints import CONNECTION_LIMITS, MAX_CLIENT_FRAME_BYTES, WEIGHT_PER_MINUTE, Market

FRAME_HEADER_BYTES = 8
"""Of a client's frame of 126 bytes and more: two of the header, two of length, four of mask."""
QUEUE_BYTES = 8 << 20
CLOSE_GRACE_NS = 5_000_000_000
STALL_NS = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in force, times in nanoseconds.

    A client that has `queue_bytes` waiting for it is closed; one that has not answered a close within `close_grace_ns`
    is cut off. At full speed one that takes nothing for `stall_ns` is closed, since all wait for the slowest there.
    """

    ping_interval_ns: int
    pong_deadline_ns: int
    frames_per_second: int
    streams: int
    max_age_ns: int
    attempts_per_5_min: int | None
    weight_per_minute: int
    payload_bytes: int = MAX_CLIENT_FRAME_BYTES - FRAME_HEADER_BYTES
    queue_bytes: int = QUEUE_BYTES
    close_grace_ns: int = CLOSE_GRACE_NS
    stall_ns: int = STALL_NS

    @classmethod
    def of(cls, market: Market) -> Self:
        """Return the venue's own."""
        limits = CONNECTION_LIMITS[market]
        return cls(
            limits.ping_interval_ns,
            limits.pong_deadline_ns,
            limits.frames_per_second,
            limits.streams,
            limits.max_age_ns,
            limits.attempts_per_5_min,
            WEIGHT_PER_MINUTE[market],
        )

    def changed(self, values: Mapping[str, Any]) -> Self:  # Any: checked here
        """Return these limits with some of them set anew, by their names.

        Raises:
            ValueError: a name that is no limit, or a value that is no positive whole number.
        """
        known = {field.name for field in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"limit {name!r} is not known: expected one of {', '.join(sorted(known))}")
            if type(value) is not int or value <= 0:
                raise ValueError(f"limit {name} is {value!r}, expected a positive whole number")
        return replace(self, **values)
