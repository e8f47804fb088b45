"""Trades of one symbol and one numbering: which ids are missing, how much was traded."""

import numpy as np
from numpy.typing import NDArray

from hftcap.binance.ids import SeenIds


class PrintCount:
    """Count prints whose ids rise by one per symbol; a hole in the ids is a loss.

    `missing` is how many ids between the first and the last were never seen; `duplicates` how many were seen again.
    `size_e8` is the exact sum of all sizes, whatever their number.
    """

    def __init__(self) -> None:
        self.n = 0
        self.duplicates = 0
        self.size_e8 = 0
        self.buyer_is_maker = 0
        self.off_market = 0
        self._seen = SeenIds()

    @property
    def first_id(self) -> int | None:
        """Lowest id, None where there is none."""
        return self._seen.first

    @property
    def last_id(self) -> int | None:
        """Highest id, None where there is none."""
        return None if self._seen.first is None else self._seen.last

    @property
    def missing(self) -> int:
        """Ids between the first and the last that were never seen."""
        return self._seen.missing

    def add(
        self, ids: NDArray[np.int64], size_e8: NDArray[np.int64], sold: NDArray[np.bool_], market: NDArray[np.bool_]
    ) -> None:
        """Take prints in arrival order: ids, sizes, whether the taker sold, whether it is a print of the market."""
        if not len(ids):
            return
        self.n += len(ids)
        # Halves, because a block's sizes may add up to more than 64 bits.
        self.size_e8 += (int((size_e8 >> 32).sum()) << 32) + int((size_e8 & 0xFFFFFFFF).sum())
        self.buyer_is_maker += int(sold.sum())
        self.off_market += int((~market).sum())
        take = self._seen.take
        self.duplicates += not take(int(ids[0]))
        if int(ids[0]) == self._seen.last and (np.diff(ids) == 1).all():
            self._seen.run_on(int(ids[-1]))
            return
        for number in ids[1:].tolist():
            self.duplicates += not take(number)
