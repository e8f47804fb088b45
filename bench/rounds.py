"""Contenders taken in turns, so that a busy neighbour hits all of them alike; of each the best round counts."""

import gc
import os
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

SELDOM = 3
FOREIGN_SHARE = 0.05
FOREIGN_NS = 20_000_000
"""A round is clean if others took at most this share of it, and the steps in which the system counts."""
Timed = Callable[[], int]
"""Does its work and returns the nanoseconds of the part that counts."""


def now() -> int:
    """Return CPU time of this thread, nanoseconds: what others do on the machine is not in it."""
    return time.thread_time_ns()


def timed(work: Callable[[], object], clock: Callable[[], int] = now) -> Timed:
    """Return what does the same and returns the time it took."""

    def run() -> int:
        start = clock()
        work()
        return clock() - start

    return run


def best_of(contenders: Mapping[str, Timed], rounds: int, seldom: Collection[str] = ()) -> dict[str, int]:
    """Return the best time of each, the order drawn anew for every round; garbage is not collected meanwhile.

    Those named in `seldom` take part in each third round only, because they take so much longer.
    """
    best: dict[str, int] = {}
    for number in range(rounds):
        order = [name for name in contenders if number % SELDOM == 0 or name not in seldom]
        random.shuffle(order)
        for name in order:
            gc.collect()
            gc.disable()
            spent = contenders[name]()
            gc.enable()
            best[name] = min(best.get(name, spent), spent)
    return best


@dataclass(slots=True)
class Waited:
    """Work timed by the wall clock, for what runs on several threads; a round is clean if others left the cores alone.

    `cores` is how many the best round kept busy by itself.
    """

    work: Callable[[], object]
    clean: int = 0
    rounds: int = 0
    best_ns: int = 0
    cores: float = 0.0
    _best_is_clean: bool = False

    def round(self) -> int:
        """Do the work once. Returns the best time so far, of clean rounds as soon as there is one."""
        busy, own, start = _busy_ns(), time.process_time_ns(), time.perf_counter_ns()
        self.work()
        wall, own = time.perf_counter_ns() - start, time.process_time_ns() - own
        is_clean = _busy_ns() - busy - own <= FOREIGN_SHARE * wall + FOREIGN_NS
        self.rounds += 1
        self.clean += is_clean
        if (not is_clean, wall) < (not self._best_is_clean, self.best_ns or wall + 1):
            self.best_ns, self.cores, self._best_is_clean = wall, own / wall, is_clean
        return self.best_ns


def _busy_ns() -> int:
    """Return the time all cores were busy, nanoseconds, in steps of a hundredth of a second."""
    user, nice, system, _, _, irq, soft, steal, *_ = map(int, Path("/proc/stat").read_text().split()[1:11])
    return (user + nice + system + irq + soft + steal) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def pin(cpu: int | None) -> None:
    """Stay on one core, and so do the processes that are started from here on; None leaves it to the system."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
