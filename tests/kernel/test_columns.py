"""The columns' own tables: every name has a code, every code a name, and an empty row has no value."""

from dataclasses import fields

import numpy as np
import pytest

from hftcap.binance import messages
from hftcap.binance.depth_sync import BookState, Verdict
from hftcap.binance.messages import OddityKind
from hftcap.kernel.columns import (
    NULL,
    ODDITIES,
    ODDITY_CODE,
    STATE_CODE,
    STATES,
    TYPE_CODE,
    TYPES,
    VERDICT_CODE,
    VERDICTS,
    Columns,
    empty_columns,
)

CONTRACT_TYPES = {
    "bookTicker",
    "depthUpdate",
    "trade",
    "aggTrade",
    "kline",
    "partialDepth",
    "rest_depth",
    "rest_other",
    "ack",
    "error",
    "serverShutdown",
    "unknown",
    "malformed",
}
COUNTED = {"type", "side", "levels", "removals", "verdict", "state", "market_print", "arrival", "oddity"}
INDICES = {"symbol", "stream", "kind"}
WITHOUT_NULL = COUNTED | INDICES


@pytest.mark.parametrize(
    ("names", "codes"),
    [(TYPES, TYPE_CODE), (ODDITIES, ODDITY_CODE), (STATES, STATE_CODE), (VERDICTS, VERDICT_CODE)],
    ids=["types", "oddities", "states", "verdicts"],
)
def test_a_code_leads_to_its_name_and_back(names, codes):
    """No name stands twice, every code is the name's place, and all fit the column's 8 bits."""
    assert [codes[name] for name in names] == list(range(len(names)))
    assert len(names) <= 256


def test_every_type_that_scripts_rely_on_has_a_code():
    """The names that `stats --json` promises are among the types."""
    assert set(TYPES) >= CONTRACT_TYPES


def test_every_message_has_a_code_for_its_type():
    """Whatever the parser may return, its type is in the table."""
    named = {each.NAME for each in vars(messages).values() if getattr(each, "NAME", "")}
    assert len(named) > 10
    assert set(TYPES) >= named | set(messages.TICKER_EVENTS) | set(messages.OTHER_EVENTS)
    assert set(TYPES) >= {OddityKind.MALFORMED, OddityKind.UNREPRESENTABLE, OddityKind.UNKNOWN}


def test_code_0_is_none_where_there_may_be_nothing():
    """A zeroed column says: no oddity, no book, no verdict, type unknown."""
    assert (ODDITIES[0], STATES[0], VERDICTS[0], TYPES[0]) == ("", "", None, "unknown")
    assert set(ODDITIES[1:]) == set(OddityKind)
    assert set(STATES[1:]) == set(BookState)
    assert set(VERDICTS[1:]) == set(Verdict)


@pytest.mark.parametrize("records", [0, 1, 7])
def test_empty_columns_have_a_row_a_record_and_no_value(records):
    """Every column has as many rows as there are records: no symbol, no stream, and all nullable ones null."""
    columns = empty_columns(records)
    assert len(columns) == records
    for field in fields(Columns):
        values = getattr(columns, field.name)
        assert values.shape == (records,), field.name
        if field.name not in WITHOUT_NULL:
            assert values.dtype == np.int64, field.name
        expected = -1 if field.name in INDICES else 0 if field.name in WITHOUT_NULL else NULL
        assert (values == expected).all(), field.name


def test_no_two_columns_share_their_memory():
    """Writing into one column leaves all others as they are."""
    names = [field.name for field in fields(Columns)]
    for name in names:
        columns = empty_columns(1)
        before = {other: getattr(columns, other)[0] for other in names if other != name}
        getattr(columns, name)[0] = 77
        assert {other: getattr(columns, other)[0] for other in before} == before
