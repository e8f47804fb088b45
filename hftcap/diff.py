"""Two captures held against each other: what one has and the other has not, in which order, and which was first.

Records are the same when kind and payload are. The n-th of equal records in one is matched with the n-th in the other.
Memory is some 100 bytes a record.
"""

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hftcap.capture.merge import merged
from hftcap.capture.reader import Recording

_QUANTILES = {"min": 0.0, "p1": 0.01, "p50": 0.5, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is, as `hftcap cat FILE:BLOCK:RECORD` takes it."""

    path: Path
    block: int
    record: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What `diff` found. Counts are of records; `a_minus_b_ns` is of common ones, receive time in a minus that in b.

    `reordered` is the fewest common records that would have to move for the two to be in the same order. `first` are
    the places of the first record that differs, None for a side that has ended; both None where all are the same.
    `missing` counts records of a that b has not, `extra` records of b that a has not; `missing_at` and `extra_at` are
    the places of the first few.
    """

    records: tuple[int, int]
    common: int
    reordered: int
    first: tuple[Place | None, Place | None]
    missing: int
    extra: int
    missing_at: list[Place]
    extra_at: list[Place]
    a_minus_b_ns: NDArray[np.int64]

    @property
    def same(self) -> bool:
        """Whether both have the same records in the same order."""
        return self.records[0] == self.records[1] == self.common and not self.reordered


@dataclass(frozen=True, slots=True)
class Race:
    """Which side received the common records first; `a_minus_b_ns` has quantiles by nearest rank, None without any."""

    a_first: int
    b_first: int
    ties: int
    a_minus_b_ns: dict[str, int] | None


def race(a_minus_b_ns: NDArray[np.int64]) -> Race:
    """Sum up the differences of receive times."""
    late = np.sort(a_minus_b_ns)
    count = len(late)
    ranks = {name: max(math.ceil(q * count), 1) - 1 for name, q in _QUANTILES.items()}
    return Race(
        int((late < 0).sum()),
        int((late > 0).sum()),
        int((late == 0).sum()),
        {name: int(late[rank]) for name, rank in ranks.items()} if count else None,
    )


class _Side:
    """The records of one side: a digest and the receive time of each, and where they are."""

    def __init__(self, recordings: Sequence[Recording], progress: Callable[[int], None] | None) -> None:
        digests, self._chunks, self._begins = array("Q"), list[tuple[Path, int, int]](), list[int]()
        stamps = [np.empty(0, dtype=np.int64)]
        for chunk in merged(recordings):
            self._chunks.append((chunk.path, chunk.position, chunk.first))
            self._begins.append(len(digests))
            kinds = chunk.block.columns.kind[chunk.rows].tolist()
            payloads = chunk.block.payload_list(chunk.first, chunk.stop)
            digests.extend(map(_digest, payloads, kinds))
            stamps.append(chunk.block.received(chunk.first, chunk.stop))
            if progress is not None and chunk.stop == chunk.block.records:
                progress(chunk.block.header.block_bytes)
        self.digests = np.frombuffer(digests, dtype=np.uint64) if digests else np.empty(0, dtype=np.uint64)
        self.recv_ns = np.concatenate(stamps)

    def place(self, index: int) -> Place | None:
        """Return where a record is, None behind the last."""
        if index >= len(self.digests):
            return None
        at = int(np.searchsorted(self._begins, index, side="right")) - 1
        path, position, first = self._chunks[at]
        return Place(path, position, first + index - self._begins[at])


def diff(
    a: Sequence[Recording],
    b: Sequence[Recording],
    progress: Callable[[int], None] | None = None,
    *,
    listed: int = 3,
) -> Difference:
    """Compare what was recorded, each side merged by timeline; `listed` is how many places of each kind are wanted."""
    ours, theirs = _Side(a, progress), _Side(b, progress)
    keys_a, keys_b = _keys(ours.digests, theirs.digests)
    _, in_a, in_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    by_a = np.argsort(in_a)
    in_a, in_b = in_a[by_a], in_b[by_a]
    both = min(len(keys_a), len(keys_b))
    unequal = np.flatnonzero(ours.digests[:both] != theirs.digests[:both])
    first = int(unequal[0]) if len(unequal) else both
    return Difference(
        records=(len(keys_a), len(keys_b)),
        common=len(in_a),
        reordered=len(in_b) - _longest_rising(in_b),
        first=(ours.place(first), theirs.place(first)),
        missing=len(keys_a) - len(in_a),
        extra=len(keys_b) - len(in_b),
        missing_at=_places(ours, in_a, listed),
        extra_at=_places(theirs, in_b, listed),
        a_minus_b_ns=ours.recv_ns[in_a] - theirs.recv_ns[in_b],
    )


def _digest(payload: bytes, kind: int) -> int:
    return int.from_bytes(blake2b(payload, digest_size=8, key=bytes((kind,))).digest(), "little")


def _keys(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a number for each record that is equal for the n-th of equal records on either side, and for no others."""
    values, inverse = np.unique(np.concatenate((a, b)), return_inverse=True)
    keys = []
    for codes in (inverse[: len(a)], inverse[len(a) :]):
        order = np.argsort(codes, kind="stable")
        ranked = codes[order]
        begins = np.searchsorted(ranked, ranked, side="left")
        occurrence = np.empty(len(codes), dtype=np.int64)
        occurrence[order] = np.arange(len(codes)) - begins
        keys.append(occurrence * max(len(values), 1) + codes)
    return keys[0], keys[1]


def _longest_rising(values: NDArray[np.int64]) -> int:
    """Return the length of the longest rising subsequence of distinct numbers: patience sorting."""
    if (np.diff(values) > 0).all():
        return len(values)
    tops: list[int] = []
    for value in values.tolist():
        at = bisect_left(tops, value)
        if at == len(tops):
            tops.append(value)
        else:
            tops[at] = value
    return len(tops)


def _places(side: _Side, common: NDArray[np.int64], listed: int) -> list[Place]:
    """Return where the first records are that are not common."""
    left = np.setdiff1d(np.arange(len(side.digests)), common, assume_unique=True)[:listed]
    return [place for index in left.tolist() if (place := side.place(index)) is not None]
