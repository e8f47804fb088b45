"""What a message costs as captures, the number of symbols and books grow, and the memory it takes.

    python bench/growth.py --cpu 1

Each step runs in processes of its own, one after the other, whose peak memory is therefore that step's. Times are the
best of several rounds in each of them, CPU time of the thread. Exits 1 where cost or memory grows by more than is
stated here, or where the windows around the touch stopped following: that would give the same books, slowly, so only
the share of levels that miss the window shows it.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.feeds import CORPUS, REAL, feed_of
from bench.longer import message_of, write_longer
from bench.rounds import best_of, now, pin
from hftcap.binance.endpoints import Market
from hftcap.book.levels import Level
from hftcap.capture.block import Block
from hftcap.capture.format import Kind
from hftcap.capture.reader import open_recording
from hftcap.kernel.choice import chosen
from hftcap.kernel.reference import ReferenceKernel
from hftcap.pipeline import Run
from tests.kernel.mutating import Feeder, block_of, compact

PASSES = 3
"""Processes for each step, in turn: what neighbours on the machine do comes in waves longer than a step."""
COPIES = (1, 4, 16, 64)
SYMBOLS = (1, 10, 100, 1_000)
DEPTHS = (100, 1_000, 10_000, 50_000)
SYMBOL_MESSAGES = 200_000
UPDATES = 3_000
WARM = 300
NEAREST = 100
REMOVED = 0.3
MID = 6_000_000
TICK = 1_000_000
RECORDS_A_BLOCK = 1_000

LINEAR_WITHIN = 1.5
"""A message of the longest capture costs at most so many times one of the shortest."""
FLAT_WITHIN_MB = 32
SYMBOLS_WITHIN = 4.0
"""Of a thousand symbols, against one: their books no longer fit into the caches."""
SYMBOL_MB = 1.0
DEPTH_WITHIN = 2.5
EVERYWHERE_WITHIN = 6.0
"""Of updates all over a book of 50,000 levels a side, against the smallest book."""
FAR_MOST = 0.12


@dataclass(frozen=True, slots=True)
class Step:
    """What one step found. `far` is the share of levels beside the windows, None for a kernel without."""

    units: int
    ns: int
    peak_mb: float
    grown_mb: float
    far: float | None
    digest: str = ""
    note: str = ""

    @property
    def unit_ns(self) -> float:
        return self.ns / self.units


def memory_mb(field: str) -> float:
    """Return `VmRSS` or `VmHWM` of this process; `ru_maxrss` would begin at that of the process it came from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024


def levels_of(kernel: ReferenceKernel) -> tuple[int, int] | None:
    """Return how many levels the windows were asked for, and how many of them lay beside."""
    sides = [side for book in kernel.books.values() for side in getattr(book.book, "window", ())]
    return (sum(side[1] for side in sides), sum(side[2] for side in sides)) if sides else None


def plain_of(kernel: ReferenceKernel) -> int:
    return getattr(kernel, "plain_records", 0)


