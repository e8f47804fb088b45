"""Tables are used again only when nobody looks into them any more."""

import numpy as np
import pytest

from hftcap.kernel.column_tables import CODES, COUNTS, NARROW, WIDE, TableColumns, TablePool
from hftcap.kernel.columns import Columns, empty_columns


def test_the_tables_have_every_column_once_and_of_its_type():
    """What the compiled kernel fills is what the reference fills."""
    assert sorted((*WIDE, *NARROW, *COUNTS, *CODES)) == sorted(Columns.__dataclass_fields__)
    columns, plain = TableColumns(TablePool().tables(5), 5), empty_columns(5)
    for name in Columns.__dataclass_fields__:
        assert getattr(columns, name).dtype == getattr(plain, name).dtype
        assert getattr(columns, name).shape == (5,)
        assert getattr(columns, name) is getattr(columns, name)
    with pytest.raises(AttributeError):
        columns.nothing  # noqa: B018


def test_memory_that_is_looked_into_is_left_alone():
    """A column keeps its memory, though its columns' owner is gone; without one the memory is taken again."""
    pool = TablePool()
    kept = TableColumns(pool.tables(100), 100).price_e8
    kept[:] = 7
    for _ in range(10):
        pool.tables(100).wide[:] = 8
    assert (kept == 7).all()
    place = pool.tables(100).wide.ctypes.data
    assert pool.tables(90).wide.ctypes.data == place


def test_tables_whose_columns_are_held_are_left_alone():
    """Columns of which no array has been asked for yet keep their tables as well."""
    pool = TablePool()
    columns = TableColumns(pool.tables(10), 10)
    place = columns._tables.wide.ctypes.data
    assert pool.tables(10).wide.ctypes.data != place
    del columns
    held = [pool.tables(10) for _ in range(2)]
    assert place in [tables.wide.ctypes.data for tables in held]


@pytest.mark.parametrize("records", [0, 1, 7])
def test_columns_do_not_overlap(records):
    """Each has a place of its own, whatever the number of rows."""
    columns = TableColumns(TablePool().tables(records), records)
    for value, name in enumerate(Columns.__dataclass_fields__):
        getattr(columns, name)[:] = value
    for value, name in enumerate(Columns.__dataclass_fields__):
        assert (getattr(columns, name) == np.asarray(value)).all()
