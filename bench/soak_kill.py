"""Kill a writer at random moments, many times, and hold what it left against what it had been given.

    python bench/soak_kill.py [--kills 50] [--seed 1]

Each time: every record handed over longer ago than the flush interval (100 ms) and one step between two ticks is
there, in order; nothing is there that was not written; the next writer starts at once; verify says no more than that
the segment was not sealed. Exits 1 where a promise is broken.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "e2e"))

from writer_process import Aftermath, kill_a_writer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    left: list[Aftermath] = []
    broken = 0
    for kill in range(options.kills):
        with tempfile.TemporaryDirectory() as folder:
            try:
                left.append(kill_a_writer(Path(folder), random.Random(f"{options.seed} {kill}")))
            except AssertionError as error:
                broken += 1
                print(f"kill {kill} of seed {options.seed}: {error}")
    print(f"{options.kills} kills, {broken} broken promises, {sum(each.torn for each in left)} torn last blocks")
    if left:
        print(f"{sum(each.records for each in left):,} records left behind")
        print(f"longest step between two ticks: {max(each.step_ns for each in left) / 1e6:.0f} ms")
        print(f"oldest record lost: handed over {max(each.lost_ns for each in left) / 1e6:.0f} ms before, at most")
    if broken:
        sys.exit("a promise is broken")


main()
