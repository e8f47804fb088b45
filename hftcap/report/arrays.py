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


def changes(values: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return for each value whether it is other than the one before; the first is."""
    changed = np.ones(len(values), dtype=np.bool_)
    changed[1:] = values[1:] != values[:-1]
    return changed


def names(codes: NDArray[np.integer], table: Sequence[str], none: int) -> pa.Array:
    """Return names by their index in `table`; the code `none` becomes null."""
    indices = pa.array(codes.astype(np.int32), mask=codes == none)
    return pa.DictionaryArray.from_arrays(indices, pa.array(table, type=pa.string()))


def repeated(name: str, count: int) -> pa.Array:
    """Return one name `count` times."""
    return names(np.zeros(count, dtype=np.int32), [name], none=-1)


def in_order_of_appearance(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return names in one piece, their dictionary just those that are there, in the order in which they appear."""
    whole = column.unify_dictionaries().combine_chunks()
    codes = whole.indices.fill_null(-1).to_numpy()
    known = whole.dictionary
    first = np.full(len(known) + 1, len(codes))
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # the last one written is the first there is; null is -1, the end
    order = np.argsort(first[:-1], kind="stable")[: np.count_nonzero(first[:-1] < len(codes))]
    place = np.full(len(known) + 1, -1, dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    recoded = place[codes]
    return pa.DictionaryArray.from_arrays(pa.array(recoded, mask=recoded < 0), known.take(pa.array(order)))


def nulls(count: int, kind: pa.DataType) -> pa.Array:
    """Return `count` nulls."""
    return pa.nulls(count, kind)
