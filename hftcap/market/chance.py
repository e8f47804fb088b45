"""Chance that is the same on every machine: seeded streams of 64-bit words, and a table of waiting times.

`random.Random` is used for `getrandbits` alone: the raw words of the Mersenne Twister, seeded by an integer, which no
platform and no Python release has changed. Nothing goes through a float or the C library's logarithm.
"""

import hashlib
import random
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache

WORD_BITS = 64
Draw = Callable[[int], int]
"""Returns that many random bits."""

WAIT_BITS = 10
WAIT_SCALE_BITS = 16


def draw_of(seed: int, *purpose: object) -> Draw:
    """Return a stream of random bits of its own for one purpose, so that one that draws more disturbs no other."""
    text = "/".join(map(str, (seed, *purpose)))
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
    return random.Random(key).getrandbits  # noqa: S311  a seeded market is the point


@cache
def waits() -> tuple[int, ...]:
    """Return 1,024 equally likely waiting times of an exponential law of mean 1, scaled by 2^16.

    Decimal logarithms are rounded correctly by definition, hence equal everywhere.
    """
    count = 1 << WAIT_BITS
    with localcontext() as context:
        context.prec = 12
        return tuple(
            int(-(Decimal(2 * index + 1) / (2 * count)).ln() * (1 << WAIT_SCALE_BITS)) for index in range(count)
        )


def log_uniform(word: int, bits: int) -> int:
    """Turn a word of 32 bits or more into 1 to 2^bits - 1, each power of two as likely as the next; uses them all."""
    magnitude = 1 << (word & 0xFF) * bits // 256
    return magnitude + (word >> 8 & (magnitude - 1))
