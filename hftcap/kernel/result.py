"""What a kernel makes of a run of records."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hftcap.kernel.changes import Gap, LevelColumns, TouchColumns
from hftcap.kernel.columns import Columns


@dataclass(frozen=True, slots=True)
class Result:
    """What a kernel made of a run of records.

    `columns` has a row for each record that was selected, and `rows` that record's index in its block. `levels`,
    `touches` and `gaps` are what happened to the books; empty unless they were asked for.
    """

    columns: Columns
    rows: NDArray[np.intp]
    levels: LevelColumns
    touches: TouchColumns
    gaps: list[Gap]
