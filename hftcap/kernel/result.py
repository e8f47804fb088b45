"""What a kernel makes of a run of records."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hftcap.kernel.changes import Gap, LevelColumns, joined_levels
from hftcap.kernel.columns import Columns, joined_columns


@dataclass(frozen=True, slots=True)
class Result:
    """What a kernel made of a run of records.

    `columns` has a row for each record that was selected, and `rows` that record's index in its block. `levels` and
    `gaps` are what happened to the books; empty unless they were asked for.
    """

    columns: Columns
    rows: NDArray[np.intp]
    levels: LevelColumns
    gaps: list[Gap]


def joined(parts: list[Result]) -> Result:
    """Return the results of runs that follow each other in one block as that of one run; there must be one at least."""
    if len(parts) == 1:
        return parts[0]
    return Result(
        joined_columns([part.columns for part in parts]),
        np.concatenate([part.rows for part in parts]),
        joined_levels([part.levels for part in parts]),
        [gap for part in parts for gap in part.gaps],
    )
