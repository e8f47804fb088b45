"""Spoilt messages by the hundred thousand through both kernels: the same rows, changes and state, or it fails.

The kernels keep what they have learned from one message to the next. What is printed: of each mutation, how many there
were and how many of them the compiled kernel took without the reference. Shares of nothing would mean that the
comparison never reached the code it is about.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hftcap.binance.endpoints import Market
from tests.kernel.mutating import MUTATIONS, Pair, block_of, spoilt

PER_SEED = 2_000
SOUND = {"first_of_its_stream", "untouched"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000, help="spoilt messages in all")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    seen, plain = Counter[str](), Counter[str]()
    seed = options.seed
    while sum(count for name, count in seen.items() if name not in SOUND) < options.messages:
        market = tuple(Market)[seed % 3]
        pair = Pair(market, expects_snapshots=seed % 2 == 0)
        try:
            for sequence, (mutation, payloads) in enumerate(spoilt(seed, market, PER_SEED)):
                plain[mutation.__name__] += pair.run(block_of(payloads, sequence=sequence))
                seen[mutation.__name__] += len(payloads)
            pair.assert_same_state()
        except AssertionError as difference:
            print(f"seed {seed}, {market}: {difference}")
            return 1
        seed += 1
    print(f"{'mutation':20}  {'messages':>9}  {'plain':>9}")
    for name in sorted(seen):
        print(f"{name:20}  {seen[name]:9,}  {plain[name]:9,}")
    unplain = {name for name in ("untouched", "other_digits", "flip_bit", "other_length") if not plain[name]}
    missing = {mutation.__name__ for mutation in MUTATIONS} - set(seen)
    spoilt_count = sum(seen[name] for name in seen if name not in SOUND)
    spoilt_plain = sum(plain[name] for name in seen if name not in SOUND)
    print(f"{spoilt_count:,} spoilt messages, {spoilt_plain / spoilt_count:.1%} of them plain; all came out the same")
    return 1 if unplain or missing else 0


if __name__ == "__main__":
    sys.exit(main())
