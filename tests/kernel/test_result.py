"""What pieces of a block give, gathered, is what the whole gives."""

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from hftcap.binance.endpoints import Market
from hftcap.capture.reader import open_recording
from hftcap.kernel import Columns, Kernel, Selection
from hftcap.kernel.changes import LevelColumns, TouchColumns
from hftcap.kernel.gathered import Gathered
from hftcap.pipeline import Batch
from tests.test_pipeline import write


def gathered(folder, cuts: list[int], selection: Selection | None) -> Gathered:
    """Run the kernel over the first block of a capture in pieces."""
    chunk = next(iter(open_recording([folder]).chunks()))
    kernel = Kernel(Market.SPOT, expects_snapshots=False, selection=selection, levels=True)
    bounds = sorted({0, *(cut for cut in cuts if cut < chunk.block.records), chunk.block.records})
    pieces = [replace(chunk, first=first, stop=stop) for first, stop in pairwise(bounds)]
    return Gathered([Batch(piece, kernel.run(piece.block, piece.stop, first=piece.first)) for piece in pieces])


@pytest.mark.parametrize("selection", [None, Selection(streams=["trade", "depth"])])
@pytest.mark.parametrize("cuts", [[3], [1, 2, 5, 6, 7], list(range(40))])
def test_pieces_joined_are_the_whole(cuts, selection, tmp_path):
    """Columns, rows, changes of the books and gaps: all as if the block had been taken at once."""
    write(tmp_path / "c")
    whole, pieces = (gathered(tmp_path / "c", each, selection) for each in ([], cuts))
    assert len(whole.levels) > len(whole.touches) > 0
    for name in ("file", "block", "record", "recv_ns", "timeline_ns", "mono_ns", "rx_lag_ns", "kind", "conn", "length"):
        assert np.array_equal(getattr(whole, name), getattr(pieces, name)), name
    assert np.array_equal(whole.touch_row, pieces.touch_row)
    for part, kind in (("columns", Columns), ("levels", LevelColumns), ("touches", TouchColumns)):
        for field in fields(kind):
            one, other = (getattr(getattr(rows, part), field.name) for rows in (whole, pieces))
            assert np.array_equal(one, other), field.name
    assert whole.gaps == pieces.gaps
