"""The busiest moment: most messages in any window of a given width."""

import numpy as np
from numpy.typing import NDArray


class WindowPeak:
    """Find the most instants in any window (t - width, t], fed in batches that never go backwards."""

    def __init__(self, width_ns: int) -> None:
        self.width_ns = width_ns
        self.peak = 0
        self._tail: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def add(self, instants_ns: NDArray[np.int64]) -> None:
        """Take the next instants, each at or after all before it."""
        if not len(instants_ns):
            return
        known = np.concatenate((self._tail, instants_ns))
        # A window can be fullest only where it ends on a message, and then on the last of equal instants.
        until = np.arange(len(self._tail) + 1, len(known) + 1)
        before = np.searchsorted(known, instants_ns - np.int64(self.width_ns), side="right")
        self.peak = max(self.peak, int((until - before).max()))
        keep = np.searchsorted(known, instants_ns[-1] - np.int64(self.width_ns), side="right")
        self._tail = known[keep:].copy()
