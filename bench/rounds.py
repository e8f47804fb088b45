"""Contenders taken in turns, so that a busy neighbour hits all of them alike; of each the best round counts."""

import gc
import os
import random
import time
from collections.abc import Callable, Collection, Mapping

SELDOM = 3
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


def pin(cpu: int | None) -> None:
    """Stay on one core, and so do the processes that are started from here on; None leaves it to the system."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
