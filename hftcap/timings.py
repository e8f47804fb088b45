"""Where the time of a run goes, by stage, and what the asking itself costs."""

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from hftcap.clock import Clock

_P = ParamSpec("_P")
_T = TypeVar("_T")

STAGES = ("opening", "parsing", "updating", "counting", "writing")
"""Blocks decompressed and checked, payloads read, books updated, records counted, tables and golden files written."""
_TRIES = 1_000


class Timings:
    """Nanoseconds of the monotonic clock by stage; of what runs on several threads, the sum over them.

    What is left of a run's time is reading the file, handing on, and waiting. `readings` counts looks at the clock.
    """

    def __init__(self, clock: Clock) -> None:
        self.now = clock.mono_ns
        self.spent = dict.fromkeys(STAGES, 0)
        self.readings = 0
        self._lock = threading.Lock()

    def add(self, stage: str, spent_ns: int, readings: int = 2) -> None:
        """Count time spent; `readings` is how often the clock was looked at for it."""
        with self._lock:
            self.spent[stage] += spent_ns
            self.readings += readings

    def timed(self, stage: str, work: Callable[_P, _T]) -> Callable[_P, _T]:
        """Return what does the same, its time counted."""

        @wraps(work)
        def with_time(*args: _P.args, **options: _P.kwargs) -> _T:
            begin = self.now()
            try:
                return work(*args, **options)
            finally:
                self.add(stage, self.now() - begin)

        return with_time

    def own_ns(self) -> int:
        """Return about what all looks at the clock took, by what one takes now."""
        begin = self.now()
        for _ in range(_TRIES):
            self.now()
        return (self.now() - begin) * self.readings // _TRIES
