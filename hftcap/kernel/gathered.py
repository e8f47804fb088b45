"""Runs of records with what the kernel made of them, gathered into columns of one length: what consumers count by.

Runs may be of several blocks and recordings, as merging gives them, a few records each.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hftcap.capture.format import NONE_NS, TimeBase
from hftcap.capture.reader import Chunk
from hftcap.kernel.changes import joined_levels, joined_touches
from hftcap.kernel.columns import NULL, joined_columns
from hftcap.kernel.result import Result


class Piece(Protocol):
    """A run of a block's records, and what the kernel made of those that were selected."""

    @property
    def chunk(self) -> Chunk:
        """The records in their place."""

    @property
    def result(self) -> Result:
        """What the kernel made of them."""


class Gathered:
    """Pieces that follow each other, at least one. Every column has a row for each selected record, in order.

    `columns` are the kernel's. Of what is stored: `recv_ns`, `timeline_ns`, `mono_ns` (`NULL` for imports), `rx_lag_ns`
    (`NULL` without a kernel stamp), `kind`, `conn`, `length`. `file`, `block` and `record` are the place of each,
    `file` an index into `files`. `levels`, `touches` and `gaps` are what happened to the books;
    `touch_row` is the row of the record that led to each touch.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        results = [piece.result for piece in pieces]
        self.columns = joined_columns([result.columns for result in results])
        self.levels = joined_levels([result.levels for result in results])
        self.touches = joined_touches([result.touches for result in results])
        begins = np.cumsum([0, *(len(result.rows) for result in results[:-1])])
        self.touch_row = np.concatenate(
            [
                begin + np.searchsorted(result.rows, result.touches.at)
                for begin, result in zip(begins, results, strict=True)
            ]
        )
        self.gaps = [gap for result in results for gap in result.gaps]
        self.files = list(dict.fromkeys(piece.chunk.path.name for piece in pieces))
        codes = {name: code for code, name in enumerate(self.files)}
        counts = [len(result.rows) for result in results]
        self.file = np.repeat([codes[piece.chunk.path.name] for piece in pieces], counts).astype(np.int32)
        self.block = np.repeat([piece.chunk.position for piece in pieces], counts).astype(np.int32)
        self.record = np.concatenate([result.rows for result in results]).astype(np.int32)
        self.recv_ns = self._of(lambda chunk, rows: chunk.block.received(chunk.first, chunk.stop)[rows - chunk.first])
        self.timeline_ns = self._of(lambda chunk, rows: chunk.timeline_ns[rows])
        self.mono_ns = self._of(_monotonic)
        self.rx_lag_ns = self._of(_lag)
        self.kind = self._of(lambda chunk, rows: chunk.block.columns.kind[rows])
        self.conn = self._of(lambda chunk, rows: chunk.block.columns.conn[rows])
        self.length = self._of(lambda chunk, rows: chunk.block.columns.length[rows])

    def __len__(self) -> int:
        return len(self.columns)

    def _of(self, column: Callable[[Chunk, NDArray[np.intp]], NDArray[np.generic]]) -> NDArray[np.int64]:
        return np.concatenate([column(piece.chunk, piece.result.rows) for piece in self.pieces]).astype(np.int64)


def _monotonic(chunk: Chunk, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    if chunk.block.time_base is TimeBase.WALL:
        return np.full(len(rows), NULL, dtype=np.int64)
    return chunk.block.columns.time_ns[rows]


def _lag(chunk: Chunk, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    lag = chunk.block.columns.rx_lag_ns[rows]
    return np.where(lag == NONE_NS, NULL, lag)
