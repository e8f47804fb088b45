"""REST parameters, refused in the venue's words or read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.serve.params import Params, RestRefused
from hftcap.serve.paths import params_of
from hftcap.serve.ws_api import read_api_request


def params(query: str, *allowed: str) -> Params:
    return Params(params_of(query), allowed)


def test_symbols_of_any_script_are_read():
    """Upper case where there is one, digits, and the few signs."""
    assert params("symbol=BTCUSDT_260327", "symbol").symbol() == "BTCUSDT_260327"
    assert params("symbol=%E6%B5%8B%E8%AF%95USDT", "symbol").symbol() == "测试USDT"
    assert params("", "symbol").symbol(mandatory=False) is None


def test_limits():
    """Spot cuts, futures choose."""
    assert params("limit=7", "limit").limit(100, 5000) == 7
    assert params("limit=99999999", "limit").limit(100, 5000) == 5000
    assert params("", "limit").limit(100, 5000) == 100
    assert params("limit=20", "limit").one_of("limit", (5, 20), 5) == 20


def test_a_list_of_symbols():
    """JSON, in the query's own escapes."""
    assert params('symbols=["A","B"]', "symbols").symbols() == ["A", "B"]
    assert params("symbols=%5B%22A%22%5D", "symbols").symbols() == ["A"]
    assert params("", "symbols").symbols() is None


@given(st.text(max_size=60))
def test_any_query_is_read_or_refused(query):
    """With a code of the venue's."""
    try:
        found = params(query, "symbol", "limit", "symbols")
        found.symbol(mandatory=False)
        found.symbols()
        found.limit(1, 2)
    except RestRefused as refused:
        assert -1152 <= refused.code <= -1100


@given(
    st.text(max_size=60) | st.sampled_from(['{"id":[],"method":"ping"}', '{"method":"depth","params":[1]}', "[]", "{}"])
)
def test_any_message_of_the_websocket_api_is_read_or_refused(text):
    """Nothing else is raised."""
    try:
        read_api_request(text)
    except RestRefused as refused:
        assert refused.status == 400


def test_numbers_may_come_as_text_or_as_numbers():
    """The endpoints read text."""
    expected = (("symbol", "A"), ("limit", "5"))
    for limit in ("5", '"5"'):
        text = '{"id":1,"method":"depth","params":{"symbol":"A","limit":' + limit + "}}"
        assert read_api_request(text).params == expected


@pytest.mark.parametrize("number", ["1", '"a"', "null"])
def test_ids_are_echoed_whatever_is_wrong(number):
    """By way of the note."""
    with pytest.raises(RestRefused) as refused:
        read_api_request('{"method":"no","id":' + number + "}")
    assert refused.value.note == number
