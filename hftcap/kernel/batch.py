"""Runs of a block's records on their way through a kernel, and what comes of each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hftcap.binance.lines import Origin
from hftcap.capture.block import Block
from hftcap.kernel.changes import NO_LEVELS, NO_TOUCHES, ChangeLog
from hftcap.kernel.columns import Columns
from hftcap.kernel.result import Result
from hftcap.kernel.rows import Rows


class Batch:
    """Records of a block on their way through a kernel: what all of them share, and where their rows go.

    They are the records from `first` up to, not including, `stop`; their rows begin at `begin`.
    """

    __slots__ = ("begin", "block", "capture", "first", "log", "received", "requests", "rows", "sequence", "stop")

    def __init__(self, block: Block, first: int, stop: int, begin: int, rows: Rows, log: ChangeLog | None) -> None:
        self.block, self.first, self.stop, self.begin = block, first, stop, begin
        self.rows = rows
        self.log = log
        self.capture = block.header.capture_id.hex()
        self.sequence = block.header.sequence
        self.requests = block.requests()
        self.received = block.received(first, stop)  # the wall clock at receipt of each record

    def origin(self, at: int) -> Origin:
        """Return where a record, number `at` of the batch, is, and when it was received."""
        return self.capture, self.sequence, self.first + at, int(self.received[at])

    def result(self, columns: Columns, left_out: Sequence[int] | NDArray[np.intp]) -> Result:
        """Return what a kernel made of these records, given the columns of all batches."""
        records = self.stop - self.first
        part = columns if len(columns) == records else columns.at(slice(self.begin, self.begin + records))
        kept = _numbers(self.first, self.stop)
        if len(left_out):
            taken = np.delete(np.arange(records), left_out)
            part, kept = part.at(taken), kept[taken]
        return result_of(part, kept, self.log)


_NUMBERS = np.arange(4_096)
_NUMBERS.flags.writeable = False


def _numbers(first: int, stop: int) -> NDArray[np.intp]:
    """Return the numbers from `first` up to, not including, `stop`; in a block of usual size they are made once."""
    return _NUMBERS[first:stop] if stop <= len(_NUMBERS) else np.arange(first, stop)


def result_of(columns: Columns, rows: NDArray[np.intp], log: ChangeLog | None) -> Result:
    """Return what a kernel made of a run of records."""
    if log is None:
        return Result(columns, rows, NO_LEVELS, NO_TOUCHES, [])
    return Result(columns, rows, log.columns(), log.touches(), log.gaps)


def records_of(runs: Sequence[tuple[Block, int, int]]) -> int:
    """Return how many records runs have."""
    return sum([stop - first for _, first, stop in runs])
