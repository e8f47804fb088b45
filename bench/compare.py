"""The whole comparison in one run: decompressing alone, this package, what one would write oneself, other packages.

    python bench/compare.py --cpu 1

On each capture all contenders must end with the same best prices, number of levels, trades and sum of their sizes, and
both kernels must make the same columns, before anything is timed. Rounds are interleaved in random order; of each
contender the best counts. In this process that is CPU time of the thread. A peer (`peers.py`) runs in a process of its
own and reports the CPU time of all of its threads; it inherits the core this is pinned to. What is not installed is
left out, and that is said.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import zstandard

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.contenders import Outcome, Prints, msgspec_dict, orjson_dict, same_levels, split_snapshot
from bench.feeds import NAMES, Feed, feed_of
from bench.peers import PEERS, Running
from bench.rounds import Timed, best_of, pin, timed
from hftcap.capture.block import Block
from hftcap.kernel.choice import chosen
from hftcap.kernel.reference import ReferenceKernel
from tests.kernel.mutating import difference

FRAME_BYTES = 256 << 10
DECOMPRESS = "decompress"
FILE = "hftcap compiled, file to columns and books"
PARSE = "hftcap compiled, blocks in memory"
REFERENCE = "hftcap reference, file to columns and books"
ORJSON = "orjson + dict, best cached"
MSGSPEC = "msgspec + dict, best cached"


def decompressing(feed: Feed) -> Callable[[], object]:
    """Return what decompresses the payloads, level 1 in frames of 256 KiB, read across frames; sums are checked."""
    raw = b"\n".join(feed.payloads) + b"\n"
    compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)
    packed = b"".join(compressor.compress(raw[at : at + FRAME_BYTES]) for at in range(0, len(raw), FRAME_BYTES))
    decompressor = zstandard.ZstdDecompressor()
    buffer = np.empty(FRAME_BYTES, dtype=np.uint8)

    def read(each: Callable[[int], int]) -> int:
        reader = decompressor.stream_reader(packed, read_across_frames=True)
        total = 0
        while size := reader.readinto(buffer):
            total += each(size)
        return total

    expected = int(np.frombuffer(raw, dtype=np.uint8).sum(dtype=np.uint64))
    assert read(lambda size: int(buffer[:size].sum(dtype=np.uint64))) == expected, "not the bytes that went in"
    assert read(int) == len(raw)
    return partial(read, int)


def from_file(feed: Feed, kernel: type[ReferenceKernel]) -> Outcome:
    prints, run = Prints(), feed.new(kernel)
    for chunk in feed.recording.chunks():
        prints.add(run.run(chunk.block).columns)
    return prints.outcome(run)


def from_memory(feed: Feed, blocks: list[Block], kernel: type[ReferenceKernel]) -> Outcome:
    prints, run = Prints(), feed.new(kernel)
    for block in blocks:
        prints.add(run.run(block).columns)
    return prints.outcome(run)


def equal_kernels(feed: Feed, kernel: type[ReferenceKernel]) -> ReferenceKernel:
    """Hold a kernel against the reference over the whole capture, to the last bit; return it as it ends."""
    ours, reference = feed.new(kernel), feed.new(ReferenceKernel)
    for chunk in feed.recording.chunks():
        found = difference(ours.run(chunk.block), reference.run(chunk.block))
        assert found is None, found
    for symbol, book in reference.books.items():
        assert ours.books[symbol].book.sha256() == book.book.sha256(), f"books of {symbol} differ"
    return ours


def checked(feed: Feed, blocks: list[Block]) -> tuple[Outcome, dict[str, Timed]]:
    """Return what all must end with, and the contenders of this process, after holding each against it."""
    snapshot, payloads = split_snapshot(feed.payloads)
    kernel = chosen()
    expected = from_file(feed, ReferenceKernel)
    ended = equal_kernels(feed, kernel)
    ways: dict[str, Callable[[], Outcome]] = {REFERENCE: partial(from_file, feed, ReferenceKernel)}
    if kernel is not ReferenceKernel:
        ways |= {FILE: partial(from_file, feed, kernel), PARSE: partial(from_memory, feed, blocks, kernel)}
    for name, way in ((ORJSON, orjson_dict), (MSGSPEC, msgspec_dict)):
        book, _ = way(snapshot, payloads)
        assert same_levels(ended, book), f"{name}: levels differ"
        ways[name] = lambda way=way: way(snapshot, payloads)[1]  # type: ignore[misc]  # the default binds it
    for name, take in ways.items():
        outcome = take()
        assert outcome.agrees(expected), f"{name}: {outcome}, expected {expected}"
    return expected, {DECOMPRESS: timed(decompressing(feed))} | {name: timed(take) for name, take in ways.items()}


def with_peers(stack: ExitStack, feed: Feed, folder: Path, expected: Outcome) -> dict[str, Timed]:
    """Start the peers that are there, and hold a first round of each against what all must end with."""
    snapshot, payloads = split_snapshot(feed.payloads)
    file = folder / "payloads.txt"
    file.write_bytes(b"".join(payload + b"\n" for payload in ([] if snapshot is None else [snapshot]) + payloads))
    ways: dict[str, Timed] = {}
    for peer in PEERS:
        reason = peer.absent(feed)
        if reason is not None:
            print(f"  left out: {peer.name} {peer.version}: {reason}")
            continue
        running = stack.enter_context(Running(peer, feed, file))
        running.round()
        assert running.outcome is not None
        assert running.outcome.agrees(expected, level_error=peer.level_error), (
            f"{peer.name}: {running.outcome}, expected {expected}"
        )
        ways[f"{peer.name} {peer.version}{', gz file to rows' if peer.from_file else ''}"] = running.round
    return ways


def compare(feed: Feed, folder: Path, rounds: int) -> None:
    """Check, time, print."""
    chunks = list(feed.recording.chunks())
    messages = len(feed.payloads)
    print(f"{feed.name}: {messages:,} messages", flush=True)
    expected, ways = checked(feed, [chunk.block for chunk in chunks])
    with ExitStack() as stack:
        ways |= with_peers(stack, feed, folder, expected)
        quick = {DECOMPRESS, FILE, PARSE}
        best = best_of(ways, rounds, seldom=ways.keys() - quick)
    print(
        f"  outputs equal: best {expected.bid:.2f} / {expected.ask:.2f}, {expected.levels:,} levels, "
        f"{expected.trades:,} trades of {expected.traded:.8f}"
    )
    one = best.get(PARSE, best[REFERENCE])
    print(f"  {'':46} {'ns a message':>12} {'x decompress':>12} {'x blocks in memory':>18}")
    for name, spent in sorted(best.items(), key=lambda item: item[1]):
        print(f"  {name:46} {spent / messages:12,.0f} {spent / best[DECOMPRESS]:12.2f} {spent / one:18.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="of the slow ones a third")
    parser.add_argument("--cpu", type=int, help="pin to this core")
    options = parser.parse_args()
    pin(options.cpu)
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(NAMES):
            here = Path(folder) / str(number)
            here.mkdir()
            compare(feed_of(name, here / "capture"), here, options.rounds)


if __name__ == "__main__":
    main()
