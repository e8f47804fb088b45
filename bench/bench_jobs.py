"""Two threads against one, over several segments: columns and books, and all tables of a report.

A script: `python bench/bench_jobs.py`. Columns, books and tables must come out the same for both, to the last bit,
before anything is timed. Rounds are interleaved in random order, by the wall clock, since what counts here is how long
one waits. Whatever else runs on a machine of few cores takes from two threads first, so the best of those rounds counts
in which next to nothing else ran; how many there were is printed, and without any the figures say little.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.feeds import CORPUS, REAL, feed_of
from bench.longer import write_longer
from bench.rounds import Waited, best_of
from hftcap.capture.reader import open_recordings
from hftcap.clock import SystemClock
from hftcap.kernel import Columns, Selection
from hftcap.pacing import Pace, Pacer, speed_of
from hftcap.pipeline import Run
from hftcap.replaying import Part, Replay
from hftcap.report.parquet import Report
from hftcap.report.schema import TABLES

COPIES = 8
SEGMENTS_END = (2, 4, 6, 8)
INTERVAL_NS = 1_000_000_000
JOBS = (1, 2)


def columns(folder: Path, jobs: int) -> Run:
    """Take all segments to columns and books."""
    run = Run(open_recordings([folder]), jobs=jobs)
    for _ in run.batches():
        pass
    return run


def digest(folder: Path, jobs: int) -> tuple[str, dict[str, str], int]:
    """Return the digest of every column in record order, those of the books, and how many records there were."""
    run, sums, records = Run(open_recordings([folder]), jobs=jobs), hashlib.sha256(), 0
    for batch in run.batches():
        for name in Columns.__dataclass_fields__:
            sums.update(getattr(batch.columns, name).tobytes())
        records += batch.records
    return sums.hexdigest(), {symbol: book.book.sha256() for symbol, book in run.kernel.books.items()}, records


def report(folder: Path, out: Path, jobs: int) -> None:
    """Write all tables, as `replay --report` does."""
    pacer = Pacer(Pace(speed_of("max")), SystemClock())
    played = Replay(lambda: open_recordings([folder]), pacer, Part(Selection()), levels=True, jobs=jobs)
    run = played.run
    ids = [each.preamble.capture_id for each in run.recordings]
    with Report(out, ids, run.kernel, run.locate, interval_ns=INTERVAL_NS, force=True, threads=jobs > 1) as tables:
        played.sinks.append(tables.take)
        for _ in played.batches():
            pass
        tables.end(played.held)


def tables_in(out: Path) -> dict[str, str]:
    return {name: hashlib.sha256((out / f"{name}.parquet").read_bytes()).hexdigest() for name in TABLES}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < max(JOBS):
        print("there is one core only: two threads would say nothing")
        return 1
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "capture"
        feed = feed_of(REAL[1], Path(work) / "one") if CORPUS else None
        segments = write_longer(feed, folder, COPIES, SEGMENTS_END)
        one, two = (digest(folder, jobs) for jobs in JOBS)
        records = one[2]
        if one != two:
            print(f"columns or books differ: {one} for one thread, {two} for two")
            return 1
        outs = {jobs: Path(work) / f"tables-{jobs}" for jobs in JOBS}
        for jobs, out in outs.items():
            report(folder, out, jobs)
        if tables_in(outs[1]) != tables_in(outs[2]):
            print("tables differ")
            return 1
        table_bytes = sum(path.stat().st_size for path in outs[1].iterdir())
        ways = {f"columns, {jobs}": Waited(partial(columns, folder, jobs)) for jobs in JOBS}
        ways |= {f"report, {jobs}": Waited(partial(report, folder, outs[jobs], jobs)) for jobs in JOBS}
        best_of({name: way.round for name, way in ways.items()}, options.rounds)
        for out in outs.values():
            shutil.rmtree(out)
    print(f"{records:,} records in {len(segments)} segments; columns, books and tables equal for one thread and two")
    for name, way in ways.items():
        print(
            f"  {name + ' thread' + 's' * name.endswith('2'):20} {way.best_ns / records:8.0f} ns a record, "
            f"{way.cores:.2f} cores busy; {way.clean} of {way.rounds} rounds clean"
        )
    best = {name: way.best_ns for name, way in ways.items()}
    print(f"  columns, two threads: {best['columns, 1'] / best['columns, 2']:.2f} times the speed of one")
    print(f"  report, two threads: {best['report, 1'] / best['report, 2']:.2f} times the speed of one")
    share = best["columns, 2"] / best["report, 2"]
    print(f"  report of {table_bytes / 1e6:.0f} MB at {share:.0%} of the speed of columns alone, on two threads")
    return 0


if __name__ == "__main__":
    sys.exit(main())
