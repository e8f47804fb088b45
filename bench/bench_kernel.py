"""A capture file to columns and books, against decompressing its payloads alone: ratios taken in one run.

A script: `python bench/bench_kernel.py --cpu 1`. Both kernels must make the same of the capture, to the last bit,
before anything is timed. Rounds are interleaved in random order on one pinned core; of each the best counts, in thread
CPU time.

With `--prototype DIR`, a folder with a module `lim` built from the prototype of the measurements, that one takes the
same payloads in the same run.
"""

import argparse
import hashlib
import importlib
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.feeds import CORPUS, REAL
from bench.rounds import Timed, best_of, now, pin, timed
from hftcap.binance.endpoints import Market
from hftcap.capture.block import Block
from hftcap.capture.reader import Recording, open_recording
from hftcap.interop.importer import SourceFormat, import_capture
from hftcap.kernel.compiled import CompiledKernel
from hftcap.kernel.reference import ReferenceKernel
from tests.kernel.mutating import Feeder, block_of, compact, difference
from tests.kernel.test_window_levels import market

BLOCK_BYTES = 256 << 10
WARM_BLOCKS = 2
"""Blocks before the timed ones: what is learned once is not a cost of every message."""
FAR_MOST = 0.12
SORTS = {"bookTicker": b"@bookTicker", "trade": b"@trade", "depth": b"@depth"}


def blocks_of(payloads: list[bytes]) -> list[list[bytes]]:
    runs: list[list[bytes]] = [[]]
    size = 0
    for payload in payloads:
        runs[-1].append(payload)
        size += len(payload) + 1
        if size >= BLOCK_BYTES:
            runs.append([])
            size = 0
    return runs if runs[-1] else runs[:-1]


def kernel_on(market: Market, blocks: list[Block], warm: int) -> Timed:
    def run() -> int:
        kernel = CompiledKernel(market, expects_snapshots=False)
        for block in blocks[:warm]:
            kernel.run(block)
        start = now()
        for block in blocks[warm:]:
            kernel.run(block)
        return now() - start

    return run


def prototype_on(module: Any, runs: list[list[bytes]], warm: int) -> Timed:  # Any: it has no types
    parts = []
    for run in runs:
        raw = b"".join(payload + b"\n" for payload in run)
        buffer = np.zeros(len(raw) + 128, dtype=np.uint8)
        buffer[: len(raw)] = np.frombuffer(raw, dtype=np.uint8)
        parts.append((buffer, len(raw), np.array([len(payload) for payload in run], dtype=np.uint32)))
    columns = np.zeros((13, max(len(run) for run in runs)), dtype=np.int64)

    def odd(payload: bytes, book: object) -> tuple[int, ...]:
        return (0,) * 13

    def run() -> int:
        kernel = module.Hot(odd)
        for part in parts[:warm]:
            kernel.split(*part, columns, 0)
        start = now()
        for part in parts[warm:]:
            kernel.split(*part, columns, 0)
        return now() - start

    return run


def equal_outputs(recording: Recording, market: Market) -> CompiledKernel:
    """Hold the kernels against each other over the whole capture; return the compiled one as it ends."""
    compiled = CompiledKernel(market, expects_snapshots=False)
    reference = ReferenceKernel(market, expects_snapshots=False)
    for chunk in recording.chunks():
        found = difference(compiled.run(chunk.block), reference.run(chunk.block))
        assert found is None, found
    for symbol, book in reference.books.items():
        assert compiled.books[symbol].book.sha256() == book.book.sha256()
    return compiled


def decompressing(recording: Recording) -> Timed:
    payloads = [chunk.block.payloads for chunk in recording.chunks()]
    frames = [zstandard.ZstdCompressor(level=1, write_checksum=True).compress(part) for part in payloads]
    decompressor = zstandard.ZstdDecompressor()
    sums = [hashlib.blake2b(part).digest() for part in payloads]
    assert [hashlib.blake2b(decompressor.decompress(frame)).digest() for frame in frames] == sums

    def work() -> None:
        for frame in frames:
            decompressor.decompress(frame)

    return timed(work)


def whole(recording: Recording, market: Market, *, run: bool = True) -> Timed:
    def work() -> None:
        kernel = CompiledKernel(market, expects_snapshots=False)
        for chunk in recording.chunks():
            if run:
                kernel.run(chunk.block)

    return timed(work)


