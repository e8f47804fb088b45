"""Twenty seeds of the synthetic market held against their truth, and what a busy one costs.

    python bench/soak_synth.py [--seeds 20] [--seconds 20] [--rate 2000] [--no-busy]

Each seed is made four times: spot and USD-M, plain and hard (all streams, two lines, a handover, gaps, clock offset and
drift). The busy one is 20,000 messages a second for 60 seconds of market, in a process of its own: it must take at most
three minutes, and twice the length must not take a tenth more memory. Exits 1 where a promise is broken.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from hftcap.binance.endpoints import Market  # noqa: E402  the checkout first
from hftcap.market.plan import Link, Plan, spread_gaps  # noqa: E402
from hftcap.market.synth import synthesize  # noqa: E402
from tests.market.held import chains, hold  # noqa: E402

SECOND = 1_000_000_000
HARD_STREAMS = ("trade", "aggTrade", "bookTicker", "depth@100ms", "depth", "depth20", "kline_1m", "miniTicker")
BUSY_SECONDS_MAX = 180


def hold_seeds(seeds: int, seconds: int, rate: int) -> int:
    """Make and hold each seed; return how many were wrong."""
    wrong = 0
    for seed in range(seeds):
        for market in (Market.SPOT, Market.USDM):
            plain = Plan(seed=seed, duration_ns=seconds * SECOND, rate=rate, market=market)
            gaps = spread_gaps(2, plain.duration_ns, SECOND, seed)
            link = Link(offset_ns=-40_000_000, drift_ppb=15_000, lines=2)
            hard = replace(plain, streams=HARD_STREAMS, gaps=gaps, handovers=(gaps[0] - SECOND,), link=link)
            for name, plan in (("plain", plain), ("hard", hard)):
                with tempfile.TemporaryDirectory() as folder:
                    synthesize(plan, Path(folder) / "m", "soak")
                    try:
                        counts = hold(Path(folder) / "m")
                        steps = chains(Path(folder) / "m")
                    except AssertionError as error:
                        wrong += 1
                        print(f"seed {seed} {market} {name}: WRONG {error}")
                        continue
                    print(
                        f"seed {seed} {market} {name}: {counts['states']} states, {counts['bookTicker']} quotes, "
                        f"{counts['trade']} trades ({counts['lost trades']} in gaps), {steps} steps of ids"
                    )
    return wrong


def make_busy(seconds: int, market: str) -> tuple[float, int]:
    """Make a busy market in a process of its own; return its seconds and the most memory it had, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["synth", "--seed", "1", "--rate", "20000", "--duration", f"{seconds}s", "--market", market]
        start = time.perf_counter()
        command = [sys.executable, "-m", "hftcap", *words, "-o", f"{folder}/m", "--json"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert child.stdout is not None
        made = json.loads(child.stdout.read())
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
        took = time.perf_counter() - start
        assert status == 0
        sizes = {path.name: path.stat().st_size for path in Path(folder, "m").iterdir()}
    print(
        f"busy {market}: {made['messages']:,} messages in {took:.1f} s "
        f"({usage.ru_utime + usage.ru_stime:.1f} s of CPU), {usage.ru_maxrss >> 10} MB of memory, {sizes}"
    )
    return took, usage.ru_maxrss << 10


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rate", type=int, default=2_000)
    parser.add_argument("--no-busy", action="store_true")
    options = parser.parse_args()
    wrong = 0
    if not options.no_busy:
        # First, because a child's peak begins with what its parent has when it forks.
        for market in ("spot", "usdm"):
            took, memory = make_busy(60, market)
            _, twice = make_busy(120, market)
            if took > BUSY_SECONDS_MAX:
                wrong += 1
                print(f"busy {market}: WRONG: {took:.0f} s, at most {BUSY_SECONDS_MAX} are allowed")
            if twice > memory * 1.1:
                wrong += 1
                print(f"busy {market}: WRONG: {twice >> 20} MB for twice the length, {memory >> 20} MB before")
    wrong += hold_seeds(options.seeds, options.seconds, options.rate)
    print(f"{wrong} wrong" if wrong else "all held")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
