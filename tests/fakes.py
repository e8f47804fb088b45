"""Stand-ins for what a test must not wait for."""

from collections.abc import Callable


class FakeClock:
    """A clock that moves when it is asked or slept on, and never by itself.

    Every look at the monotonic clock costs `tick_ns`; a sleep takes what was asked plus `overshoot_ns`. `then` is
    called after each sleep.
    """

    def __init__(self, now_ns: int = 1_000, *, tick_ns: int = 50, overshoot_ns: int = 0) -> None:
        self.now_ns = now_ns
        self.tick_ns = tick_ns
        self.overshoot_ns = overshoot_ns
        self.slept: list[int] = []
        self.then: Callable[[], object] = lambda: None

    def wall_ns(self) -> int:
        return self.now_ns + 1_700_000_000_000_000_000

    def mono_ns(self) -> int:
        self.now_ns += self.tick_ns
        return self.now_ns

    def sleep(self, span_ns: int) -> bool:
        assert span_ns > 0
        self.slept.append(span_ns)
        self.now_ns += span_ns + self.overshoot_ns
        self.then()
        return True