def far_share(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    if before is None or after is None:
        return None
    return (after[1] - before[1]) / max(after[0] - before[0], 1)


def capture_step(segments: list[Path], rounds: int) -> Step:
    """Take a capture from its files to columns and books."""
    begun_mb = memory_mb("VmRSS")
    last: list[Run] = []

    def replay() -> int:
        run = Run(open_recording(segments))
        start = now()
        for _ in run.batches():
            pass
        last[:] = [run]
        return now() - start

    best = best_of({"replay": replay}, rounds)["replay"]
    (run,) = last
    ((_, book),) = run.kernel.books.items()
    records = sum(entry.records for segment in run.recording.segments for entry in segment.index())
    far = far_share((0, 0), levels_of(run.kernel))
    peak = memory_mb("VmHWM")
    return Step(records, best, peak, peak - begun_mb, far, book.book.sha256(), f"{book.sync.gaps} gaps")


def kernel_step(begin: list[Block], blocks: list[Block], units: int, rounds: int) -> Step:
    """Take blocks by a new kernel each round; what is in `begin` is not in the time, but in the memory."""
    begun_mb = memory_mb("VmRSS")
    last: list[tuple[ReferenceKernel, tuple[int, int] | None, int]] = []

    def take() -> int:
        last.clear()
        kernel = chosen()(Market.SPOT, expects_snapshots=True)
        for block in begin:
            kernel.run(block)
        before, plain = levels_of(kernel), plain_of(kernel)
        start = now()
        for block in blocks:
            kernel.run(block)
        spent = now() - start
        last.append((kernel, before, plain_of(kernel) - plain))
        return spent

    best = best_of({"take": take}, rounds)["take"]
    ((kernel, before, plain),) = last
    books = kernel.books.values()
    assert all(book.trusted for book in books), "a book was not joined"
    levels = sum(book.book.n_bids + book.book.n_asks for book in books) // (2 * len(books))
    far = far_share(before, levels_of(kernel))
    grown_mb = memory_mb("VmRSS") - begun_mb
    share = plain / sum(block.records for block in blocks)
    return Step(units, best, memory_mb("VmHWM"), grown_mb, far, note=f"{levels:,} levels a side, {share:.1%} plain")


def symbols_step(count: int, rounds: int) -> Step:
    """Take messages of so many symbols in turn, each joined by a snapshot, half of them before the time begins."""
    rng = random.Random(2)
    feeders = [Feeder(f"S{number}USDT", Market.SPOT, rng) for number in range(count)]
    begin = [
        block_of([feeder.snapshot()], kinds=[Kind.REST], symbol=feeder.symbol, sequence=number)
        for number, feeder in enumerate(feeders)
    ]
    payloads = [message_of(feeders[number % count], rng) for number in range(SYMBOL_MESSAGES)]
    blocks = blocks_of(payloads, len(begin))
    half = len(blocks) // 2
    return kernel_step(begin + blocks[:half], blocks[half:], sum(each.records for each in blocks[half:]), rounds)


def blocks_of(payloads: list[bytes], sequence: int) -> list[Block]:
    runs = [payloads[at : at + RECORDS_A_BLOCK] for at in range(0, len(payloads), RECORDS_A_BLOCK)]
    return [block_of(run, sequence=sequence + number) for number, run in enumerate(runs)]


def deep_updates(levels: int, *, everywhere: bool) -> Iterator[tuple[list[Level], list[Level]]]:
    """Yield a snapshot and updates of a book that keeps about so many levels a side, over ±50 % of its price.

    Updates are of the best hundred levels, or of any.
    """
    rng = random.Random(5)
    places = [sorted([*range(1, NEAREST), *rng.sample(range(NEAREST, MID // 2), levels - NEAREST + 1)]) for _ in "ba"]
    yield _sides([[(place, 10**8) for place in side] for side in places])
    for _ in range(UPDATES):
        drawn = [
            rng.sample(side if everywhere else side[: levels if levels < NEAREST else NEAREST], 20) for side in places
        ]
        yield _sides(
            [[(at, 0 if rng.random() < REMOVED else rng.randrange(1, 10**11)) for at in side] for side in drawn]
        )


def _sides(sides: list[list[Level]]) -> tuple[list[Level], list[Level]]:
    bids, asks = sides
    return [((MID - at) * TICK, size) for at, size in bids], [((MID + at) * TICK, size) for at, size in asks]


def depth_step(everywhere: bool, levels: int, rounds: int) -> Step:
    """Take updates of a book of so many levels a side; the unit is a level, scanned and updated."""
    snapshot, *updates = (
        [[[f"{price / 1e8:.8f}", f"{size / 1e8:.8f}"] for price, size in side] for side in sides]
        for sides in deep_updates(levels, everywhere=everywhere)
    )
    body = compact(None, {"lastUpdateId": 0, "bids": snapshot[0], "asks": snapshot[1]})
    payloads = []
    for number, (bids, asks) in enumerate(updates, start=1):
        event = {"e": "depthUpdate", "E": number, "s": "XUSDT", "U": number, "u": number, "b": bids, "a": asks}
        payloads.append(compact("xusdt@depth@100ms", event))
    begin = [block_of([body], kinds=[Kind.REST], symbol="XUSDT"), block_of(payloads[:WARM], sequence=1)]
    units = sum(len(bids) + len(asks) for bids, asks in updates[WARM:])
    return kernel_step(begin, blocks_of(payloads[WARM:], 2), units, rounds)


def apart(step: Callable[..., Step], arguments: dict[str, tuple[object, ...]]) -> dict[str, Step]:
    """Run a step for each of several arguments, each in a process of its own, all of them several times in turn."""
    best: dict[str, Step] = {}
    for _ in range(PASSES):
        for name, each in arguments.items():
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                found = pool.submit(step, *each).result()
            best[name] = min(best.get(name, found), found, key=lambda one: one.ns)
    return best


def table(title: str, unit: str, steps: dict[str, Step]) -> None:
    first = next(iter(steps.values()))
    print(f"\n{title}")
    print(f"  {'':12} {'ns a ' + unit:>14} {'x the first':>12} {'peak MB':>8} {'grown MB':>9} {'beside window':>14}")
    for name, step in steps.items():
        far = "" if step.far is None else f"{step.far:.1%}"
        print(
            f"  {name:12} {step.unit_ns:14.1f} {step.unit_ns / first.unit_ns:12.2f} {step.peak_mb:8.0f} "
            f"{step.grown_mb:9.1f} {far:>14}  {step.units:,} in all, {step.note}",
            flush=True,
        )


def judged(steps: dict[str, Step], within: float, what: str) -> list[str]:
    """Say where the last step costs more than `within` times the first, or a window stopped following."""
    first, *_, last = steps.values()
    broken = []
    if last.unit_ns > within * first.unit_ns:
        broken.append(f"{what}: {last.unit_ns / first.unit_ns:.2f} times the cost, at most {within} are stated")
    broken += [
        f"{what}, {name}: {step.far:.1%} of the levels lie beside the window, at most {FAR_MOST:.0%} are stated"
        for name, step in steps.items()
        if step.far is not None and step.far > FAR_MOST
    ]
    return broken


def captures(folder: Path, rounds: int) -> list[str]:
    feed = feed_of(REAL[1], folder / "one") if CORPUS else None
    sealed = write_longer(feed, folder / "longer", COPIES[-1], COPIES)
    parts = {f"{copies}x": sealed[: number + 1] for number, copies in enumerate(COPIES)}
    steps = apart(capture_step, {name: (part, max(rounds // len(part), 2)) for name, part in parts.items()})
    table("capture size: file to columns and books", "message", steps)
    broken = judged(steps, LINEAR_WITHIN, "capture size")
    first, *_, last = steps.values()
    if last.peak_mb - first.peak_mb > FLAT_WITHIN_MB:
        broken.append(f"capture size: {last.peak_mb - first.peak_mb:.0f} MB more memory, {FLAT_WITHIN_MB} are stated")
    if feed is not None and (len({step.digest for step in steps.values()}) > 1 or last.note != "0 gaps"):
        broken.append("capture size: the copies did not go on as one feed")
    return broken


def symbols(rounds: int) -> list[str]:
    steps = apart(symbols_step, {f"{count:,}": (count, rounds) for count in SYMBOLS})
    table("symbols, round robin, blocks in memory", "message", steps)
    first, *_, last = steps.values()
    each_mb = (last.grown_mb - first.grown_mb) / (SYMBOLS[-1] - SYMBOLS[0])
    print(f"  {each_mb * 1024:.0f} KiB a symbol")
    broken = judged(steps, SYMBOLS_WITHIN, "symbols")
    if each_mb > SYMBOL_MB:
        broken.append(f"symbols: {each_mb:.2f} MB each, {SYMBOL_MB} are stated")
    return broken


def depths(rounds: int) -> list[str]:
    near = apart(depth_step, {f"{depth:,}": (False, depth, rounds) for depth in DEPTHS})
    table("levels a side, updates near the touch, blocks in memory", "level", near)
    everywhere = apart(depth_step, {f"{depth:,}": (True, depth, rounds) for depth in DEPTHS})
    table("levels a side, updates anywhere in ±50 %, so mostly beside the window", "level", everywhere)
    broken = judged(near, DEPTH_WITHIN, "depth")
    (*_, far), (first, *_) = everywhere.values(), near.values()
    if far.unit_ns > EVERYWHERE_WITHIN * first.unit_ns:
        broken.append(f"depth, updates everywhere: {far.unit_ns / first.unit_ns:.1f} times the cost of the smallest")
    return broken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cpu", type=int, help="pin to this core")
    parser.add_argument("--only", choices=("captures", "symbols", "depths"))
    options = parser.parse_args()
    pin(options.cpu)
    broken = []
    if options.only in (None, "captures"):
        with tempfile.TemporaryDirectory() as folder:
            broken += captures(Path(folder), options.rounds)
    if options.only in (None, "symbols"):
        broken += symbols(options.rounds)
    if options.only in (None, "depths"):
        broken += depths(options.rounds)
    for line in broken:
        print(line)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