def bench(name: str, recording: Recording, rounds: int, prototype: Any) -> None:  # Any: it has no types
    market = Market(recording.preamble.market)
    compiled = equal_outputs(recording, market)
    chunks = list(recording.chunks())
    records = sum(chunk.records for chunk in chunks)
    payloads = [payload for chunk in chunks for payload in chunk.block.payload_list() if payload[:9] == b'{"stream"']
    contenders = {
        "decompress": decompressing(recording),
        "read the file": whole(recording, market, run=False),
        "file to columns and books": whole(recording, market),
        "kernel, first block on": kernel_on(market, [chunk.block for chunk in chunks], 0),
        "kernel": kernel_on(market, [chunk.block for chunk in chunks], WARM_BLOCKS),
    }
    counts = dict.fromkeys(contenders, records) | {"kernel": sum(chunk.records for chunk in chunks[WARM_BLOCKS:])}
    levels = 0
    for sort, mark in SORTS.items():
        runs = blocks_of([payload for payload in payloads if mark in payload[:60]])
        warm = min(WARM_BLOCKS, len(runs) - 1)
        ways = {sort: kernel_on(market, [block_of(run, sequence=n) for n, run in enumerate(runs)], warm)}
        if prototype is not None:
            ways[f"{sort}, prototype"] = prototype_on(prototype, runs, warm)
        contenders |= ways
        counts |= dict.fromkeys(ways, sum(len(run) for run in runs[warm:]))
        if sort == "depth":
            kernel = CompiledKernel(market, expects_snapshots=False)
            timed_runs = [kernel.run(block_of(run, sequence=n)) for n, run in enumerate(runs)][warm:]
            levels = sum(int(result.columns.levels.sum()) for result in timed_runs)
    best = best_of(contenders, rounds)
    unit = best["decompress"] / records
    print(f"{name}: {records:,} records, {compiled.plain_records / records:.2%} of them plain; outputs equal")
    print(f"  {'':28} {'ns':>8} {'x decompress':>13}")
    for way, spent in best.items():
        print(f"  {way:28} {spent / counts[way]:8.1f} {spent / counts[way] / unit:13.2f}")
        if way.startswith("depth"):
            print(f"  {'  of it, a level':28} {spent / levels:8.1f} {spent / levels / unit:13.2f}")
    figures = [side for book in compiled.books.values() for side in book.book.window]  # type: ignore[attr-defined]
    applied, missed = sum(side[1] for side in figures), sum(side[2] for side in figures)
    print(
        f"  levels beside the window: {missed / max(applied, 1):.1%}, windows moved {sum(s[3] for s in figures)} times"
    )
    assert missed <= FAR_MOST * applied, "the window does not follow the market"


def walk(market: Market) -> list[bytes]:
    feeder = Feeder("BTCUSDT", market, random.Random(1))
    return [feeder.any() for _ in range(40_000)]


WORST = ("plain", "jumps 30 %", "2 % off the grid", "no grid", "drift", "deep, near the touch", "deep")


def worst_bench(rounds: int) -> None:
    """Time a level, scan and update, in markets that do their worst; `deep` has updates all over 50,000 levels."""
    ways: dict[str, Timed] = {}
    levels: dict[str, int] = {}
    for kind in WORST:
        payloads = []
        for number, sides in enumerate(market(kind, 600, seed=5, deep=25_000), start=1):
            names = [[[f"{p / 1e8:.8f}", f"{s / 1e8:.8f}"] for p, s in side] for side in sides]
            event = {"e": "depthUpdate", "E": number, "s": "X", "U": number, "u": number, "b": names[0], "a": names[1]}
            payloads.append(compact("xusdt@depth@100ms", event))
            if number > 1:
                levels[kind] = levels.get(kind, 0) + len(sides[0]) + len(sides[1])
        blocks = [
            block_of(payloads[:1]),
            *(block_of(run, sequence=n) for n, run in enumerate(blocks_of(payloads[1:]), 1)),
        ]
        ways[kind] = kernel_on(Market.SPOT, blocks, 1)
    best = best_of(ways, rounds)
    print("a level in the worst markets, ns: " + ", ".join(f"{kind} {best[kind] / levels[kind]:.0f}" for kind in WORST))


def symbols_bench(rounds: int) -> None:
    """One symbol against a hundred, round robin, the same number of messages."""
    rng = random.Random(2)
    ways, records = {}, 60_000
    for count in (1, 20, 100):
        feeders = [Feeder(f"S{n}USDT", Market.SPOT, rng) for n in range(count)]
        payloads = [feeders[n % count].any() for n in range(records)]
        blocks = [block_of(run, sequence=n) for n, run in enumerate(blocks_of(payloads))]
        ways[f"{count} symbols"] = kernel_on(Market.SPOT, blocks, len(blocks) // 2)
    best = best_of(ways, rounds)
    one = best["1 symbols"]
    print("symbols, round robin, against one: " + ", ".join(f"{way} {spent / one:.2f}x" for way, spent in best.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cpu", type=int, help="pin to this core")
    parser.add_argument("--prototype", type=Path, help="folder of the built prototype")
    options = parser.parse_args()
    pin(options.cpu)
    prototype = None
    if options.prototype is not None:
        sys.path.insert(0, str(options.prototype))
        prototype = importlib.import_module("lim")
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(REAL if CORPUS else ()):
            out = Path(folder) / str(number)
            import_capture(SourceFormat.HFTBACKTEST, [Path(CORPUS or "") / name], out, market=None, created_ns=0)
            bench(name, open_recording([out]), options.rounds, prototype)
        if not CORPUS:
            source = Path(folder) / "market.jsonl"
            lines = [b"%d %b\n" % (1_723_161_255_000_000_000 + n * 10**6, p) for n, p in enumerate(walk(Market.SPOT))]
            source.write_bytes(b"".join(lines))
            import_capture(SourceFormat.HFTBACKTEST, [source], Path(folder) / "c", market=Market.SPOT, created_ns=0)
            bench("a made-up market", open_recording([Path(folder) / "c"]), options.rounds, prototype)
    symbols_bench(options.rounds)
    worst_bench(options.rounds)


if __name__ == "__main__":
    main()
