"""Results of pieces joined are the result of the whole."""

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest

from hftcap.binance.endpoints import Market
from hftcap.capture.reader import open_recording
from hftcap.kernel import Columns, Kernel, Selection
from hftcap.kernel.changes import LevelColumns
from hftcap.kernel.result import Result, joined
from tests.test_pipeline import write


def results(folder, cuts: list[int], selection: Selection | None) -> list[Result]:
    """Run the kernel over the first block of a capture in pieces."""
    chunk = next(iter(open_recording([folder]).chunks()))
    kernel = Kernel(Market.SPOT, expects_snapshots=False, selection=selection, levels=True)
    bounds = sorted({0, *(cut for cut in cuts if cut < chunk.block.records), chunk.block.records})
    return [kernel.run(chunk.block, stop, first=first) for first, stop in pairwise(bounds)]


@pytest.mark.parametrize("selection", [None, Selection(streams=["trade", "depth"])])
@pytest.mark.parametrize("cuts", [[3], [1, 2, 5, 6, 7], list(range(40))])
def test_pieces_joined_are_the_whole(cuts, selection, tmp_path):
    """Columns, rows, changes of the books and gaps: all as if the block had been taken at once."""
    write(tmp_path / "c")
    (whole,) = results(tmp_path / "c", [], selection)
    pieces = joined(results(tmp_path / "c", cuts, selection))
    assert len(whole.levels) > 0
    assert len(whole.rows) == len(whole.columns)
    assert whole.rows.tolist() == pieces.rows.tolist()
    for part, kind in (("columns", Columns), ("levels", LevelColumns)):
        for field in fields(kind):
            one, other = (getattr(getattr(result, part), field.name) for result in (whole, pieces))
            assert np.array_equal(one, other), field.name
    assert whole.gaps == pieces.gaps
