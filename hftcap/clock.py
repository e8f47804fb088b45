"""The system's clocks, behind a protocol, so that every other module is given its time.

`wall_ns` is CLOCK_REALTIME (may step), `mono_ns` CLOCK_MONOTONIC (never steps, restarts with the machine).
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a module gets its time from."""

    def wall_ns(self) -> int:
        """Return the wall clock, nanoseconds since the Unix epoch."""

    def mono_ns(self) -> int:
        """Return the monotonic clock, nanoseconds since an arbitrary point."""

    def sleep(self, span_ns: int) -> bool:
        """Let so much time pass; always True, so that it serves where a caller may be told to stop waiting."""


class SystemClock:
    """The clocks of this host."""

    def wall_ns(self) -> int:
        """Return CLOCK_REALTIME in nanoseconds."""
        return time.time_ns()

    def mono_ns(self) -> int:
        """Return CLOCK_MONOTONIC in nanoseconds."""
        return time.monotonic_ns()

    def sleep(self, span_ns: int) -> bool:
        """Let so much time pass; always True, so that it serves where a caller may be told to stop waiting."""
        time.sleep(span_ns / 1e9)
        return True
