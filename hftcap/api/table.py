"""Captures as one Arrow table in memory."""

import pyarrow as pa

from hftcap.api.records import Paths, as_paths, warn_of
from hftcap.capture.reader import open_recordings
from hftcap.kernel import Columns
from hftcap.kernel.columns import STATES
from hftcap.pipeline import GATHERED, Run, gathered
from hftcap.report.arrays import floats, integers, names
from hftcap.report.schema import BBO, MESSAGES
from hftcap.report.tables import Source, messages

_LATER = ("ts_recv_adj", "ts_recv_err")
_TOUCH = ("bid_px", "bid_sz", "ask_px", "ask_sz")


def read_columns(paths: Paths, *, books: bool = True) -> pa.Table:
    """Return a row for every record of captures, merged by timeline: the columns of the `messages` table.

    With `books`, also the best bid and ask of the symbol's own book after each (`bid_px_00`, …, float64 and `_e8`
    int64) and that book's `state`, null where the symbol has no book. The table is held in memory, some 150 bytes a
    record; for more than fits there, write a report.

    Raises:
        CaptureError: a path cannot be used.
        MarketsDiffer: the captures are of more than one market.
    """
    run = Run(open_recordings(as_paths(paths)))
    kept = [field for field in MESSAGES if field.name not in _LATER]
    touch = [field for field in BBO if field.name.endswith(("_00", "_00_e8")) or field.name == "state"]
    schema = pa.schema(kept + touch if books else kept)
    parts = []
    for rows in gathered(run.batches(ahead=GATHERED)):
        part = messages(Source(rows, run.kernel)).drop_columns(list(_LATER))
        if books:
            for field, column in zip(touch, _touch(rows.columns), strict=True):
                part = part.append_column(field, column)
        parts.append(part)
    run.finish()
    warn_of(run.recordings)
    return pa.concat_tables([schema.empty_table(), *parts]).unify_dictionaries()


def _touch(columns: Columns) -> list[pa.Array]:
    """Return touch and state in the order of the `bbo` table."""
    scaled = [getattr(columns, f"{name}_e8") for name in _TOUCH]
    return [*map(floats, scaled), *map(integers, scaled), names(columns.state, STATES, none=0)]
