"""Digests of what the kernel made of records: 32 bits a message, and of the changes of the books.

A message's digest is over all its typed fields and the touch after it. Names count by their text and codes by their
names, never by their index, so that a type added to the tables later, or a name met earlier, changes no digest.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from hftcap.binance.lines import Arrival
from hftcap.kernel import Columns, Kernel
from hftcap.kernel.changes import LevelColumns
from hftcap.kernel.columns import ODDITIES, STATES, TYPES, VERDICTS

_NUMBERS = (
    "event_ns",
    "trade_ns",
    "first_id",
    "final_id",
    "prev_id",
    "price_e8",
    "size_e8",
    "quote_ask_px_e8",
    "quote_ask_sz_e8",
    "side",
    "levels",
    "removals",
    "bid_px_e8",
    "bid_sz_e8",
    "ask_px_e8",
    "ask_sz_e8",
    "book_id",
    "market_print",
)
_LEVEL_NUMBERS = (
    "event_ns",
    "trade_ns",
    "first_id",
    "final_id",
    "prev_id",
    "side",
    "action",
    "price_e8",
    "size_e8",
    "flags",
)
# The finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit of the input moves half of the output's.
_STEP, _FIRST, _SECOND = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def message_digests(columns: Columns, kernel: Kernel) -> NDArray[np.uint32]:
    """Return the digest of each row."""
    texts = (
        (columns.type, TYPES),
        (columns.symbol, kernel.symbols),
        (columns.stream, kernel.streams),
        (columns.kind, kernel.kinds),
        (columns.oddity, ODDITIES),
        (columns.state, STATES),
        (columns.verdict, ["" if verdict is None else verdict.value for verdict in VERDICTS]),
        (columns.arrival, [arrival.name for arrival in Arrival]),
    )
    digest = np.zeros(len(columns), dtype=np.uint64)
    for codes, names in texts:
        digest = _mixed(digest, _by_name(codes, names))
    for name in _NUMBERS:
        digest = _mixed(digest, getattr(columns, name).astype(np.int64).view(np.uint64))
    return (digest >> np.uint64(32)).astype(np.uint32)


def level_bytes(levels: LevelColumns, kernel: Kernel) -> bytes:
    """Return the rows of a book's changes in a form that depends on nothing but what they say, row after row."""
    if not len(levels):
        return b""
    columns = [_by_name(levels.symbol, kernel.symbols)]
    columns += [getattr(levels, name).astype(np.int64).view(np.uint64) for name in _LEVEL_NUMBERS]
    return np.stack(columns, axis=1).astype("<u8").tobytes()


def _mixed(digest: NDArray[np.uint64], values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed: NDArray[np.uint64] = (digest ^ values) + _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _by_name(codes: NDArray[np.integer], names: Sequence[str]) -> NDArray[np.uint64]:
    """Return the digest of each code's name; that of no name, code -1, is the last, where an index of -1 finds it."""
    table = np.array([*(_name_digest(name) for name in names), 0], dtype=np.uint64)
    found: NDArray[np.uint64] = table[codes]
    return found


@lru_cache(maxsize=65_536)
def _name_digest(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
