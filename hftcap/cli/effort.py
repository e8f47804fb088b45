"""Options about how the work is done: on how many threads, on which core, and where its time goes."""

import os
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from hftcap.cli.console import say
from hftcap.clock import SystemClock
from hftcap.timings import Timings

_P = ParamSpec("_P")
_T = TypeVar("_T")

Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-J", min=1, max=256, help="Threads to read with; as many as there are cores if not given."),
]
Cpu = Annotated[int | None, typer.Option("--cpu", min=0, help="Run on this core alone.")]
WithTimings = Annotated[bool, typer.Option("--timings", help="Say where the time went, by stage.")]


def pinned(cpu: int | None) -> None:
    """Run on one core from here on, where one is given."""
    if cpu is None:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise typer.BadParameter("this system cannot pin a program to a core", param_hint="--cpu")
    usable = os.sched_getaffinity(0)
    if cpu not in usable:
        names = ", ".join(map(str, sorted(usable)))
        raise typer.BadParameter(f"there is no core {cpu} to run on, only {names}", param_hint="--cpu")
    os.sched_setaffinity(0, {cpu})


def jobs_of(jobs: int | None) -> int:
    """Return on how many threads to read: as asked, or one for each core."""
    if jobs is not None:
        return jobs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Stopwatch:
    """Times a run, where that is asked for; `timings` is None where not."""

    def __init__(self, wanted: bool) -> None:
        clock = SystemClock()
        self._now = clock.mono_ns
        self._begin = self._now()
        self.timings = Timings(clock) if wanted else None

    def timed(self, stage: str, work: Callable[_P, _T]) -> Callable[_P, _T]:
        """Return what does the same, its time counted where that was asked for."""
        return work if self.timings is None else self.timings.timed(stage, work)

    def result(self, jobs: int) -> dict[str, Any]:
        """Return the JSON of what was found, `{}` where nothing was asked for; nanoseconds."""
        if self.timings is None:
            return {}
        wall_ns = self._now() - self._begin
        stages = {f"{stage}_ns": spent for stage, spent in self.timings.spent.items()}
        return {"timings": {"wall_ns": wall_ns, "jobs": jobs} | stages | {"own_ns": self.timings.own_ns()}}


def say_timings(result: dict[str, Any]) -> None:
    """Say on stderr where the time went, if it was asked for."""
    timings = result.get("timings")
    if timings is None:
        return
    wall_ns = timings["wall_ns"]
    stages = ", ".join(
        f"{name[:-3]} {spent / 1e6:,.1f} ms ({spent / wall_ns:.0%})"
        for name, spent in timings.items()
        if name.endswith("_ns") and name not in ("wall_ns", "own_ns")
    )
    threads = f"{timings['jobs']} thread" + ("s" if timings["jobs"] > 1 else "")
    say(f"hftcap: {wall_ns / 1e6:,.1f} ms on {threads}: {stages}; to measure it took {timings['own_ns'] / 1e6:,.2f} ms")
