"""numpy columns to Arrow arrays: nulls, timestamps, names by index."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hftcap.fixed import SCALE
from hftcap.kernel.columns import NULL

_FLOAT_EXACT = 2**53


def integers(values: NDArray[np.int64], kind: pa.DataType | None = None) -> pa.Array:
    """Return int64 values, `NULL` as null, or as `kind` where given."""
    array = pa.array(values, mask=values == NULL)
    return array if kind is None else array.cast(kind)


def times(values: NDArray[np.int64]) -> pa.Array:
    """Return epoch nanoseconds as timestamps without zone, `NULL` as null."""
    return integers(values).view(pa.timestamp("ns"))


def floats(values_e8: NDArray[np.int64]) -> pa.Array:
    """Return scaled integers as float64, each the nearest there is; `NULL` as null."""
    quotients = values_e8 / SCALE
    # numpy rounds an integer beyond 53 bits before it divides, and so twice; Python rounds once.
    for at in np.flatnonzero(values_e8 > _FLOAT_EXACT):
        quotients[at] = int(values_e8[at]) / SCALE
    return pa.array(quotients, mask=values_e8 == NULL)


def names(codes: NDArray[np.integer], table: Sequence[str], none: int) -> pa.Array:
    """Return names by their index in `table`; the code `none` becomes null."""
    indices = pa.array(codes.astype(np.int32), mask=codes == none)
    return pa.DictionaryArray.from_arrays(indices, pa.array(table, type=pa.string()))


def repeated(name: str, count: int) -> pa.Array:
    """Return one name `count` times."""
    return names(np.zeros(count, dtype=np.int32), [name], none=-1)


def nulls(count: int, kind: pa.DataType) -> pa.Array:
    """Return `count` nulls."""
    return pa.nulls(count, kind)
